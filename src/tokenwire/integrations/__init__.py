"""LiteLLM's module for integrations with other tools; here only the base class of loggers."""
