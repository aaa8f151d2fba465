"""What a streamed call costs, against the bare floor and against the field: `python -m benchmarks`."""
