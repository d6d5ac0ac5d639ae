"""Equal opportunity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.fairness.sums import Trials


@dataclass(frozen=True)
class EqualOpportunity:
    """The share of those who deserve it that get it, `TP / (TP + FN)`: the true positive rate of each group.

    Source: Hardt, Price and Srebro (2016), arXiv:1610.02413.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 4, 1, 3, 2
    >>> EqualOpportunity()(counts)
    Trials(hits=4, rows=6)
    """

    name: ClassVar[str] = "equal_opportunity"
    title: ClassVar[str] = "true positive rate"
    absent: ClassVar[str] = "no labelled positives"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Trials:
        """See `Family`."""
        return Trials(counts[Scalar.TP], counts[Scalar.TP] + counts[Scalar.FN])
