"""What a distance between two histograms has to say: its value, what noise alone would give, what is left.

A fixed limit (PSI 0.2, KS p < 0.05) means something else at every number of rows. So each distance comes with
the value that two samples of these sizes reach by chance, and with its value less what chance contributes on
average. A distance that cannot be told is `Insufficient`, with the reason; it is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Counts

Floats = NDArray[np.float64]

ALPHA: Final = 0.01
"""Chance that a reading passes its threshold at one look while nothing has changed. Readings describe;
alerts are decided by evidence that may be looked at as often as one likes
(`monitor.core.drift.two_sample`)."""

ROWS_MIN: Final = 30
"""Rows that each side must have before a distance is stated."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A distance between live counts and those of a reference.

    Attributes:
        value: as estimated, 0 or greater.
        threshold: passed with probability `ALPHA` at one look when nothing has changed.
        effect: value less what chance alone contributes on average, 0 or greater.
    """

    value: float
    threshold: float
    effect: float

    @property
    def beyond_noise(self) -> bool:
        """Greater than chance explains, at one look."""
        return self.value > self.threshold


@dataclass(frozen=True, slots=True)
class Insufficient:
    """A distance that cannot be told, and why."""

    reason: str


def too_few(reference: Counts, live: Counts) -> Insufficient | None:
    """Whether either side has too few rows to compare, and which.

    >>> too_few(np.array([500, 500]), np.array([3, 2]))
    Insufficient(reason='5 live rows, 30 are needed')
    """
    for rows, side in ((int(reference.sum()), "reference"), (int(live.sum()), "live")):
        if rows < ROWS_MIN:
            return Insufficient(f"{rows} {side} rows, {ROWS_MIN} are needed")
    return None


def inverse_rows(reference: Counts, live: Counts) -> float:
    """1/m + 1/n: the scale of every squared distance under no change."""
    return 1.0 / float(reference.sum()) + 1.0 / float(live.sum())
