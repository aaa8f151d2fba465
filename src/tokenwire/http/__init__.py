"""HTTP/1.1 for the rest of the library, which sees `Sender`, `HTTPRequest` and `Exchange`; all three are in `exchange`.

`protocol` (what bytes mean) and `pool` (who gets which connection) do no I/O. `connection` has a socket of `_loops`, and
`transport` puts them together. `clients` sends over the user's own httpx or httpx2 client, and `foreign` is how those
clients send over our transport. `errors` says what becomes of their exceptions.
"""
