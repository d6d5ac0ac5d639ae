"""Recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class Recall:
    """The share of positives that were found (sensitivity, true positive rate).

    `recall = TP / (TP + FN)`, in [0, 1], over labelled rows with a decision. Equal opportunity asks that it
    is equal across groups (Hardt, Price and Srebro, 2016, arXiv:1610.02413).

    Interval: Wilson. Undefined without positive labels.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 3, 1, 4, 2
    >>> Recall()(counts).value
    0.6
    """

    name: ClassVar[str] = "recall"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        rows = counts[Scalar.TP] + counts[Scalar.FN]
        if rows == 0:
            return unlabelled(counts, "no positive labels")
        return proportion(counts[Scalar.TP], rows, level)
