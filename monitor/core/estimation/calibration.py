"""How often each score comes true: a map from score bins to chances, learned from labelled rows.

Isotonic: the chance does not fall as the score rises, and that is all that is assumed of a model.
A slice starts from the map of all traffic and moves towards its own labels as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from monitor.core.counters import SCORE_BINS, Counts

Floats = NDArray[np.float64]

CELL_BINS: Final = 16
"""Score bins that a slice's correction shares: one logit. Finer cells of a slice would be noise."""

SHRINK_ROWS: Final = 30.0
"""Labelled rows of a slice's cell at which its own frequency weighs as much as the map of all traffic:
as if slices differed by some .08 at one score (.25 · .75 / 30 is .08²)."""

ROWS_MIN: Final = 300
"""Labelled rows below which no map is drawn: a standard error of .03 at the least useful score."""

CLASS_ROWS_MIN: Final = 10
"""Labelled rows of each class below which no map is drawn."""

_CHANCE_MIN: Final = 1e-9


@dataclass(frozen=True)
class CalibrationMap:
    """Chances of a positive label by score bin, and how sure they are.

    Attributes:
        chance: float64[512], in [0, 1].
        group: bins whose chances were learned together and err together, int64[512], from 0.
        variance: of the chance of each group, float64[groups].
        rows: labelled rows behind it.
    """

    chance: Floats
    group: NDArray[np.int64]
    variance: Floats
    rows: int

    def variance_of(self, gradient: Floats) -> float:
        """Variance of a figure that moves by `gradient` (float64[512]) per unit of each bin's chance."""
        sums = np.bincount(self.group, gradient, len(self.variance))
        return float(sums**2 @ self.variance)


def fit(positive: Counts, negative: Counts) -> CalibrationMap:
    """The map of all traffic, by pool adjacent violators.

    Least squares under `chance[0] ≤ ... ≤ chance[511]`, bins weighted by their labelled rows; a bin without
    any lies on the line between its neighbours, beyond the outermost it is theirs. A pool of n rows, k of
    them positive, has variance `q (1 - q) / n` with `q = (k + ½) / (n + 1)`.

    Args:
        positive: labelled positives per score bin, int64[512].
        negative: labelled negatives per score bin, int64[512].

    Raises:
        ValueError: no labelled rows.

    Source: Ayer, Brunk, Ewing, Reid and Silverman (1955), doi:10.1214/aoms/1177728423; as a calibration
    Zadrozny and Elkan (2002), doi:10.1145/775047.775151.

    >>> positive, negative = np.zeros((2, SCORE_BINS), np.int64)
    >>> positive[[100, 200, 300]] = 1, 0, 9
    >>> negative[[100, 200, 300]] = 3, 4, 1
    >>> fit(positive, negative).chance[[0, 100, 200, 250, 300]].tolist()
    [0.125, 0.125, 0.125, 0.5125, 0.9]
    """
    rows = positive + negative
    known = np.flatnonzero(rows > 0)
    if not known.size:
        raise ValueError("no labelled rows")
    pools = isotonic_regression(positive[known] / rows[known], weights=rows[known])
    chance = np.interp(np.arange(SCORE_BINS), known, np.clip(pools.x, 0.0, 1.0))
    of_known = np.repeat(np.arange(len(pools.blocks) - 1), np.diff(pools.blocks))
    nearest = np.searchsorted((known[1:] + known[:-1]) / 2, np.arange(SCORE_BINS))
    count = np.bincount(of_known, rows[known])
    share = (np.bincount(of_known, positive[known]) + 0.5) / (count + 1)
    return CalibrationMap(chance, of_known[nearest], share * (1 - share) / count, int(rows.sum()))


def adapt(
    whole: CalibrationMap, positive: Counts, negative: Counts, shrink_rows: float = SHRINK_ROWS
) -> CalibrationMap:
    """The map of a slice: that of all traffic, moved within each cell of one logit towards its own labels.

    With P and n the slice's positives and rows of a cell, and m what the map of all traffic expects of them:

        m' = (P + k m) / (n + k),    chance' = σ(logit chance + logit m' - logit m)

    so the shape inside a cell stays that of all traffic. Variance of m': `m' (1 - m') / (n + k)`, that of a
    mean of n rows and of a slice that differs from the whole like one of k rows would.

    Args:
        whole: of all traffic.
        positive: labelled positives of the slice per score bin, int64[512].
        negative: labelled negatives of the slice per score bin, int64[512].
        shrink_rows: k, positive.

    Returns:
        The slice's map; `whole` itself but less sure where the slice has no labels.
    """
    cell = np.arange(SCORE_BINS) // CELL_BINS
    cells = SCORE_BINS // CELL_BINS
    rows = positive + negative
    n, hits = np.bincount(cell, rows, cells), np.bincount(cell, positive, cells)
    chance = np.clip(whole.chance, _CHANCE_MIN, 1 - _CHANCE_MIN)
    middle = np.bincount(cell, chance, cells) / CELL_BINS
    mean = np.where(n > 0, np.bincount(cell, rows * chance, cells) / np.maximum(n, 1), middle)
    moved = (hits + shrink_rows * mean) / (n + shrink_rows)
    moved = np.clip(moved, _CHANCE_MIN, 1 - _CHANCE_MIN)
    shift = logit(moved) - logit(mean)
    return CalibrationMap(
        expit(logit(chance) + shift[cell]), cell, moved * (1 - moved) / (n + shrink_rows), int(rows.sum())
    )


def too_little(positive: Counts, negative: Counts) -> str | None:
    """Why labelled rows are too few for a map of all traffic; None where they do."""
    yes, no = int(positive.sum()), int(negative.sum())
    if yes + no < ROWS_MIN:
        return f"labelled history of {yes + no} scored rows; {ROWS_MIN} are needed"
    if min(yes, no) < CLASS_ROWS_MIN:
        return f"labelled history of {yes} positives and {no} negatives; {CLASS_ROWS_MIN} of each are needed"
    return None
