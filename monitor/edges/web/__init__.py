"""Web pages about the monitor: health and metrics of a worker, and the dashboard. They only ever read."""
