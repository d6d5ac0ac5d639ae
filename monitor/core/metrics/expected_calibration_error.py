"""Expected calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from monitor.core.counters import (
    CALIBRATION,
    CALIBRATION_BINS,
    CALIBRATION_PARTS,
    FIXED_ONE,
    Kind,
    SliceCounts,
)
from monitor.core.metrics.estimate import Estimate, no_curve, unlabelled
from monitor.core.metrics.intervals import normal_quantile


@dataclass(frozen=True)
class ExpectedCalibrationError:
    """How far scores are from observed frequencies, averaged over 20 equal-width bins of the score.

    With n[b] labelled rows in bin b, [b/20, (b+1)/20), the last one closed, y[b] their share of positives and
    s[b] their mean score:

    `ece = Σ_b n[b] |y[b] - s[b]| / Σ_b n[b]`, in [0, 1].

    The plain estimate is too large for few rows: a perfectly calibrated model reads about
    `noise = Σ_b w[b] σ[b] sqrt(2/π)`, with `w[b] = n[b] / n` and σ[b] the standard error of y[b]. The value
    is the plain one, comparable with other tools; `max(0, ece - noise)` is the debiased one, and the lower
    end of the interval takes the noise into account, so "low > 0" means miscalibrated.

    Interval: for the binned calibration error of the population at these scores. E[ece] lies between the
    truth and the truth plus `noise`, and its variance is at most `v = Σ_b w[b]² σ[b]²`, so the interval is
    `[ece - noise - z sqrt(v), ece + z sqrt(v)]`, conservative by construction. σ[b]² is taken at the share
    `(positives + 1) / (n[b] + 2)`, so that a bin of few rows is not thought certain. Undefined without
    labelled scores.

    Source: Naeini, Cooper and Hauskrecht (2015), doi:10.1609/aaai.v29i1.9602; on the bias Kumar, Liang and Ma
    (2019), arXiv:1909.10155.

    >>> counts = SliceCounts.zero()
    >>> cells = counts.calibration.reshape(CALIBRATION_BINS, CALIBRATION_PARTS)
    >>> cells[15] = 4, 2, 3 * FIXED_ONE  # four rows with a mean score of 0.75, half of them positive
    >>> ExpectedCalibrationError()(counts).value
    0.25
    """

    name: ClassVar[str] = "expected_calibration_error"
    kind: ClassVar[Kind] = CALIBRATION

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        if counts.calibration is None:
            return no_curve(counts)
        cells = counts.calibration.reshape(CALIBRATION_BINS, CALIBRATION_PARTS)
        rows, positives, score_sum = cells[cells[:, 0] > 0].T.astype(np.float64)
        total = float(rows.sum())
        if total == 0:
            return unlabelled(counts, "no labelled scores")
        value = float(np.abs(positives - score_sum / FIXED_ONE).sum()) / total
        share = (positives + 1) / (rows + 2)
        error = rows / total * np.sqrt(share * (1 - share) / rows)
        noise = math.sqrt(2 / math.pi) * float(error.sum())
        half = normal_quantile(level) * math.sqrt(float(error @ error))
        return Estimate(value, max(0.0, value - noise - half), min(1.0, value + half))
