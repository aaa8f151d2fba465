"""Python types and functions as JSON Schema, and JSON text as their values. Knows nothing of calls and answers."""
