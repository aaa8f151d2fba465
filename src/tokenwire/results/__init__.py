"""Typed answers: what class the caller wants, as the schema that the model is asked to follow."""
