"""Mean value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import VALUES, Kind, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.of_values import mean_estimate, sums_of
from monitor.core.tasks.moments import Counted, Moment


@dataclass(frozen=True)
class MeanValue:
    """The mean of all predicted values, labelled or not.

    `mean_value = sum of values / predictions with a value`, in the model's own unit.

    Interval: Student's, from the sum of squares. Undefined without values.
    """

    name: ClassVar[str] = "mean_value"
    kind: ClassVar[Kind] = VALUES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        sums = sums_of(counts)
        rows = sums.rows(Counted.VALUED)
        if rows == 0:
            return Estimate.undefined("no values")
        return mean_estimate(sums.total(Moment.VALUE), sums.total(Moment.VALUE_2), rows, level, counts.unit)
