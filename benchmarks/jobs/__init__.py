"""What many calls cost: mapped, from a file, through a gate, in Ray Data: `python -m benchmarks.jobs`."""
