"""Positive rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class PositiveRate:
    """The share of decisions that are positive: what demographic parity compares. Needs no labels.

    `positive_rate = positive / decided`, in [0, 1]. For what the labels say, see `LabelRate`.

    Interval: Wilson. Undefined without decisions.

    Source: Dwork et al. (2012), Fairness through awareness, doi:10.1145/2090236.2090255 (statistical parity).

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.DECIDED, Scalar.POSITIVE]] = 4, 1
    >>> PositiveRate()(counts).value
    0.25
    """

    name: ClassVar[str] = "positive_rate"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        decided = counts[Scalar.DECIDED]
        if decided == 0:
            return Estimate.undefined("no decisions")
        return proportion(counts[Scalar.POSITIVE], decided, level)
