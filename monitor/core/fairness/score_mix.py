"""Are a slice's rows merely harder: do its scores lie where the model errs more often?

With w_b the share of a side's labelled rows in bin b of the score and e_b their error rate, `e = Σ w_b e_b`,
and the gap between slice (1) and rest (2) is

    score mix = Σ (w1_b - w2_b) · (e1_b + e2_b) / 2
    the model = Σ (w1_b + w2_b) / 2 · (e1_b - e2_b)

Source: Kitagawa (1955), doi:10.1080/01621459.1955.10501299; shares are multinomial, error rates binomial,
intervals normal by the delta method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Scalar, SliceCounts, score_bin
from monitor.core.fairness.split import Split, normal

BIN_ROWS_MIN: Final = 50
"""Rows that either side needs in a bin of the score; neighbours are merged until they have them."""

DISAGREEING_MAX: Final = 0.01
"""Share of labelled rows by which errors read off the threshold may miss those counted: beyond, decisions do
not follow it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorsByScore:
    """Labelled rows and wrong decisions among them, float64[bins], in the order of the score."""

    rows: Floats
    errors: Floats

    def __sub__(self, other: ErrorsByScore) -> ErrorsByScore:
        return ErrorsByScore(
            np.maximum(self.rows - other.rows, 0.0), np.maximum(self.errors - other.errors, 0.0)
        )


def errors_by_score(counts: SliceCounts, threshold: float) -> ErrorsByScore | None:
    """Wrong decisions in each of the 512 bins of the score.

    Positive decisions are those from `threshold` on. Rows of the bin it cuts are all read as positive
    decisions. None where curves are not kept, or where that disagrees with the decisions counted.
    """
    curve = counts.curve
    if curve is None:
        return None
    first = int(score_bin(np.array([threshold]))[0])
    errors = np.concatenate([curve.positive[:first], curve.negative[first:]]).astype(np.float64)
    rows = (curve.positive + curve.negative).astype(np.float64)
    decided = sum(counts[cell] for cell in (Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN))
    missed = max(
        abs(float(errors.sum()) - counts[Scalar.FP] - counts[Scalar.FN]), abs(float(rows.sum()) - decided)
    )
    return ErrorsByScore(rows, errors) if decided and missed <= DISAGREEING_MAX * decided else None


def split_by_scores(slice_: ErrorsByScore, rest: ErrorsByScore, level: float = 0.95) -> Split | None:
    """The gap in error rate by where scores lie; None where fewer than two bins can be filled.

    Args:
        slice_: of the slice.
        rest: of all other traffic, the same bins.
        level: confidence level, in (0, 1).
    """
    merged = _merged(slice_.rows, slice_.errors, rest.rows, rest.errors)
    if merged.shape[1] < 2:
        return None
    n, a, m, c = merged
    w, u = n / n.sum(), m / m.sum()
    e, d = a / n, c / m
    ve, vd = _variances(a, n), _variances(c, m)
    middle, share = (e + d) / 2, (w + u) / 2

    def multinomial(weights: Floats, rows: float, slopes: Floats) -> float:
        return float((weights @ slopes**2 - (weights @ slopes) ** 2) / rows)

    spread_mix = (
        multinomial(w, n.sum(), middle) + multinomial(u, m.sum(), middle) + ((w - u) / 2) ** 2 @ (ve + vd)
    )
    turn = (e - d) / 2
    spread_model = multinomial(w, n.sum(), turn) + multinomial(u, m.sum(), turn) + share**2 @ (ve + vd)
    return Split(
        float(a.sum() / n.sum() - c.sum() / m.sum()),
        normal(float((w - u) @ middle), float(spread_mix), level),
        normal(float(share @ (e - d)), float(spread_model), level),
    )


def _variances(hits: Floats, rows: Floats) -> Floats:
    smooth = (hits + 0.5) / (rows + 1)
    value: Floats = smooth * (1 - smooth) / rows
    return value


def _merged(*columns: Floats) -> Floats:
    """Neighbouring bins joined until both sides have enough rows; a short last one joins its neighbour."""
    parts: list[Floats] = []
    held = np.zeros(len(columns))
    for cells in np.stack(columns).T:
        held = held + cells
        if min(held[0], held[2]) >= BIN_ROWS_MIN:
            parts.append(held)
            held = np.zeros(len(columns))
    if parts:
        parts[-1] = parts[-1] + held
    return np.array(parts).T.reshape(len(columns), -1)
