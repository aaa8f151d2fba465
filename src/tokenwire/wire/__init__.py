"""Bytes to chunks, and error responses to exceptions: no I/O, no event loop."""
