"""OpenAI's Responses API: requests, events, answers and errors, read and written.

`request`, `items`, `tools` and `parts` are what is asked, `events` and `resource` what is answered. The server is at no
state: a request has the whole conversation, and what would need stored responses is refused by name.
"""
