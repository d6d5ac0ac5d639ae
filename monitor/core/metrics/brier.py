"""Brier score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import mean


@dataclass(frozen=True)
class Brier:
    """The mean squared error of the scores as probabilities.

    `brier = mean((p - y)²)`, in [0, 1], over labelled rows with a score; 0.25 for a constant score of 0.5.
    Less moved by single rows than `LogLoss`.

    Interval: Student's, from the sum of squares. Undefined without labelled scores.

    Source: Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    >>> from monitor.core.counters import FIXED_ONE
    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.RATED, Scalar.BRIER_SUM]] = 4, FIXED_ONE
    >>> Brier()(counts).value
    0.25
    """

    name: ClassVar[str] = "brier"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        rated = counts[Scalar.RATED]
        if rated == 0:
            return unlabelled(counts, "no labelled scores")
        return mean(counts[Scalar.BRIER_SUM], counts[Scalar.BRIER_SQ_SUM], rated, level, 1.0)
