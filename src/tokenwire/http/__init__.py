"""HTTP/1.1 for the rest of the library: our transport, httpx's vocabulary, deadlines that are points in time.

`protocol` (bytes to responses) and `pool` (who gets which connection) do no I/O; `_asyncio` and `_trio` are sockets and
nothing else; `connection` and `transport` put them together; `exchange` is what handlers call.
"""
