"""Handlers: what answers a call. All knowledge of vendors lives in this room."""
