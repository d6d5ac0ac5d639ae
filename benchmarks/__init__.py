"""Benchmarks: `make help` lists them; reports land in `benchmarks/reports`."""
