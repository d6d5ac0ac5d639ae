"""Label coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class Coverage:
    """The share of requests whose label has come; read it next to every labelled metric.

    `coverage = labelled / tracked`, in [0, 1], where tracked are the requests whose labels are awaited (all
    of them, or those inside the label sample). A metric of a window with little coverage speaks for the
    quickly labelled rows only.

    Interval: Wilson. Undefined where no labels are awaited.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TRACKED, Scalar.LABELLED]] = 4, 3
    >>> Coverage()(counts).value
    0.75
    """

    name: ClassVar[str] = "coverage"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        tracked = counts[Scalar.TRACKED]
        if tracked == 0:
            return Estimate.undefined("no requests whose labels are awaited")
        return proportion(counts[Scalar.LABELLED], tracked, level)
