"""Intervals hold their level: seeded simulations against the truth of the population."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pytest
from scipy.stats import norm

from monitor.core.metrics import METRICS, Estimate
from monitor.core.metrics.intervals import score_area, wilson
from tests.support.fold import fold, logit_normal_rows

RUNS: Final = 400
CASES: Final = {"small": (60, 0.4, 1.5), "rare": (600, 0.03, 1.8), "large": (3_000, 0.3, 1.5)}


def truths(prevalence: float, separation: float) -> dict[str, float]:
    """Metrics of the population of `logit_normal_rows`, by numerical integration over the logit."""
    shift = math.log(prevalence / (1 - prevalence))
    x = np.linspace(-14, 14, 280_001)  # logit before the shift
    width = x[1] - x[0]
    in_p, in_n = norm.pdf(x - separation / 2) * prevalence, norm.pdf(x + separation / 2) * (1 - prevalence)
    score = 1 / (1 + np.exp(-(x + shift)))
    yes = score >= prevalence
    tp, fp = in_p[yes].sum() * width, in_n[yes].sum() * width
    fn, tn = prevalence - tp, 1 - prevalence - fp
    above_p = norm.sf(x - separation / 2) * prevalence
    above_n = norm.sf(x + separation / 2) * (1 - prevalence)
    bins = np.minimum((score * 20).astype(int), 19)
    gap = np.bincount(bins, in_p - score * (in_p + in_n), 20) * width
    return {
        "positive_rate": tp + fp,
        "label_rate": prevalence,
        "mean_score": float((score * (in_p + in_n)).sum() * width),
        "accuracy": tp + tn,
        "precision": tp / (tp + fp),
        "recall": tp / prevalence,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "false_positive_rate": fp / (1 - prevalence),
        "specificity": tn / (1 - prevalence),
        "log_loss": float(-(in_p * np.log(score) + in_n * np.log1p(-score)).sum() * width),
        "brier": float((in_p * (1 - score) ** 2 + in_n * score**2).sum() * width),
        "roc_auc": float(norm.cdf(separation / math.sqrt(2))),
        "pr_auc": float((in_p * above_p / (above_p + above_n)).sum() * width / prevalence),
        "expected_calibration_error": float(np.abs(gap).sum()),
    }


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth(case: str) -> None:
    rows, prevalence, separation = CASES[case]
    truth = truths(prevalence, separation)
    rng = np.random.default_rng(11)
    covered = dict.fromkeys(truth, 0)
    for _ in range(RUNS):
        counts = fold(logit_normal_rows(rng, rows, prevalence, separation))
        for metric in METRICS:
            if metric.name in truth:
                covered[metric.name] += holds(metric(counts), truth[metric.name])
    # Means of rare, heavy-tailed losses are the hardest; areas and calibration are conservative by design.
    low = {name: 0.88 if name in ("log_loss", "brier") else 0.92 for name in truth}
    high = {
        name: 1.0 if name in ("roc_auc", "pr_auc", "expected_calibration_error") else 0.99 for name in truth
    }
    wrong = {
        name: count / RUNS for name, count in covered.items() if not low[name] <= count / RUNS <= high[name]
    }
    assert wrong == {}


def holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes / trials, trials, 0.95) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("area", [0.0, 1e-9, 0.3, 0.5, 0.9, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 500), (40, 60)])
def test_the_score_interval_stays_in_range_and_holds_the_area(area: float, sizes: tuple[int, int]) -> None:
    low, high = score_area(area, *sizes, 0.95)
    assert 0.0 <= low <= area <= high <= 1.0
    assert high - low > 0.001
