"""What is normal for a model, as counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from monitor.core.counters import Counts, SliceCounts


@dataclass(frozen=True)
class ReferenceCounts:
    """A reference counted as if it were one bucket.

    Attributes:
        scalars: slice id → int64[len(Scalar)].
        scores: slice id → int64[SCORES.size], labelled parts too.
        calibration: slice id → int64[CALIBRATION.size].
        features: int64[layout.size], None where features are not counted.
        scale: int64[numeric · SCALE_CELLS], likewise.
        values: of a regression, slice id → `values` array.
        classes: of several classes, slice id → `classes` array.
        unit: of a regression, what its sums count in.
    """

    scalars: Mapping[int, Counts] = field(default_factory=dict)
    scores: Mapping[int, Counts] = field(default_factory=dict)
    calibration: Mapping[int, Counts] = field(default_factory=dict)
    features: Counts | None = None
    scale: Counts | None = None
    values: Mapping[int, Counts] = field(default_factory=dict)
    classes: Mapping[int, Counts] = field(default_factory=dict)
    unit: float = 1.0

    @cached_property
    def slices(self) -> Mapping[int, SliceCounts]:
        """Slice id → its counts; curves where they were counted."""
        return {
            i: SliceCounts(
                scalars,
                self.scores.get(i),
                self.calibration.get(i),
                classes=self.classes.get(i),
                values=self.values.get(i),
                unit=self.unit,
            )
            for i, scalars in self.scalars.items()
        }
