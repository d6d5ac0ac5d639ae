"""What a group is reduced to before it is compared: hits among rows, or rows with two sums of a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtrit

from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import wilson


@dataclass(frozen=True, slots=True)
class Trials:
    """`hits` of `rows` have some property; 0 <= hits <= rows."""

    hits: int
    rows: int

    @property
    def mean(self) -> float:
        """The rate, in [0, 1]; 0 without rows."""
        return self.hits / self.rows if self.rows else 0.0

    def __add__(self, other: Trials) -> Trials:
        return Trials(self.hits + other.hits, self.rows + other.rows)

    def measure(self, level: float) -> Estimate:
        """The rate with Wilson's interval, see `monitor.core.metrics.intervals.wilson`.

        >>> Trials(1, 4).measure(0.95).value
        0.25
        """
        if self.rows == 0:
            return Estimate.undefined("no rows")
        return Estimate(self.mean, *wilson(self.mean, self.rows, level))


@dataclass(frozen=True, slots=True)
class Moments:
    """`rows` values of any unit, their sum and the sum of their squares.

    Attributes:
        rows: how many.
        total: their sum.
        total_sq: the sum of their squares.
        floor, ceiling: bounds of the values, where there are any.
    """

    rows: int
    total: float
    total_sq: float
    floor: float = -math.inf
    ceiling: float = math.inf

    @property
    def mean(self) -> float:
        """Mean of the values; 0 without rows."""
        return self.total / self.rows if self.rows else 0.0

    @property
    def variance(self) -> float:
        """Variance of the values, unbiased, `(total_sq - total² / n) / (n - 1)`; 0 for fewer than two."""
        if self.rows < 2:
            return 0.0
        return max(self.total_sq - self.total * self.mean, 0.0) / (self.rows - 1)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.rows + other.rows,
            self.total + other.total,
            self.total_sq + other.total_sq,
            min(self.floor, other.floor),
            max(self.ceiling, other.ceiling),
        )

    def measure(self, level: float) -> Estimate:
        """The mean with Student's interval, clipped to the bounds; no interval for a single row.

        Source: Student (1908), doi:10.1093/biomet/6.1.1.

        >>> Moments(4, 10.0, 30.0).measure(0.95).value
        2.5
        """
        if self.rows == 0:
            return Estimate.undefined("no rows")
        if self.rows == 1:
            return Estimate(self.mean)
        half = float(stdtrit(self.rows - 1, 0.5 + level / 2)) * math.sqrt(self.variance / self.rows)
        return Estimate(self.mean, max(self.floor, self.mean - half), min(self.ceiling, self.mean + half))


Sums = Trials | Moments


def total(parts: list[Sums]) -> Sums:
    """Sum of groups of one kind; `parts` is not empty.

    >>> total([Trials(1, 2), Trials(2, 5)])
    Trials(hits=3, rows=7)
    """
    first, *others = parts
    for part in others:
        # Both are of one kind: a family gives Trials for every group, or Moments for every group.
        first = first + part  # type: ignore[operator]
    return first
