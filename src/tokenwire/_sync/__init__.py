"""The sync API: runs the async code on a background event loop, for any thread.

`portal` has the loop and its thread, `stream` the stream that a streamed call returns, `client` the calls.
"""
