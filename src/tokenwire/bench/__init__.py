"""Measures an endpoint: `tokenwire bench`.

`prompts` makes what is asked, `load` says when, `measure` times one stream, `client` watches this process meanwhile. What
came of it is summed up by `summary`, and saved by `saved`; `page` draws it, `compare` sets two results side by side.

Every time is taken here, in the client: when a chunk was in its caller's hands. So whatever keeps this process busy is in
the figures, which is why it watches itself and says so.
"""
