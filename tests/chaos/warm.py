"""What the server of forks imports once, so that no worker has to: most of a worker's start is imports.

What it holds is put out of the collector's sight: a fork that went through it would copy every page of it.
"""

from __future__ import annotations

import gc
from importlib import import_module

for name in (
    "monitor.app",
    "monitor.cli.main",
    "monitor.edges.kafka.thread",
    "monitor.edges.kafka.transport",
    "monitor.edges.supervisor",
    "faust.app.router",
    "faust.tables.manager",
    "faust.topics",
    "faust.worker",
    "tests.chaos.worker",
):
    import_module(name)
gc.collect()
gc.freeze()
