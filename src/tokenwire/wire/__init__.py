"""Bytes to chunks, and refusals to exceptions: no I/O, no event loop."""
