"""Bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import VALUES, Kind, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.of_values import mean_estimate, sums_of, unjudged
from monitor.core.tasks.moments import Counted, Moment


@dataclass(frozen=True)
class Bias:
    """Whether predictions are too high or too low, on average.

    `bias = mean (value - label)`, over labelled rows with a value: above 0 where predictions are too high.

    Interval: Student's, from the sum of squares; "0 outside" means biased. Undefined without labelled values.
    """

    name: ClassVar[str] = "bias"
    kind: ClassVar[Kind] = VALUES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        sums = sums_of(counts)
        rows = sums.rows(Counted.JUDGED)
        if rows == 0:
            return unjudged(counts)
        return mean_estimate(sums.total(Moment.ERROR), sums.total(Moment.ERROR_2), rows, level, counts.unit)
