"""The sync face: the async core, run on a background event loop, from any thread.

`portal` has the loop and its thread, `stream` what a streamed call returns, `client` the calls themselves.
"""
