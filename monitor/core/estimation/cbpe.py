"""Confidence-based performance estimation: metrics that the scores promise before their labels come.

A row with score in bin b is positive with chance c[b] (`calibration`). Counts that need labels are then
replaced by their expectations, and every metric follows from how many rows were scored in each bin. That
holds for any shift of the inputs that leaves "how often a score comes true" as it was; **it cannot see
that this has changed**. Overconfident scores (logits × 1/0.7) make the ROC AUC look .06 better than it is.
Hence the name, the mark `"estimate": true`, and a test on labels as they come (`guard`).

Intervals are for the metric that the labels of these very rows will show: normal on the logit scale, with
variance `Σ_b C[b] c[b] (1 - c[b]) d[b]²` for the labels, where d[b] is what one label in bin b moves, plus
that of the map itself.

Source: NannyML's CBPE; Garg, Balakrishnan, Lipton et al. (2022), arXiv 2201.04234 on what no such estimate
can know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from monitor.core.counters import Counts
from monitor.core.estimation.calibration import CalibrationMap, Floats
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import logit_normal

_ROWS_EXPECTED_MIN = 1.0


@dataclass(frozen=True)
class Expected:
    """What is known of a slice's unlabelled rows.

    Attributes:
        scored: C, scored rows per score bin, int64[512].
        said_yes: those of them decided positive, float64[512], or None where there are no decisions or they
            do not follow the score.
        map: c and its variance.
        no_decisions: why `said_yes` is None.
    """

    scored: Counts
    said_yes: Floats | None
    map: CalibrationMap
    no_decisions: str = "no decisions"


def said_yes(scored: Counts, positive_share: float) -> Floats:
    """Rows decided positive per score bin, if decisions follow the score: the highest-scored share of them.

    No threshold needs to be known; a threshold within a bin divides its rows. Exact for the car loans,
    where .5 is not the threshold.

    Args:
        scored: rows per score bin, int64[512].
        positive_share: positive decisions / decisions, in [0, 1].

    >>> scored = np.zeros(512, np.int64)
    >>> scored[[100, 200, 300]] = 5, 4, 1
    >>> said_yes(scored, 0.3)[[100, 200, 300]].tolist()
    [0.0, 2.0, 1.0]
    """
    above = np.cumsum(scored[::-1])[::-1] - scored
    yes: Floats = np.clip(positive_share * scored.sum() - above, 0.0, scored)
    return yes


def rule_gap(positive: Counts, negative: Counts, confusion: tuple[int, int, int, int]) -> tuple[float, float]:
    """How far decisions are from following the score, on labelled rows.

    Args:
        positive: labelled positives per score bin, int64[512].
        negative: labelled negatives per score bin, int64[512].
        confusion: TP, FP, TN, FN of the same rows.

    Returns:
        Accuracy that a cut of the scores at the same share of positives would have, less that of the
        decisions; and by how much that can be off because the cut divides a bin.
    """
    hits, false, _, _ = confusion
    rows = positive + negative
    decided = max(sum(confusion), 1)
    yes = said_yes(rows, (hits + false) / decided)
    by_rule = float(positive @ (yes / np.maximum(rows, 1))) / max(int(rows.sum()), 1)
    divided = float(np.minimum(yes, rows - yes).sum()) / max(int(rows.sum()), 1)
    return 2 * (by_rule - hits / decided), 2 * divided


@dataclass(frozen=True)
class EstimatedAccuracy:
    """Expected share of right decisions.

    `estimated_accuracy = Σ_b (Y[b] c[b] + (C[b] - Y[b]) (1 - c[b])) / Σ_b C[b]`, in [0, 1], with Y the rows
    decided positive. Undefined without scores, decisions or a map.

    >>> learned = CalibrationMap(np.linspace(0, 1, 512), np.zeros(512, np.int64), np.zeros(1), 1000)
    >>> rows = np.zeros(512, np.int64)
    >>> rows[[0, 511]] = 10, 30
    >>> EstimatedAccuracy()(Expected(rows, said_yes(rows, 0.5), learned)).value
    0.75
    """

    name: ClassVar[str] = "estimated_accuracy"

    def __call__(self, rows: Expected, level: float = 0.95) -> Estimate:
        """The estimate, with an interval of confidence `level`."""
        if rows.said_yes is None:
            return Estimate.undefined(rows.no_decisions)
        total = int(rows.scored.sum())
        if total == 0:
            return Estimate.undefined("no scored rows")
        yes, no, c = rows.said_yes, rows.scored - rows.said_yes, rows.map.chance
        value = float(yes @ c + no @ (1 - c)) / total
        per_yes = np.full(len(c), 1 / total)
        return _with_interval(rows, value, yes, per_yes, no, -per_yes, level)


@dataclass(frozen=True)
class EstimatedF1:
    """Expected F1.

    `estimated_f1 = 2 T / (Σ_b Y[b] + Σ_b C[b] c[b])` with `T = Σ_b Y[b] c[b]`, in [0, 1]: a ratio of
    expectations. Undefined without scores, decisions or a map, or where nothing positive is expected.
    """

    name: ClassVar[str] = "estimated_f1"

    def __call__(self, rows: Expected, level: float = 0.95) -> Estimate:
        """The estimate, with an interval of confidence `level`."""
        if rows.said_yes is None:
            return Estimate.undefined(rows.no_decisions)
        if not rows.scored.any():
            return Estimate.undefined("no scored rows")
        yes, no, c = rows.said_yes, rows.scored - rows.said_yes, rows.map.chance
        total = float(yes.sum() + rows.scored @ c)
        if total < _ROWS_EXPECTED_MIN:
            return Estimate.undefined("no positive decisions, and no positive labels expected")
        value = 2 * float(yes @ c) / total
        per_yes = np.full(len(c), (2 - value) / total)
        per_no = np.full(len(c), -value / total)
        return _with_interval(rows, value, yes, per_yes, no, per_no, level)


@dataclass(frozen=True)
class EstimatedRocAuc:
    """Expected area under the ROC curve; needs no decisions.

    `estimated_roc_auc` is `RocAuc` of `P[b] = C[b] c[b]` positives and `N[b] = C[b] (1 - c[b])` negatives.
    Undefined without scores or a map, or where less than one row of a class is expected.
    """

    name: ClassVar[str] = "estimated_roc_auc"

    def __call__(self, rows: Expected, level: float = 0.95) -> Estimate:
        """The estimate, with an interval of confidence `level`."""
        if not rows.scored.any():
            return Estimate.undefined("no scored rows")
        p = rows.scored * rows.map.chance
        n = rows.scored - p
        positives, negatives = float(p.sum()), float(n.sum())
        if min(positives, negatives) < _ROWS_EXPECTED_MIN:
            return Estimate.undefined("rows of one class only are expected")
        below = np.cumsum(n) - n / 2
        above = positives - (np.cumsum(p) - p / 2)
        area = float(p @ below) / (positives * negatives)
        # A label that turns from negative to positive: its own pairs, and both class sizes.
        per_row = (below - above) / (positives * negatives) - area * (1 / positives - 1 / negatives)
        scored = rows.scored.astype(np.float64)
        return _with_interval(rows, area, scored, per_row, np.zeros(len(p)), per_row, level)


def _with_interval(
    rows: Expected, value: float, yes: Floats, per_yes: Floats, no: Floats, per_no: Floats, level: float
) -> Estimate:
    """Interval of a figure that one label moves by `per_yes` or `per_no`, by the row's decision."""
    c = rows.map.chance
    labels = float((yes * per_yes**2 + no * per_no**2) @ (c * (1 - c)))
    variance = labels + rows.map.variance_of(yes * per_yes + no * per_no)
    low, high = logit_normal(value, variance, level)
    return Estimate(value, low, high, estimated=True)
