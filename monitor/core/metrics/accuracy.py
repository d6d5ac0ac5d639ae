"""Accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class Accuracy:
    """The share of decisions that turned out right.

    `accuracy = (TP + TN) / (TP + FP + TN + FN)`, in [0, 1], over labelled rows with a decision; of several
    classes, right decisions among them. With rare positives it hides what matters; see `Recall` and
    `Precision`.

    Interval: Wilson. Undefined without labelled decisions.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 3, 1, 4, 2
    >>> Accuracy()(counts).value
    0.7
    """

    name: ClassVar[str] = "accuracy"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        right = counts[Scalar.TP] + counts[Scalar.TN] + counts[Scalar.CORRECT]
        rows = right + counts[Scalar.FP] + counts[Scalar.FN] + counts[Scalar.WRONG]
        if rows == 0:
            return unlabelled(counts, "no labelled decisions")
        return proportion(right, rows, level)
