"""Spans and metrics of calls, for OpenTelemetry: `semantic-conventions-genai` v0.1.0.

Loaded by the first call after the application has imported `opentelemetry`. `setup` detects whether it is set up; `spans` has
a call's span, `attributes` its attributes, `content` the messages (if enabled), `metrics` the instruments; `nesting` keeps two
instrumentations from counting one call twice; `server` has the spans of served requests.
"""
