"""HTTP/1.1 for the rest of the library, which sees `Sender`, `HTTPRequest` and `HTTPResponse`; all three are in `exchange`.

`protocol` (parsing and rendering) and `pool` (who gets which connection) do no I/O. `connection` reads and writes a socket
of `_loops`, and `transport` combines them. `clients` sends through the user's own httpx or httpx2 client; `foreign` lets
those clients send over our transport. `errors` translates exceptions.
"""
