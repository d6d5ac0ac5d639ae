"""Raw rows to the counters of one slice, straight from the definitions of the cells.

Written apart from the product's own aggregation, so that each can be checked against the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import (
    CALIBRATION_BINS,
    CALIBRATION_PARTS,
    LOG_LOSS_EPS,
    RANKING_BINS,
    RANKING_POSITIVE,
    RANKING_ROW,
    SCORE_PARTS,
    Ranking,
    Scalar,
    SliceCounts,
    fixed,
    score_bin,
)


@dataclass(frozen=True)
class Rows:
    """Raw rows of one slice; float64[n] each, NaN where a row has none."""

    scores: NDArray[np.float64]
    decisions: NDArray[np.float64]
    labels: NDArray[np.float64]

    @classmethod
    def of(cls, scores: object, decisions: object, labels: object) -> Rows:
        """From anything array-like."""
        return cls(*(np.asarray(part, np.float64) for part in (scores, decisions, labels)))

    def take(self, index: NDArray[np.int64] | slice) -> Rows:
        """Some of the rows, or all in another order."""
        return Rows(self.scores[index], self.decisions[index], self.labels[index])

    def __len__(self) -> int:
        return len(self.scores)


def fold(rows: Rows) -> SliceCounts:
    """The counters of `rows`; every label is awaited."""
    counts = SliceCounts.zero()
    assert counts.scores is not None
    assert counts.calibration is not None
    scored, decided, labelled = (~np.isnan(part) for part in (rows.scores, rows.decisions, rows.labels))
    positive, yes = rows.labels == 1, rows.decisions == 1
    rated = scored & labelled
    p, y = rows.scores[rated], rows.labels[rated]
    safe = np.clip(p, LOG_LOSS_EPS, 1 - LOG_LOSS_EPS)
    losses = np.where(y == 1, -np.log(safe), -np.log(1 - safe))
    errors = (p - y) ** 2
    all_scores = rows.scores[scored]
    cells: dict[Scalar, int | np.integer] = {
        Scalar.REQUESTS: len(rows),
        Scalar.TRACKED: len(rows),
        Scalar.SCORED: scored.sum(),
        Scalar.DECIDED: decided.sum(),
        Scalar.POSITIVE: yes.sum(),
        Scalar.SCORE_SUM: fixed(all_scores).sum(),
        Scalar.SCORE_SQ_SUM: fixed(all_scores**2).sum(),
        Scalar.LABELLED: labelled.sum(),
        Scalar.LABEL_POSITIVE: positive.sum(),
        Scalar.TP: (yes & positive).sum(),
        Scalar.FP: (yes & labelled & ~positive).sum(),
        Scalar.TN: (decided & ~yes & labelled & ~positive).sum(),
        Scalar.FN: (decided & ~yes & positive).sum(),
        Scalar.RATED: rated.sum(),
        Scalar.LOG_LOSS_SUM: fixed(losses).sum(),
        Scalar.LOG_LOSS_SQ_SUM: fixed(losses**2).sum(),
        Scalar.BRIER_SUM: fixed(errors).sum(),
        Scalar.BRIER_SQ_SUM: fixed(errors**2).sum(),
        Scalar.CLIPPED: (safe != p).sum(),
    }
    for cell, amount in cells.items():
        counts.scalars[cell] = amount
    np.add.at(counts.scores, score_bin(all_scores) * SCORE_PARTS, 1)
    np.add.at(counts.scores, score_bin(p) * SCORE_PARTS + np.where(y == 1, 1, 2), 1)
    bins = np.minimum((p * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    first = bins * CALIBRATION_PARTS
    np.add.at(counts.calibration, first, 1)
    np.add.at(counts.calibration, first + 1, (y == 1).astype(np.int64))
    np.add.at(counts.calibration, first + 2, fixed(p))
    return counts


def ranking_bytes(rows: Rows) -> bytes:
    """The labelled scores of `rows` as a store keeps them one by one."""
    rated = ~np.isnan(rows.scores) & ~np.isnan(rows.labels)
    flags = np.where(rows.labels[rated] == 1, RANKING_POSITIVE, 0)
    records = (score_bin(rows.scores[rated], RANKING_BINS) << 2 | flags).astype(RANKING_ROW)
    return records.tobytes()


def ranked(rows: Rows) -> SliceCounts:
    """As `fold`, of a slice whose labelled scores are kept one by one."""
    return replace(fold(rows), ranking=Ranking.of(ranking_bytes(rows)))


def logit_normal_rows(
    rng: np.random.Generator, rows: int, prevalence: float, separation: float, sharpness: float = 1.0
) -> Rows:
    """Rows whose scores are normal on the logit scale in each class; decisions at the prevalence.

    `separation` is the distance between the classes in standard deviations: ROC AUC is Φ(separation / √2).
    """
    labels = (rng.random(rows) < prevalence).astype(np.float64)
    centre = np.log(prevalence / (1 - prevalence))
    logits = sharpness * (rng.normal(size=rows) + separation * labels - separation / 2 + centre)
    scores = 1 / (1 + np.exp(-logits))
    return Rows(scores, (scores >= prevalence).astype(np.float64), labels)
