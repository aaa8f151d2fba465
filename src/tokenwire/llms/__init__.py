"""Backends: endpoints and the user's handlers. All knowledge of vendors is here, and in the dialects of `wire`."""
