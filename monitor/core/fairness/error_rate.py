"""Equal error rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.fairness.sums import Trials


@dataclass(frozen=True)
class ErrorRateGap:
    """The share of wrong decisions, `(FP + FN) / (TP + FP + TN + FN)` (overall accuracy equality).

    Of several classes, wrong decisions among all.

    It moves with a group's label mix even where the model serves it as well: see `decomposition`.

    Source: Berk et al. (2021), doi:10.1177/0049124118782533.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 4, 1, 3, 2
    >>> ErrorRateGap()(counts)
    Trials(hits=3, rows=10)
    """

    name: ClassVar[str] = "error_rate"
    title: ClassVar[str] = "error rate"
    absent: ClassVar[str] = "no labelled decisions"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Trials:
        """See `Family`."""
        return Trials(
            sum(counts[cell] for cell in (Scalar.FP, Scalar.FN, Scalar.WRONG)),
            sum(
                counts[cell]
                for cell in (Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN, Scalar.CORRECT, Scalar.WRONG)
            ),
        )
