"""Area under the precision-recall curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma

from monitor.core.counters import SCORES, Kind, SliceCounts
from monitor.core.metrics.curves import LabelledScores, Reals
from monitor.core.metrics.estimate import Estimate, no_curve, unlabelled
from monitor.core.metrics.intervals import logit_normal, wilson


@dataclass(frozen=True)
class PrAuc:
    """Average precision: the mean, over positives, of the precision at their score.

    Bins are walked from the highest score down, with `tp`, `fp` the positives and negatives above bin b and
    P[b], N[b] those inside. The i-th positive of the bin is exact; negatives are spread evenly between:

    `pr_auc = Σ_b Σ_{i=1..P[b]} (tp + i) / (tp + i + fp + N[b] (i - 1/2) / P[b]) / P`, in (0, 1],

    the inner sum in closed form by digamma functions. Where a small slice keeps its rows one by one, rows
    of one score are tied, as in scikit-learn: `Σ P[b] (tp + P[b]) / (tp + P[b] + fp + N[b]) / P`. A model
    that guesses scores the label rate, so compare only windows of similar `LabelRate`; prefer `RocAuc`
    otherwise.

    `error_bound` is hard: the average precision of the raw scores lies between that with the negatives of
    every bin first, and that with its positives first and tied.

    Interval: normal on the logit scale, with the larger of two variances: the delta method on all bins as one
    multinomial, and `value (1 - value) / P` of Boyd, Eng and Page, which holds for few positives; widened to
    Wilson's with P trials, which holds near 1. Undefined without positive labels.

    Source: definition as in scikit-learn's `average_precision_score`; intervals Boyd, Eng and Page (2013),
    doi:10.1007/978-3-642-40994-3_29.

    >>> counts = SliceCounts.zero()
    >>> counts.curve.positive[[300, 200]] = 1
    >>> counts.curve.negative[250] = 1
    >>> round(PrAuc()(counts).value, 6)
    0.833333
    """

    name: ClassVar[str] = "pr_auc"
    kind: ClassVar[Kind] = SCORES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        scores = LabelledScores.of(counts)
        if scores is None:
            return no_curve(counts)
        p, n = scores.positive[::-1], scores.negative[::-1]
        positives, negatives = float(p.sum()), float(n.sum())
        if positives + negatives == 0:
            return unlabelled(counts, "no labelled scores")
        if positives == 0:
            return Estimate.undefined("no positive labels")
        if negatives == 0:
            return Estimate.undefined("one class only")
        tp, fp = np.cumsum(p) - p, np.cumsum(n) - n
        hit = p > 0
        inside, above, false = p[hit], tp[hit], fp[hit]
        mixed = n[hit]
        step = 1 + mixed / inside
        if scores.ranked:
            precision = (above + inside) / (above + inside + false + mixed)
            value = float(inside @ precision) / positives
        else:
            value = _precision_sum(inside, above, above + false - mixed / (2 * inside), step) / positives
        worst = _precision_sum(inside, above, above + false + mixed, np.ones_like(step)) / positives
        best = float(inside @ ((above + inside) / (above + inside + false))) / positives
        value = min(max(value, worst), best)
        variance = max(_variance(p, n, tp, fp, value), value * (1 - value) / positives)
        low, high = logit_normal(value, variance, level)
        wide_low, wide_high = wilson(value, positives, level)
        bound = max(best - value, value - worst)
        return Estimate(value, min(low, wide_low), max(high, wide_high), error_bound=bound)


def _precision_sum(inside: Reals, above: Reals, start: Reals, step: Reals) -> float:
    """Σ over bins of Σ_{i=1..inside} (above + i) / (start + step i), for whole `inside`."""
    ratio = start / step
    harmonic = digamma(inside + 1 + ratio) - digamma(1 + ratio)
    return float(np.sum((inside + (above - ratio) * harmonic) / step))


def _variance(p: Reals, n: Reals, tp: Reals, fp: Reals, value: float) -> float:
    """Delta method: the gradient of `Σ p A / (A + C) / P` by each cell, cells as one multinomial.

    A and C are positives and negatives down to the middle of the bin (plus the positive itself, half).
    Average precision does not change when all cells are scaled: the multinomial's covariance term vanishes.
    """
    positives = float(p.sum())
    a, c = tp + p / 2 + 0.5, fp + n / 2
    total = a + c
    by_a, by_c = p * c / total**2, -p * a / total**2
    gradient_p = (a / total - value + _below(by_a)) / positives
    gradient_n = _below(by_c) / positives
    return float(p @ gradient_p**2 + n @ gradient_n**2)


def _below(x: Reals) -> Reals:
    """Sum over this bin, half, and all bins further down."""
    return np.cumsum(x[::-1])[::-1] - x / 2
