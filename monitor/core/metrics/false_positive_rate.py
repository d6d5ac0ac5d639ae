"""False positive rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class FalsePositiveRate:
    """The share of negatives that were decided positive (fall-out).

    `false_positive_rate = FP / (FP + TN)`, in [0, 1], over labelled rows with a decision; `1 - specificity`.

    Interval: Wilson. Undefined without negative labels.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 3, 1, 4, 2
    >>> FalsePositiveRate()(counts).value
    0.2
    """

    name: ClassVar[str] = "false_positive_rate"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        rows = counts[Scalar.FP] + counts[Scalar.TN]
        if rows == 0:
            return unlabelled(counts, "no negative labels")
        return proportion(counts[Scalar.FP], rows, level)
