"""Coefficient of determination."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import VALUES, Kind, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import normal_quantile
from monitor.core.metrics.of_values import sums_of, unjudged
from monitor.core.tasks.moments import Counted, Moment


@dataclass(frozen=True)
class R2:
    """The share of the labels' variance that predictions explain.

    `r2 = 1 - Σ (value - label)² / Σ (label - mean label)²`, at most 1, over labelled rows with a value; below
    0 where the mean of the labels would have predicted better.

    Interval: normal, by the delta method for the ratio of the two mean squares,
    `var = (var u - 2 R cov(u, v) + R² var v) / (n mean(v)²)` with u the squared error, v the squared distance
    from the mean label and R their ratio. Undefined without labelled values, or where all labels are equal.
    """

    name: ClassVar[str] = "r2"
    kind: ClassVar[Kind] = VALUES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        sums = sums_of(counts)
        rows = sums.rows(Counted.JUDGED)
        if rows == 0:
            return unjudged(counts)
        mean = {moment: sums.total(moment) / rows for moment in Moment}
        y1, y2, y3, y4 = (mean[m] for m in (Moment.LABEL, Moment.LABEL_2, Moment.LABEL_3, Moment.LABEL_4))
        u, v = mean[Moment.ERROR_2], y2 - y1 * y1
        if v <= 0 or rows < 2:
            return Estimate.undefined("all labels are equal")
        ratio = u / v
        v_2 = y4 - 4 * y1 * y3 + 6 * y1**2 * y2 - 3 * y1**4
        uv = mean[Moment.ERROR_2_LABEL_2] - 2 * y1 * mean[Moment.ERROR_2_LABEL] + y1**2 * u
        spread = (mean[Moment.ERROR_4] - u * u) - 2 * ratio * (uv - u * v) + ratio**2 * (v_2 - v * v)
        half = normal_quantile(level) * math.sqrt(max(0.0, float(spread)) / rows) / float(v)
        value = 1 - float(ratio)
        return Estimate(value, value - half, min(1.0, value + half))
