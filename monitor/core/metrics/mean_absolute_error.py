"""Mean absolute error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from monitor.core.counters import VALUES, Kind, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.of_values import mean_estimate, sums_of, unjudged
from monitor.core.tasks.moments import Counted, Moment


@dataclass(frozen=True)
class MeanAbsoluteError:
    """How far predictions are off, on average.

    `mae = mean |value - label|`, at least 0, over labelled rows with a value.

    Interval: Student's, from the sum of squares. Undefined without labelled values.
    """

    name: ClassVar[str] = "mae"
    kind: ClassVar[Kind] = VALUES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        sums = sums_of(counts)
        rows = sums.rows(Counted.JUDGED)
        if rows == 0:
            return unjudged(counts)
        found = mean_estimate(
            sums.total_size(Moment.ERROR), sums.total(Moment.ERROR_2), rows, level, counts.unit
        )
        return found if found.low is None else replace(found, low=max(0.0, found.low))
