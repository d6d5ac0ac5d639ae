"""Precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class Precision:
    """The share of positive decisions that turned out right (positive predictive value).

    `precision = TP / (TP + FP)`, in [0, 1], over labelled rows. It moves with the label rate, `Recall`
    does not.

    Interval: Wilson. Undefined without labelled positive decisions.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 3, 1, 4, 2
    >>> Precision()(counts).value
    0.75
    """

    name: ClassVar[str] = "precision"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        rows = counts[Scalar.TP] + counts[Scalar.FP]
        if rows == 0:
            return unlabelled(counts, "no positive decisions")
        return proportion(counts[Scalar.TP], rows, level)
