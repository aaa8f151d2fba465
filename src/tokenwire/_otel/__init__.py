"""Spans and metrics of calls, for OpenTelemetry: `semantic-conventions-genai` v0.1.0.

Loaded by the first call after the application has imported `opentelemetry`. `setup` says whether it is set up, `spans` has a
call's span, `attributes` what stands on it, `content` what was said (where that is asked for), `metrics` the instruments,
`nesting` what keeps two instrumentations from counting one call twice, `server` the spans of requests that are served.
"""
