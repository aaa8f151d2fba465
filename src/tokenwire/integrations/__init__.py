"""LiteLLM's names for where things of others are plugged in."""
