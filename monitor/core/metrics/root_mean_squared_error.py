"""Root mean squared error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import VALUES, Kind, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.of_values import mean_estimate, sums_of, unjudged
from monitor.core.tasks.moments import Counted, Moment


@dataclass(frozen=True)
class RootMeanSquaredError:
    """How far predictions are off, large errors weighing more.

    `rmse = sqrt(mean (value - label)²)`, at least 0, over labelled rows with a value.

    Interval: the root of Student's interval of the mean square, from the sum of fourth powers. Undefined
    without labelled values.
    """

    name: ClassVar[str] = "rmse"
    kind: ClassVar[Kind] = VALUES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        sums = sums_of(counts)
        rows = sums.rows(Counted.JUDGED)
        if rows == 0:
            return unjudged(counts)
        square = mean_estimate(sums.total(Moment.ERROR_2), sums.total(Moment.ERROR_4), rows, level, 1.0)
        ends = (square.value, square.low, square.high)
        value, low, high = (None if end is None else math.sqrt(max(0.0, end)) * counts.unit for end in ends)
        return Estimate(value, low, high)
