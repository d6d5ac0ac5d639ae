"""What metrics of regression have in common: exact sums, and means with Student's intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.special import stdtrit

from monitor.core.counters import Counts, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.tasks.moments import CELLS, Counted, Moment, moment_of, size_of


@dataclass(frozen=True)
class Sums:
    """The values array of a slice, of its full length."""

    cells: Counts

    def rows(self, counted: Counted) -> int:
        """How many."""
        return int(self.cells[counted])

    def total(self, moment: Moment) -> Fraction:
        """A sum, in units to its power."""
        return moment_of(self.cells, moment)

    def total_size(self, moment: Moment) -> Fraction:
        """The sum of absolute amounts."""
        return size_of(self.cells, moment)


def sums_of(counts: SliceCounts) -> Sums:
    """The sums of a slice; zeros where nothing was counted."""
    cells = np.zeros(CELLS, np.int64)
    if counts.values is not None:
        cells[: len(counts.values)] = counts.values
    return Sums(cells)


def unjudged(counts: SliceCounts) -> Estimate:
    """Undefined: no labels, or none of a row with a value."""
    reason = "no labelled rows" if counts[Scalar.LABELLED] == 0 else "no labelled values"
    return Estimate.undefined(reason)


def mean_estimate(total: Fraction, total_2: Fraction, rows: int, level: float, unit: float) -> Estimate:
    """A mean with Student's interval, from sums in units; one row has a value and no interval."""
    mean = total / rows
    if rows == 1:
        return Estimate(float(mean) * unit)
    spread = (total_2 / rows - mean * mean) * rows / (rows - 1)
    half = float(stdtrit(rows - 1, (1 + level) / 2)) * math.sqrt(max(float(spread), 0.0) / rows)
    return Estimate(float(mean) * unit, (float(mean) - half) * unit, (float(mean) + half) * unit)
