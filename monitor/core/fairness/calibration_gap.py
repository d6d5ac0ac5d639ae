"""Calibration of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monitor.core.counters import CALIBRATION_BINS, CALIBRATION_PARTS, FIXED_ONE, SliceCounts
from monitor.core.fairness.sums import Moments, Trials
from monitor.core.metrics.estimate import Estimate


@dataclass(frozen=True)
class CalibrationGap:
    """Mean score minus observed rate, over labelled scored rows: above 0 the score promises too much.

    `gap = mean(s) - mean(y)`, in [-1, 1], from the 20 equal-width bins of the score. Its variance takes each
    row's score to be the mean of its bin, and is no smaller than that of labels drawn at the scores, so
    that a group whose few labels all agree is not thought certain.

    Source: Kleinberg, Mullainathan and Raghavan (2017), doi:10.4230/LIPIcs.ITCS.2017.43 (calibration within
    groups); Spiegelhalter (1986), doi:10.1002/sim.4780050506 (the test of the mean).

    >>> counts = SliceCounts.zero()
    >>> counts.calibration.reshape(CALIBRATION_BINS, CALIBRATION_PARTS)[15] = 4, 2, 3 * FIXED_ONE
    >>> CalibrationGap()(counts).mean
    0.25
    """

    name: ClassVar[str] = "calibration"
    title: ClassVar[str] = "mean score minus observed rate"
    absent: ClassVar[str] = "no labelled scores, or their bins are not kept for this window"
    ratios: ClassVar[bool] = False

    def __call__(self, counts: SliceCounts) -> Moments:
        """See `Family`."""
        if counts.calibration is None:
            return Moments(0, 0.0, 0.0, -1.0, 1.0)
        cells = counts.calibration.reshape(CALIBRATION_BINS, CALIBRATION_PARTS)
        rows, positive, score_sum = cells[cells[:, 0] > 0].T.astype(np.float64)
        score = score_sum / FIXED_ONE / rows
        squares = positive * (score - 1) ** 2 + (rows - positive) * score**2
        gap = float(rows @ score) - float(positive.sum())
        drawn = float(rows @ (score * (1 - score))) + gap * gap / max(float(rows.sum()), 1.0)
        return Moments(int(rows.sum()), gap, max(float(squares.sum()), drawn), -1.0, 1.0)


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Labelled rows whose score lies in [from_, to); the last bin is closed.

    Attributes:
        from_, to: ends of the bin.
        rows: how many rows.
        score: their mean score.
        observed: share of positives with Wilson's interval.
    """

    from_: float
    to: float
    rows: int
    score: float
    observed: Estimate

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "from": self.from_, "to": self.to, "rows": self.rows, "score": self.score,
            "observed": self.observed.to_dict(),
        }  # fmt: skip


def calibration_bins(counts: SliceCounts, level: float = 0.95) -> list[CalibrationBin]:
    """The bins of the score that have labelled rows, ascending; none where they are not kept.

    >>> counts = SliceCounts.zero()
    >>> counts.calibration.reshape(CALIBRATION_BINS, CALIBRATION_PARTS)[15] = 4, 2, 3 * FIXED_ONE
    >>> [(b.from_, b.to, b.score, b.observed.value) for b in calibration_bins(counts)]
    [(0.75, 0.8, 0.75, 0.5)]
    """
    if counts.calibration is None:
        return []
    cells = counts.calibration.reshape(CALIBRATION_BINS, CALIBRATION_PARTS)
    return [
        CalibrationBin(
            place / CALIBRATION_BINS,
            (place + 1) / CALIBRATION_BINS,
            rows,
            score_sum / FIXED_ONE / rows,
            Trials(positive, rows).measure(level),
        )
        for place, (rows, positive, score_sum) in enumerate(cells.tolist())
        if rows
    ]
