"""Typed answers: the caller's types as schemas for the model, and the model's answers as objects."""
