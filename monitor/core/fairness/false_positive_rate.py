"""Equal false positive rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.fairness.sums import Trials


@dataclass(frozen=True)
class FalsePositiveRateGap:
    """The share of those who do not deserve it that get it, `FP / (FP + TN)` (predictive equality).

    Source: Corbett-Davies et al. (2017), doi:10.1145/3097983.3098095.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 4, 1, 3, 2
    >>> FalsePositiveRateGap()(counts)
    Trials(hits=1, rows=4)
    """

    name: ClassVar[str] = "false_positive_rate"
    title: ClassVar[str] = "false positive rate"
    absent: ClassVar[str] = "no labelled negatives"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Trials:
        """See `Family`."""
        return Trials(counts[Scalar.FP], counts[Scalar.FP] + counts[Scalar.TN])
