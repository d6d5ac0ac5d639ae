"""A model in this process: a function of rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monitor.core.probes.answers import Answer
from monitor.core.probes.endpoint import Failure
from monitor.edges.model.breaker import Breaker
from monitor.edges.model.careful import Careful, Row, Spend
from monitor.edges.model.reading import Reading, read

Function = Callable[[list[dict[str, Any]]], Sequence[Any]]
"""Rows to one item a row: a score, a list of probabilities, a label."""


def call_client(
    function: Function,
    reading: Reading | None = None,
    timeout_s: float = 5.0,
    rows_max: int = 1_000,
    spend: Spend | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> Careful:
    """A `monitor.ports.ModelClient` of a function.

    Args:
        function: asked in a thread of its own, a call at a time.
        reading: how its items are read.
        timeout_s: of one call. A thread cannot be stopped: one that hangs keeps the next ones waiting.
        rows_max: rows of one call.
        spend: as for endpoints.
        now_s: the breaker's clock.
    """
    breaker = Breaker(failures_max=5, wait_s=5.0, wait_max_s=300.0)
    return Careful(FunctionExchange(function, reading, timeout_s), rows_max, breaker, spend, now_s)


class FunctionExchange:
    """See `monitor.edges.model.careful.Exchange`."""

    def __init__(self, function: Function, reading: Reading | None = None, timeout_s: float = 5.0) -> None:
        self._function = function
        self._reading = reading or Reading()
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, "model")

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """All in one."""
        return [list(range(len(rows)))]

    async def call(self, rows: Sequence[Row]) -> list[Answer] | str:
        """Call the function. What it raises is a refusal."""
        asked = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, rows)
        try:
            return await asyncio.wait_for(asked, self._timeout_s)
        except TimeoutError:
            return Failure.TIMEOUT

    async def close(self) -> None:
        """Wait for nothing: a thread that hangs would hang the caller."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, rows: Sequence[Row]) -> list[Answer] | str:
        try:
            items = self._function([dict(row) for row in rows])
            found = items.tolist() if hasattr(items, "tolist") else list(items)
        except Exception:  # noqa: BLE001 - somebody else's code: whatever it raises, it refused the rows
            return Failure.REFUSED
        return read(found, len(rows), self._reading)
