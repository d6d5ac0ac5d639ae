"""Independent parts of a measurement, a process each, under one progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Key = TypeVar("Key")
Work = TypeVar("Work")
Result = TypeVar("Result")


def in_parallel(
    title: str, measure: Callable[[Work], Result], parts: Mapping[Key, Work]
) -> dict[Key, Result]:
    """Measure every part; seeded parts give what one process would, in the order given."""
    found: dict[Key, Result] = {}
    pool = ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))
    with pool, Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task(title, total=len(parts))
        running = {pool.submit(measure, work): key for key, work in parts.items()}
        for done in as_completed(running):
            found[running[done]] = done.result()
            progress.advance(bar)
    return {key: found[key] for key in parts}
