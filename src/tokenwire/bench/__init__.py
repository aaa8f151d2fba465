"""Measures an endpoint: `tokenwire bench`.

`prompts` makes the prompts, `load` schedules requests, `measure` times one stream, `client` monitors this process meanwhile.
`summary` summarises the results, and `saved` saves them; `page` draws them, `compare` compares two results.

Every time is taken in the client, when its caller gets a chunk. So delays of this process are part of the results: therefore
it monitors itself, and warns.
"""
