"""Median absolute error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from monitor.core.counters import RESIDUALS, Kind, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import normal_quantile
from monitor.core.metrics.of_values import sums_of, unjudged
from monitor.core.tasks.moments import Counted, residual_edges


@dataclass(frozen=True)
class MedianAbsoluteError:
    """How far half of the predictions are off, at most: large errors do not move it.

    `median_absolute_error = median |value - label|`, at least 0, over labelled rows with a value, read from
    bins of 9 % width: the middle of the median's bin, `error_bound` half its width. Of an even number of rows
    the two in the middle are averaged.

    Interval: from the ranks between which the median lies at the given level, normal approximation of the
    binomial. Undefined without labelled values.
    """

    name: ClassVar[str] = "median_absolute_error"
    kind: ClassVar[Kind] = RESIDUALS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        if counts.residuals is None or not counts.residuals.any():
            if sums_of(counts).rows(Counted.JUDGED) == 0:
                return unjudged(counts)
            return Estimate.undefined("errors are not kept for this window")
        edges = residual_edges() * counts.unit
        upto = np.cumsum(counts.residuals)
        rows = int(upto[-1])
        half = normal_quantile(level) * math.sqrt(rows) / 2
        first, second, low, high = (
            int(np.searchsorted(upto, min(max(rank, 1.0), float(rows))))
            for rank in ((rows + 1) // 2, rows // 2 + 1, rows / 2 - half, rows / 2 + half + 1)
        )
        under = float(edges[first] + edges[second]) / 2
        above = float(edges[first + 1] + edges[second + 1]) / 2
        middle, bound = (under + above) / 2, (above - under) / 2
        return Estimate(middle, float(edges[low]), float(edges[high + 1]), error_bound=bound)
