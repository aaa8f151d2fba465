"""Python types and functions as JSON Schema, and decoding JSON text to their values. Independent of calls and answers."""
