"""Label rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import proportion


@dataclass(frozen=True)
class LabelRate:
    """The share of labels that are positive: the prevalence, or base rate.

    `label_rate = positive labels / labelled`, in [0, 1]. Precision and the area under the precision-recall
    curve move with it even when the model does not change.

    Interval: Wilson. Undefined without labels.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.LABELLED, Scalar.LABEL_POSITIVE]] = 4, 1
    >>> LabelRate()(counts).value
    0.25
    """

    name: ClassVar[str] = "label_rate"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        labelled = counts[Scalar.LABELLED]
        if labelled == 0:
            return Estimate.undefined("no labelled rows")
        return proportion(counts[Scalar.LABEL_POSITIVE], labelled, level)
