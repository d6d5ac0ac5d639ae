"""Mean absolute errors of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SliceCounts
from monitor.core.fairness.sums import Moments
from monitor.core.metrics.of_values import sums_of
from monitor.core.tasks.moments import Counted, Moment


@dataclass(frozen=True)
class MeanAbsoluteErrorGap:
    """The mean of |value - label| of each group: for whom the model is worse."""

    name: ClassVar[str] = "mean_absolute_error"
    title: ClassVar[str] = "mean absolute error"
    absent: ClassVar[str] = "no labelled values"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Moments:
        """See `Family`."""
        sums = sums_of(counts)
        return Moments(
            sums.rows(Counted.JUDGED),
            float(sums.total_size(Moment.ERROR)) * counts.unit,
            float(sums.total(Moment.ERROR_2)) * counts.unit**2,
            0.0,
        )
