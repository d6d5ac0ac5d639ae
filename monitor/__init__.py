"""A live monitor for inference traffic: `Settings`, `MetricsReader`, `AlertStream` and the records."""
