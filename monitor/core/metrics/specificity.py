"""Specificity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class Specificity:
    """The share of negatives that were decided negative (true negative rate).

    `specificity = TN / (FP + TN)`, in [0, 1], over labelled rows with a decision; `1 - false_positive_rate`.

    Interval: Wilson. Undefined without negative labels.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 3, 1, 4, 2
    >>> Specificity()(counts).value
    0.8
    """

    name: ClassVar[str] = "specificity"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        rows = counts[Scalar.FP] + counts[Scalar.TN]
        if rows == 0:
            return unlabelled(counts, "no negative labels")
        return proportion(counts[Scalar.TN], rows, level)
