"""What it costs a server to pass on what a handler says, a chunk at a time: `python -m benchmarks.serving`."""
