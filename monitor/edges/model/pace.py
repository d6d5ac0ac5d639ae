"""A steady rate of rows, for one process; what many share is the budget of the prober."""

from __future__ import annotations

from monitor.ports import Clock


class Pace:
    """A `Spend`: rows are sent so many a second, those of one call together.

    Args:
        rows_per_s: at most, over any stretch that is longer than a call.
        clock: to wait by.
    """

    def __init__(self, rows_per_s: float, clock: Clock) -> None:
        self._rows_per_s = rows_per_s
        self._clock = clock
        self._free_at_s = clock.monotonic_s()

    async def __call__(self, rows: int) -> None:
        """Wait until what was sent before has been paid for."""
        now_s = self._clock.monotonic_s()
        wait_s = self._free_at_s - now_s
        self._free_at_s = max(self._free_at_s, now_s) + rows / self._rows_per_s
        if wait_s > 0:
            await self._clock.sleep(wait_s)
