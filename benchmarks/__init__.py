"""Benchmarks, one module each: `python -m benchmarks.alert_latency`; reports land in `benchmarks/reports`."""
