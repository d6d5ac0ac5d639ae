"""Do scores still come true as often as they did? Evidence from labels, once they have come.

What `cbpe` cannot see is a change in how often a score comes true. Here labelled rows are compared, cell by
cell of the score, with what a reference says of them, so that a shift of the inputs alone is no evidence.
A failure has a shape: all chances too low or too high, scores too bold or too timid, or one stretch of the
scores that is off. Each shape is bet on in both directions and three sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit, rel_entr

from monitor.core.counters import SCORE_BINS, SCORE_PARTS, Counts
from monitor.core.estimation.calibration import Floats
from monitor.core.evidence import bursts
from monitor.core.evidence.edetector import Flags

CELLS: Final = 64
"""Cells of half a logit: rows move within one by inputs alone, but not by much."""

SIZES: Final = (0.2, 0.5, 1.0)
"""Alternatives beyond what is tolerated, in log odds: odds worse by 1.2, 1.6 and 2.7."""

REGIONS: Final = 4
"""Stretches of the scores that may fail alone: expected chance below .12, .5, .88 and above."""

CELL_SE_MAX: Final = 0.6
"""Standard error of a cell's log odds in the reference past which the cell is left out (three positives will
do): errors of cells that a reference hardly knows all lean to one side, and do not average out."""

_REGION_EDGES = (-2.0, 0.0, 2.0)
_SLOPE_LOGIT_MAX = 4.0
SHAPES: Final = 2 * (2 + REGIONS)
ALTERNATIVES: Final = SHAPES * len(SIZES)

_CELL_BINS = SCORE_BINS // CELLS


@dataclass(frozen=True)
class CellLabels:
    """Labelled rows by cell of the score, float64[S, 64] each."""

    positive: Floats
    negative: Floats

    @classmethod
    def of(cls, scores: Counts) -> CellLabels:
        """From `scores` arrays, int64[S, 1536]."""
        cells = scores.reshape(len(scores), CELLS, _CELL_BINS, SCORE_PARTS).sum(axis=2).astype(np.float64)
        return cls(cells[:, :, 1], cells[:, :, 2])

    @property
    def rows(self) -> Floats:
        """Labelled rows per cell."""
        return self.positive + self.negative

    def take(self, rows: Counts) -> CellLabels:
        """Chosen streams."""
        return CellLabels(self.positive[rows], self.negative[rows])


@dataclass(frozen=True)
class Known:
    """What a reference says of S streams, float64[S, 64] each.

    Attributes:
        log_odds: of a positive label, half a row added to each side.
        variance: of `log_odds`.
    """

    log_odds: Floats
    variance: Floats

    @classmethod
    def of(cls, reference: CellLabels) -> Known:
        """From the labelled rows of a reference."""
        positive, negative = reference.positive + 0.5, reference.negative + 0.5
        return cls(np.log(positive) - np.log(negative), 1 / positive + 1 / negative)

    def take(self, rows: Counts) -> Known:
        """Chosen streams."""
        return Known(self.log_odds[rows], self.variance[rows])

    @property
    def sure(self) -> Flags:
        """Cells that the reference knows well enough to be tested, bool[S, 64]."""
        flags: Flags = self.variance <= CELL_SE_MAX**2
        return flags

    @property
    def region(self) -> Counts:
        """Stretch of the scores each cell lies in, int64[S, 64], 0 to 3."""
        return np.digitize(self.log_odds, _REGION_EDGES).astype(np.int64)


def log_e_values(labels: CellLabels, known: Known, min_effect: float, reference_z: float) -> Floats:
    """Log e-values of "chances are as known, within what is tolerated", one per alternative.

    With l the known log odds of cell c, n and k its labelled rows and positives, and h a shape:

        log e = Σ_c k (a - t) h - n (A(l + a h) - A(l + t h)),    A(x) = ln(1 + exp x)

    a likelihood ratio, given the scores, of odds moved by a along the shape against odds moved by t. Its mean
    is 1 at t and below 1 for every smaller shift along the shape; for other shifts ε to second order where
    the projection `Σ w h ε / Σ w h²` is at most t, with w = n p (1 - p) the information of a cell. So what is
    tolerated is one number per shape:

        t² = (ln min_effect · Σ w |h| / Σ w h²)² + z² Σ (w h)² s² / (Σ w h²)²

    the largest projection of an odds ratio of `min_effect` in each cell, and z standard errors of what the
    reference, with variance s² of each cell's log odds, cannot tell.

    Args:
        labels: of one bucket.
        known: of the reference.
        min_effect: odds ratio that is tolerated in every cell, at least 1.
        reference_z: z, not negative.

    Returns:
        float64[S, 36], by shape, then direction, then size; 0 where a shape has no labelled rows.

    Source: Wald (1945), doi:10.1214/aoms/1177731118, for each size; the shapes of miscalibration are the
    intercept and slope of Cox (1958), doi:10.1093/biomet/45.3-4.562.
    """
    rows = labels.rows
    p = expit(known.log_odds)
    weight = (rows * p * (1 - p))[:, None, :]
    shapes = _shapes(known)
    information = (weight * shapes**2).sum(axis=2)
    some = information > 0
    safe = np.where(some, information, 1.0)
    tolerated = np.log(min_effect) * (weight * np.abs(shapes)).sum(axis=2) / safe
    unsure = ((weight * shapes) ** 2 * known.variance[:, None, :]).sum(axis=2) / safe**2
    t = np.hypot(tolerated, reference_z * np.sqrt(unsure))
    log_odds, n, k = known.log_odds[:, None, :], rows[:, None, :], labels.positive[:, None, :]
    base = np.logaddexp(0.0, log_odds + t[:, :, None] * shapes)
    columns = []
    for size in SIZES:
        moved = np.logaddexp(0.0, log_odds + (t + size)[:, :, None] * shapes)
        value = (k * size * shapes - n * (moved - base)).sum(axis=2)
        columns.append(np.where(some, value, 0.0))
    values: Floats = np.stack(columns, axis=2).reshape(len(rows), ALTERNATIVES)
    return values


def without_burst(labels: CellLabels, known: Known) -> CellLabels:
    """The labels less those that one request, sent again and again, explains best.

    Its rows have one score and one label. Taken from the cell whose labels are the least likely, as many as
    bring it to its expected rate, and no more than `monitor.core.evidence.bursts` allows.
    """
    rows, positive = labels.rows, labels.positive
    p = expit(known.log_odds)
    negative = rows - positive
    unlikely = np.where(known.sure, rel_entr(positive, rows * p) + rel_entr(negative, rows * (1 - p)), 0.0)
    at = np.arange(len(rows)), unlikely.argmax(axis=1)
    surplus = (positive - rows * p)[at]
    whole = rows.sum(axis=1).astype(np.int64)
    again = bursts.explained(whole, np.abs(surplus / np.where(surplus > 0, 1 - p[at], p[at])), whole)
    fewer_positive, fewer_negative = positive.copy(), negative.copy()
    fewer_positive[at] -= np.where(surplus > 0, again, 0)
    fewer_negative[at] -= np.where(surplus > 0, 0, again)
    return CellLabels(fewer_positive, fewer_negative)


def residual(labels: CellLabels, known: Known) -> tuple[Floats, Floats]:
    """Positives beyond those expected and their variance, float64[S] each, if rows are independent."""
    p = expit(known.log_odds) * known.sure
    rows = labels.rows
    return (labels.positive * known.sure - rows * p).sum(axis=1), (rows * p * (1 - p)).sum(axis=1)


def regions(labels: CellLabels, known: Known) -> Floats:
    """Rows, positives and expected positives in each stretch of the scores, float64[S, 3, 4]."""
    region = known.region
    figures = np.stack([labels.rows, labels.positive, labels.rows * expit(known.log_odds)], axis=1)
    figures = figures * known.sure[:, None, :]
    stretch = np.arange(REGIONS)[None, :, None] == region[:, None, :]
    value: Floats = np.einsum("sfc,src->sfr", figures, stretch.astype(np.float64))
    return value


def _shapes(known: Known) -> Floats:
    """Both directions of every shape, float64[S, 12, 64]."""
    flat = np.ones_like(known.log_odds)
    slope = np.clip(known.log_odds, -_SLOPE_LOGIT_MAX, _SLOPE_LOGIT_MAX) / 2
    parts = [(known.region == region).astype(np.float64) for region in range(REGIONS)]
    one_way = np.stack([flat, slope, *parts], axis=1) * known.sure[:, None, :]
    return np.stack([one_way, -one_way], axis=2).reshape(len(flat), SHAPES, CELLS)
