"""What one row adds: cells and amounts, computed from the row alone.

Every contribution is an integer, so sums do not depend on how rows were cut into chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import (
    CALIBRATION_BINS,
    CALIBRATION_PARTS,
    CODES,
    LOG_LOSS_EPS,
    SCORE_PARTS,
    Scalar,
    fixed,
    score_bin,
)
from monitor.core.slices.assign import OUTSIDE

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Contributions in long form, one entry a touched cell and row; k entries.

    Attributes:
        times_ms: int64[k], event time of the row.
        slices: int64[k], slice id.
        cells: int64[k], cell number.
        amounts: int64[k], positive; int64[k, c] adds to the c cells from that one on, which is a multiple of
            c, and may hold zeros.
        watermarks_ms: int64[k], the partition's running maximum of event time at the row; an entry
            whose bucket has left a tier's retention by then is not counted there.
    """

    times_ms: Ints
    slices: Ints
    cells: Ints
    amounts: Ints
    watermarks_ms: Ints

    def one_by_one(self) -> Cells:
        """The same with one cell an entry; amounts may be 0."""
        if self.amounts.ndim == 1:
            return self
        parts = self.amounts.shape[1]
        every = (np.repeat(part, parts) for part in (self.times_ms, self.slices, self.watermarks_ms))
        times_ms, slices, watermarks_ms = every
        cells = (self.cells[:, None] + np.arange(parts)).ravel()
        return Cells(times_ms, slices, cells, self.amounts.ravel(), watermarks_ms)


@dataclass(frozen=True)
class Wide:
    """Scalar contributions, one row of cells each; n rows.

    Attributes:
        times_ms, watermarks_ms: int64[n].
        members: int64[n, m], slice ids, `OUTSIDE` where a row is in none.
        values: int64[n, len(Scalar)].
    """

    times_ms: Ints
    watermarks_ms: Ints
    members: Ints
    values: Ints

    @cached_property
    def entries(self) -> tuple[Ints, Ints]:
        """Rows and slice ids of all memberships, by row, int64[k] each."""
        flat = self.members.ravel()
        places = np.flatnonzero(flat != OUTSIDE)
        return places // self.members.shape[1], flat[places]


def prediction_values(
    scores: NDArray[np.float64],
    decisions: NDArray[np.int8],
    invalid: NDArray[np.bool_],
    tracked: NDArray[np.bool_],
) -> Ints:
    """Scalar cells a prediction adds to, int64[n, len(Scalar)]."""
    values = np.zeros((len(scores), len(Scalar)), np.int64)
    scored = ~np.isnan(scores)
    known = np.where(scored, scores, 0.0)
    values[:, Scalar.REQUESTS] = 1
    values[:, Scalar.INVALID] = invalid
    values[:, Scalar.TRACKED] = tracked
    values[:, Scalar.SCORED] = scored
    values[:, Scalar.DECIDED] = decisions >= 0
    values[:, Scalar.POSITIVE] = decisions > 0
    values[:, Scalar.SCORE_SUM] = fixed(known)
    values[:, Scalar.SCORE_SQ_SUM] = fixed(known * known)
    return values


def label_values(
    scores: NDArray[np.float64], decisions: NDArray[np.int8], labels: NDArray[np.float64]
) -> Ints:
    """Scalar cells a label adds to, int64[n, len(Scalar)]. Log loss in nats, scores clipped to eps."""
    values = np.zeros((len(scores), len(Scalar)), np.int64)
    positive = labels > 0.5
    said_yes, said_no = decisions > 0, decisions == 0
    values[:, Scalar.LABELLED] = 1
    values[:, Scalar.LABEL_POSITIVE] = positive
    values[:, Scalar.TP] = said_yes & positive
    values[:, Scalar.FP] = said_yes & ~positive
    values[:, Scalar.TN] = said_no & ~positive
    values[:, Scalar.FN] = said_no & positive
    rated = ~np.isnan(scores)
    p = np.where(rated, scores, 0.5)
    clipped = np.clip(p, LOG_LOSS_EPS, 1 - LOG_LOSS_EPS)
    loss = np.where(rated, -np.log(np.where(positive, clipped, 1 - clipped)), 0.0)
    brier = np.where(rated, (p - positive) ** 2, 0.0)
    values[:, Scalar.RATED] = rated
    values[:, Scalar.LOG_LOSS_SUM] = fixed(loss)
    values[:, Scalar.LOG_LOSS_SQ_SUM] = fixed(loss * loss)
    values[:, Scalar.BRIER_SUM] = fixed(brier)
    values[:, Scalar.BRIER_SQ_SUM] = fixed(brier * brier)
    values[:, Scalar.CLIPPED] = rated & (clipped != p)
    return values


def score_cells(wide: Wide, scores: NDArray[np.float64], part: Ints | int) -> Cells:
    """Long-form entries of the score histogram for rows that have a score.

    Args:
        wide: the rows' times and slices.
        scores: float64[n], NaN where there is none.
        part: 0 scored, 1 labelled positive, 2 labelled negative; int64[n] or one for all.
    """
    rated = np.flatnonzero(~np.isnan(scores))
    cells = score_bin(scores[rated]) * SCORE_PARTS
    cells = cells + (part if isinstance(part, int) else part[rated])
    return spread(wide, rated, cells, np.ones(len(rated), np.int64))


def calibration_cells(wide: Wide, scores: NDArray[np.float64], labels: NDArray[np.float64]) -> Cells:
    """Long-form entries of the calibration table for labelled rows that have a score."""
    rated = np.flatnonzero(~np.isnan(scores))
    p = scores[rated]
    first = np.minimum((p * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1) * CALIBRATION_PARTS
    amounts = np.stack([np.ones(len(rated), np.int64), (labels[rated] > 0.5).astype(np.int64), fixed(p)], 1)
    return spread(wide, rated, first, amounts)


def violation_cells(wide: Wide, rows: Ints, features: Ints, codes: Ints) -> Cells:
    """Long-form entries of the violations array; it is kept for all traffic only."""
    return Cells(
        wide.times_ms[rows],
        np.zeros(len(rows), np.int64),
        features * CODES + codes,
        np.ones(len(rows), np.int64),
        wide.watermarks_ms[rows],
    )


def spread(wide: Wide, rows: Ints, cells: Ints, amounts: Ints) -> Cells:
    """Entries of some rows, repeated for every slice a row belongs to.

    Args:
        wide: the rows' times and slices.
        rows: int64[r], increasing.
        cells: int64[r].
        amounts: int64[r], or int64[r, c] as in `Cells`.
    """
    source, slices = wide.entries
    if len(rows) < len(wide.times_ms):
        place = np.full(len(wide.times_ms), -1)
        place[rows] = np.arange(len(rows))
        at = place[source]
        there = at >= 0
        source, slices, at = source[there], slices[there], at[there]
    else:
        at = source
    return Cells(wide.times_ms[source], slices, cells[at], amounts[at], wide.watermarks_ms[source])


def spread_all(wide: Wide, rows: Ints, cells: Ints, amounts: Ints) -> Cells:
    """`spread` of several cells a row, int64[r, c] each; amounts of 0 are left out."""
    found = spread(wide, rows, np.arange(len(rows)), np.ones(len(rows), np.int64))
    at = found.cells
    width = cells.shape[1]
    amount = amounts[at].ravel()
    keep = np.flatnonzero(amount > 0)
    entry = keep // width
    return Cells(
        found.times_ms[entry],
        found.slices[entry],
        cells[at].ravel()[keep],
        amount[keep],
        found.watermarks_ms[entry],
    )
