"""The rows a second that a model may be asked, by all workers together, and never more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from monitor.core.probes.spending import LATE_S, held_rows
from monitor.ports import Clock, Store

Answered = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Calls until the store answers."""


class ProbeBudget:
    """Waits for the turn of rows.

    In any second at most `rate_per_s + burst` rows are sent: the bucket holds `burst` less what comes in
    during `LATE_S`.

    Args:
        store: shared by all workers.
        model: whose budget.
        rate_per_s: rows a second.
        burst: rows beyond them in one second.
        clock: of this worker.
        answered: calls until the store answers.

    Attributes:
        rows: reserved and used so far.
    """

    def __init__(
        self, store: Store, model: str, rate_per_s: float, burst: float, clock: Clock, answered: Answered
    ) -> None:
        self.rows = 0
        self._store = store
        self._model = model
        self._rate_per_s = rate_per_s
        self._held = held_rows(rate_per_s, burst)
        self._clock = clock
        self._answered = answered

    @property
    def rows_max(self) -> int:
        """Rows that may be sent at once."""
        return int(self._held)

    async def spend(self, rows: int) -> None:
        """Return when so many rows, at most `rows_max`, may be sent, and then at once."""
        while True:
            asked_s = self._clock.monotonic_s()
            wait_s: float = await self._answered(
                lambda: self._store.reserve_rows(self._model, rows, self._rate_per_s, self._held)
            )
            due_s = self._clock.monotonic_s() + wait_s
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            while (left_s := due_s - self._clock.monotonic_s()) > 0:
                await self._clock.sleep(left_s)
            if self._clock.monotonic_s() - asked_s - wait_s <= LATE_S:
                self.rows += rows
                return
