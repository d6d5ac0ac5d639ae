"""Mean values of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SliceCounts
from monitor.core.fairness.sums import Moments
from monitor.core.metrics.of_values import sums_of
from monitor.core.tasks.moments import Counted, Moment


@dataclass(frozen=True)
class MeanValueGap:
    """The mean value predicted for each group, in the model's unit: "a credit limit twenty times lower".

    Needs no labels. A ratio means something where values have one sign.
    """

    name: ClassVar[str] = "mean_value"
    title: ClassVar[str] = "mean value"
    absent: ClassVar[str] = "no values"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Moments:
        """See `Family`."""
        sums = sums_of(counts)
        return Moments(
            sums.rows(Counted.VALUED),
            float(sums.total(Moment.VALUE)) * counts.unit,
            float(sums.total(Moment.VALUE_2)) * counts.unit**2,
        )
