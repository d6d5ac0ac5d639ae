"""Laws of every metric: merging, order, emptiness, bounds, and an oracle that shares no code with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from monitor.core.counters import SliceCounts, merge
from monitor.core.metrics import METRICS, Metric
from tests.support.fold import Rows, fold, logit_normal_rows, ranked


def _ece(rows: Rows) -> float:
    share, score = calibration_curve(rows.labels, rows.scores, n_bins=20)
    weights = np.histogram(rows.scores, np.linspace(0, 1, 21))[0]
    return float(np.abs(share - score) @ weights[weights > 0] / len(rows))


Oracle = Callable[[Rows], float]

ORACLES: Final[dict[str, Oracle]] = {
    "coverage": lambda rows: 1.0,
    "positive_rate": lambda rows: float(np.mean(rows.decisions)),
    "label_rate": lambda rows: float(np.mean(rows.labels)),
    "mean_score": lambda rows: float(np.mean(rows.scores)),
    "accuracy": lambda rows: sk.accuracy_score(rows.labels, rows.decisions),
    "precision": lambda rows: sk.precision_score(rows.labels, rows.decisions),
    "recall": lambda rows: sk.recall_score(rows.labels, rows.decisions),
    "f1": lambda rows: sk.f1_score(rows.labels, rows.decisions),
    "false_positive_rate": lambda rows: 1 - sk.recall_score(rows.labels, rows.decisions, pos_label=0),
    "specificity": lambda rows: sk.recall_score(rows.labels, rows.decisions, pos_label=0),
    "log_loss": lambda rows: sk.log_loss(rows.labels, rows.scores, labels=[0, 1]),
    "brier": lambda rows: sk.brier_score_loss(rows.labels, rows.scores),
    "roc_auc": lambda rows: sk.roc_auc_score(rows.labels, rows.scores),
    "pr_auc": lambda rows: sk.average_precision_score(rows.labels, rows.scores),
    "expected_calibration_error": _ece,
}

TOLERANCE: Final = {"roc_auc": 5e-4, "pr_auc": 1e-3}
"""Of metrics that read binned scores; the rest are exact to the fixed point."""

CASES: Final = {
    "balanced": (20_000, 0.5, 1.2, 1.0),
    "rare positives": (200_000, 0.005, 1.8, 1.0),
    "sharp scores": (20_000, 0.4, 3.0, 4.0),
    "a guess": (20_000, 0.3, 0.0, 1.0),
    "few rows": (400, 0.3, 1.5, 1.0),
}

metric_cases = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
unit = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))
missing = st.sampled_from([0.0, 1.0, math.nan])


@st.composite
def any_rows(draw: st.DrawFn, rows_max: int = 40) -> Rows:
    n = draw(st.integers(0, rows_max))
    return Rows(
        draw(hnp.arrays(np.float64, n, elements=st.one_of(unit, st.just(math.nan)), fill=st.nothing())),
        draw(hnp.arrays(np.float64, n, elements=missing, fill=st.nothing())),
        draw(hnp.arrays(np.float64, n, elements=missing, fill=st.nothing())),
    )


def same(one: SliceCounts, two: SliceCounts) -> bool:
    return all(
        np.array_equal(a, b)
        for a, b in (
            (one.scalars, two.scalars),
            (one.scores, two.scores),
            (one.calibration, two.calibration),
        )
        if a is not None and b is not None
    )


def test_every_metric_has_an_oracle_and_a_name_of_its_own() -> None:
    assert [metric.name for metric in METRICS] == list(ORACLES)


@given(any_rows(), st.integers(0, 40))
def test_fold_of_a_whole_is_the_merge_of_its_parts(rows: Rows, cut: int) -> None:
    parts = [fold(rows.take(slice(0, cut))), fold(rows.take(slice(cut, None)))]
    assert same(fold(rows), merge(parts))


@given(any_rows(), st.randoms(use_true_random=False))
def test_order_does_not_matter(rows: Rows, random: object) -> None:
    order = np.arange(len(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, two = fold(rows), fold(rows.take(order))
    assert same(one, two)
    assert [metric(one) for metric in METRICS] == [metric(two) for metric in METRICS]


@metric_cases
def test_empty_reads_as_no_data(metric: Metric) -> None:
    estimate = metric(SliceCounts.zero())
    assert estimate.value is None
    assert estimate.low is None
    assert estimate.high is None
    assert estimate.reason
    assert estimate.to_dict() == {"value": None, "reason": estimate.reason}


@metric_cases
@settings(max_examples=60)
@given(rows=any_rows())
def test_an_estimate_is_whole(metric: Metric, rows: Rows) -> None:
    estimate = metric(fold(rows))
    if estimate.value is None:
        assert estimate.reason
        return
    assert estimate.reason is None
    top = 36.1 if metric.name == "log_loss" else 1.0
    assert 0.0 <= estimate.value <= top
    assert estimate.error_bound is None or 0.0 <= estimate.error_bound <= 1.0
    if estimate.low is None:
        assert estimate.high is None
        return
    assert estimate.high is not None
    assert 0.0 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high
    wider = metric(fold(rows), level=0.99)
    assert wider.low is not None
    assert wider.high is not None
    assert wider.low <= estimate.low + 1e-9
    assert wider.high >= estimate.high - 1e-9


@metric_cases
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_its_oracle(metric: Metric, case: str) -> None:
    rows = logit_normal_rows(np.random.default_rng(7), *CASES[case])
    estimate = metric(fold(rows))
    expected = ORACLES[metric.name](rows)
    assert estimate.value is not None
    assert estimate.value == pytest.approx(expected, abs=TOLERANCE.get(metric.name, 1e-7))
    if estimate.error_bound is not None:
        assert abs(estimate.value - expected) <= estimate.error_bound + 1e-12


@settings(max_examples=300)
@given(
    scores=hnp.arrays(np.float64, st.integers(2, 60), elements=unit),
    seed=st.integers(0, 2**32 - 1),
    decimals=st.integers(1, 12),
)
def test_the_hard_bounds_hold_for_few_rows_and_ties(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], seed: int, decimals: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, len(scores)).astype(np.float64)
    labels[:2] = 0, 1
    rows = Rows.of(np.round(scores, decimals), np.round(scores), labels)
    for counts in (fold(rows), ranked(rows)):
        for metric in METRICS:
            if metric.name in TOLERANCE:
                estimate = metric(counts)
                assert estimate.value is not None
                assert estimate.error_bound is not None
                assert abs(estimate.value - ORACLES[metric.name](rows)) <= estimate.error_bound + 1e-12


@pytest.mark.parametrize("decimals", [1, 2, 12])
@pytest.mark.parametrize("case", [(30, 0.3, 1.5), (300, 0.05, 1.5), (5_000, 0.3, 1.2)])
def test_rows_kept_one_by_one_lose_next_to_nothing(case: tuple[int, float, float], decimals: int) -> None:
    rows = logit_normal_rows(np.random.default_rng(13), *case)
    rows = Rows.of(np.round(rows.scores, decimals), rows.decisions, rows.labels)
    for metric in METRICS:
        if metric.name in TOLERANCE:
            estimate = metric(ranked(rows))
            assert estimate.value == pytest.approx(ORACLES[metric.name](rows), abs=1e-4)


def test_scores_squeezed_into_few_bins_are_told_by_the_bound() -> None:
    rows = logit_normal_rows(np.random.default_rng(7), 20_000, 0.2, 0.8, sharpness=0.05)
    for metric in METRICS:
        if metric.name in TOLERANCE:
            estimate = metric(fold(rows))
            assert estimate.value is not None
            assert estimate.error_bound is not None
            assert abs(estimate.value - ORACLES[metric.name](rows)) <= estimate.error_bound
            assert estimate.error_bound > 0.01


def test_ties_in_bins_of_their_own_count_half() -> None:
    scores = np.tile([0.1, 0.4, 0.6, 0.9], 50)
    labels = (np.random.default_rng(3).random(200) < scores).astype(np.float64)
    rows = Rows.of(scores, np.round(scores), labels)
    auc = next(metric for metric in METRICS if metric.name == "roc_auc")(fold(rows))
    assert auc.value == pytest.approx(ORACLES["roc_auc"](rows), abs=1e-12)
