"""What a configuration can see: for each slice, the rows it takes until a failure of a given size is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from monitor.core.counters import ALL_SLICE, Counts, Scalar
from monitor.core.detectors import slice_gap
from monitor.core.detectors.finding import SliceName
from monitor.core.detectors.gap_tables import GapMetric
from monitor.core.detectors.slice_gap import GapState
from monitor.core.evaluation.model import ModelEvaluation
from monitor.core.evaluation.streams import streams_of
from monitor.core.evidence.power import rows_needed

FAILING: Final = (1.5, 2.0)
"""Error rates that are asked after, as multiples of the slice's own."""


@dataclass(frozen=True)
class Sensitivity:
    """What it takes to see a slice fail.

    Attributes:
        slice: in words.
        share: of the traffic.
        error_rate: in the reference.
        rows: labelled rows of the slice until an error rate of 1.5 and 2 times that is told; None where it is
            within what is tolerated.
    """

    slice: str
    share: float
    error_rate: float
    rows: tuple[int | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        told = {f"rows_at_{factor:g}_times": rows for factor, rows in zip(FAILING, self.rows, strict=True)}
        return {"slice": self.slice, "share": self.share, "error_rate": self.error_rate, **told}


def sensitivities(config: ModelEvaluation, names: Sequence[SliceName]) -> list[Sensitivity]:
    """One for each slice that the reference knows well enough, the largest first.

    Args:
        config: of the model, with its reference.
        names: slices of the reference.
    """
    scalars: Mapping[int, Counts] = config.reference.scalars
    if ALL_SLICE not in scalars:
        return []
    streams = streams_of(
        [name for name in names if name.id in scalars],
        config.protected,
        config.false_alarms_per_s,
        config.tier.bucket_s,
        config.label_tier.bucket_s,
        watchlist=config.watchlist({}),
    )
    errors = [(at, s) for at, s in enumerate(streams.labels) if s.metric is GapMetric.ERROR_RATE]
    state = slice_gap.align(
        config.slice_gap, GapState.fresh(), [stream for _, stream in errors], config.reference_table
    )
    found = []
    whole = scalars[ALL_SLICE]
    for row, (at, stream) in enumerate(errors):
        counts, tolerated = scalars[stream.slice_id], float(state.tolerated[row])
        labelled, wrong = _answers(counts)
        rest, rest_wrong = _answers(whole - counts)
        if np.isnan(tolerated) or not (0 < wrong < labelled and 0 < rest_wrong < rest):
            continue
        share, rate = labelled / (labelled + rest), wrong / labelled
        rows = [
            rows_needed(
                [rest_wrong / rest], [min(factor * rate, 0.99)], [tolerated], [share],
                [streams.labels_threshold[at]],
            )[0]
            for factor in FAILING
        ]  # fmt: skip
        told = tuple(None if np.isinf(need) else round(float(need)) for need in rows)
        found.append(Sensitivity(streams.names[stream.slice_id].text, share, rate, told))
    return sorted(found, key=lambda one: -one.share)


def _answers(counts: Counts) -> tuple[int, int]:
    """Labelled rows with a decision, and wrong ones among them."""
    wrong = int(counts[Scalar.FP] + counts[Scalar.FN] + counts[Scalar.WRONG])
    return wrong + int(counts[Scalar.TP] + counts[Scalar.TN] + counts[Scalar.CORRECT]), wrong
