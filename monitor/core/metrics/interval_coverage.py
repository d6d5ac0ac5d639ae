"""Interval coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import VALUES, Kind, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import proportion
from monitor.core.metrics.of_values import sums_of
from monitor.core.tasks.moments import Counted


@dataclass(frozen=True)
class IntervalCoverage:
    """How often the label lies inside the interval that the model gave.

    `interval_coverage = labels inside / labelled rows with an interval`, in [0, 1], ends included; of
    intervals between the 5 % and the 95 % quantile it should be 0.9.

    Interval: Wilson. Undefined without labelled intervals.
    """

    name: ClassVar[str] = "interval_coverage"
    kind: ClassVar[Kind] = VALUES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        sums = sums_of(counts)
        rows = sums.rows(Counted.INTERVALS)
        if rows == 0:
            return unlabelled(counts, "no labelled intervals")
        return proportion(rows - sums.rows(Counted.BELOW) - sums.rows(Counted.ABOVE), rows, level)
