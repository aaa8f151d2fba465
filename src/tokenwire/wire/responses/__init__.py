"""OpenAI's Responses API: requests, events, answers and errors, decoded and encoded.

`request`, `items`, `tools` and `parts` convert requests; `answers` and `reading` decode answers, `events` and `resource`
encode them. Nothing is stored: a request has the whole conversation, and what needs stored responses is refused by name.
"""
