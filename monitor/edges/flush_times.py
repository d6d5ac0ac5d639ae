"""How long flushes take."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from monitor.core.own_health import RECENT_S
from monitor.ports import Clock

_KEPT: Final = 2_000


class FlushTimes:
    """Seconds that flushes took: all of them as a sum, those of the last minute one by one.

    Args:
        clock: measures.

    Attributes:
        total_s: of all flushes.
        count: of all flushes.
    """

    def __init__(self, clock: Clock) -> None:
        self.total_s = 0.0
        self.count = 0
        self._clock = clock
        self._recent: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def took(self, began_s: float) -> None:
        """A flush that began then, on the clock, has ended now."""
        now_s = self._clock.monotonic_s()
        self._recent.append((now_s, now_s - began_s))
        self.total_s += now_s - began_s
        self.count += 1

    def quantiles_ms(self) -> tuple[float | None, float | None]:
        """Median and 99th percentile of the last minute, None without a flush in it."""
        now_s = self._clock.monotonic_s()
        recent = [took_s for at_s, took_s in self._recent if now_s - at_s <= RECENT_S]
        if not recent:
            return None, None
        median, high = 1000 * np.quantile(recent, (0.5, 0.99))
        return float(median), float(high)
