"""The cost of serving a handler's chunks: `python -m benchmarks.serving`."""
