"""A clock that knows the time of day, and one that moves when told to."""

from __future__ import annotations

import asyncio
from typing import Protocol

from monitor.ports import Clock


class WallClock(Clock, Protocol):
    """A clock that also knows the time of day."""

    def now_ms(self) -> int:
        """Epoch ms."""
        ...


class ManualClock:
    """A clock that moves when told to; `sleep` moves it.

    >>> clock = ManualClock(now_ms=1_000)
    >>> clock.advance(2.5)
    >>> clock.now_ms(), clock.monotonic_s()
    (3500, 2.5)
    """

    def __init__(self, now_ms: int = 0) -> None:
        self._start_ms = now_ms
        self._passed_s = 0.0

    def now_ms(self) -> int:
        """Epoch ms."""
        return self._start_ms + round(self._passed_s * 1_000)

    def monotonic_s(self) -> float:
        """Seconds since the start."""
        return self._passed_s

    def advance(self, wait_s: float) -> None:
        """Let time pass."""
        self._passed_s += wait_s

    async def sleep(self, wait_s: float) -> None:
        """Let time pass, and other tasks run."""
        self.advance(wait_s)
        await asyncio.sleep(0)
