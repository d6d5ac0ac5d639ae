"""Calibration maps against scikit-learn, estimates against labels that are drawn afterwards."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from monitor.core.counters import SCORE_BINS, Counts, score_bin
from monitor.core.estimation import ESTIMATES
from monitor.core.estimation.calibration import CalibrationMap, adapt, fit, too_little
from monitor.core.estimation.cbpe import Expected, rule_gap, said_yes
from monitor.core.estimation.dle import CellLosses, estimated_mean_loss, power_trend

Floats = NDArray[np.float64]
RNG_SEED: Final = 11


def sigmoid(x: Floats) -> Floats:
    value: Floats = 1 / (1 + np.exp(-x))
    return value


def histograms(scores: Floats, labels: Floats) -> tuple[Counts, Counts]:
    bins = score_bin(scores)
    return tuple(np.bincount(bins[labels == y], minlength=SCORE_BINS) for y in (1, 0))  # type: ignore[return-value]


def draw(
    rng: np.random.Generator, rows: int, mean: float = -0.5, sharpness: float = 1.0, shift: float = 0.0
) -> tuple[Floats, Floats]:
    """Scores and labels; the true logit is the score's divided by `sharpness`, plus `shift`."""
    logits = rng.normal(mean, 1.5, rows)
    labels = (rng.random(rows) < sigmoid(logits + shift)).astype(np.float64)
    return sigmoid(logits * sharpness), labels


def truth(scores: Floats, labels: Floats, threshold: float = 0.5) -> list[float]:
    decisions = scores >= threshold
    return [
        float(metric)
        for metric in (
            sk.accuracy_score(labels, decisions),
            sk.f1_score(labels, decisions),
            sk.roc_auc_score(labels, scores),
        )
    ]


def expected(scores: Floats, learned: CalibrationMap, threshold: float = 0.5) -> Expected:
    scored = np.bincount(score_bin(scores), minlength=SCORE_BINS)
    return Expected(scored, said_yes(scored, float((scores >= threshold).mean())), learned)


cells = hnp.arrays(np.int64, 60, elements=st.integers(0, 20), fill=st.just(0))


@given(positive=cells, negative=cells, stride=st.integers(1, 8))
def test_the_map_is_the_isotonic_regression(positive: Counts, negative: Counts, stride: int) -> None:
    wide_p, wide_n = np.zeros((2, SCORE_BINS), np.int64)
    at = np.arange(60) * stride + 7
    wide_p[at], wide_n[at] = positive, negative
    rows = wide_p + wide_n
    known = np.flatnonzero(rows)
    if not known.size:
        with pytest.raises(ValueError, match="no labelled rows"):
            fit(wide_p, wide_n)
        return
    learned = fit(wide_p, wide_n)
    oracle = IsotonicRegression(out_of_bounds="clip")
    oracle.fit(known, wide_p[known] / rows[known], sample_weight=rows[known])
    assert learned.chance == pytest.approx(oracle.predict(np.arange(SCORE_BINS)), abs=1e-9)
    assert learned.rows == rows.sum()
    assert np.all(np.diff(learned.group) >= 0)
    assert len(learned.variance) == learned.group[-1] + 1
    for group in range(len(learned.variance)):
        assert len(np.unique(learned.chance[known][learned.group[known] == group].round(9))) == 1


def test_a_slice_moves_towards_its_own_labels_as_they_come() -> None:
    rng = np.random.default_rng(RNG_SEED)
    whole = fit(*histograms(*draw(rng, 50_000)))
    bins = score_bin(sigmoid(np.linspace(-2.0, 1.0, 7)))
    own = sigmoid(np.linspace(-2.0, 1.0, 7) + 1.0)
    distances = []
    for rows in (0, 300, 3_000, 100_000):
        scores, labels = draw(rng, rows, shift=1.0)
        learned = adapt(whole, *histograms(scores, labels))
        assert learned.rows == rows
        distances.append(float(np.abs(learned.chance[bins] - own).mean()))
        if rows == 0:
            assert learned.chance == pytest.approx(whole.chance, abs=1e-6)
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.15
    assert distances[-1] < 0.02


def test_a_map_needs_rows_of_both_classes() -> None:
    zero = np.zeros(SCORE_BINS, np.int64)
    some = zero.copy()
    some[250] = 400
    assert too_little(zero, zero) == "labelled history of 0 scored rows; 300 are needed"
    assert (
        too_little(some, zero) == "labelled history of 400 positives and 0 negatives; 10 of each are needed"
    )
    assert too_little(some, some) is None


@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.5])
def test_estimates_follow_a_shift_of_the_inputs(shift: float) -> None:
    rng = np.random.default_rng(RNG_SEED)
    learned = fit(*histograms(*draw(rng, 200_000)))
    scores, labels = draw(rng, 200_000, mean=-0.5 + shift)
    for estimate, value in zip(ESTIMATES, truth(scores, labels), strict=True):
        found = estimate(expected(scores, learned))
        assert found.estimated
        assert found.value == pytest.approx(value, abs=0.004)


def test_uncalibrated_scores_are_calibrated_first() -> None:
    rng = np.random.default_rng(RNG_SEED)
    learned = fit(*histograms(*draw(rng, 200_000, sharpness=1 / 0.7)))
    scores, labels = draw(rng, 200_000, mean=0.2, sharpness=1 / 0.7)
    for estimate, value in zip(ESTIMATES, truth(scores, labels), strict=True):
        assert estimate(expected(scores, learned)).value == pytest.approx(value, abs=0.004)


def test_what_no_estimate_can_see_is_what_the_documentation_says() -> None:
    """Scores that became overconfident look better than they are."""
    rng = np.random.default_rng(RNG_SEED)
    learned = fit(*histograms(*draw(rng, 100_000)))
    scores, labels = draw(rng, 100_000, sharpness=1 / 0.7)
    area = ESTIMATES[2](expected(scores, learned)).value
    assert area is not None
    assert area - truth(scores, labels)[2] > 0.04


@pytest.mark.parametrize(("history", "rows"), [(1_000, 400), (20_000, 2_000), (3_000, 20_000)])
def test_intervals_hold_the_metric_that_labels_show(history: int, rows: int) -> None:
    rng = np.random.default_rng(RNG_SEED)
    runs, inside, width = 150, np.zeros(3), np.zeros(3)
    for _ in range(runs):
        learned = fit(*histograms(*draw(rng, history)))
        scores, labels = draw(rng, rows, mean=0.0)
        values = truth(scores, labels)
        for at, estimate in enumerate(ESTIMATES):
            found = estimate(expected(scores, learned))
            assert found.low is not None
            assert found.high is not None
            inside[at] += found.low <= values[at] <= found.high
            width[at] += (found.high - found.low) / runs
    assert np.all(inside >= 0.9 * runs)
    assert np.all(width < 0.2)


@pytest.mark.parametrize("own", [0, 200, 2_000])
def test_intervals_of_slices_that_differ_hold_it_too(own: int) -> None:
    rng = np.random.default_rng(RNG_SEED)
    whole = fit(*histograms(*draw(rng, 20_000)))
    runs, inside = 150, np.zeros(3)
    for _ in range(runs):
        shift = rng.normal(0.0, 0.3)
        learned = adapt(whole, *histograms(*draw(rng, own, shift=shift)))
        scores, labels = draw(rng, 1_000, shift=shift)
        values = truth(scores, labels)
        for at, estimate in enumerate(ESTIMATES):
            found = estimate(expected(scores, learned))
            assert found.low is not None
            assert found.high is not None
            inside[at] += found.low <= values[at] <= found.high
    assert np.all(inside >= 0.88 * runs)


def test_gradients_are_those_of_the_metrics() -> None:
    """The variance of the map against small moves of one group at a time."""
    rng = np.random.default_rng(RNG_SEED)
    learned = fit(*histograms(*draw(rng, 2_000)))
    scores, _ = draw(rng, 3_000)
    rows = expected(scores, learned)
    sure = CalibrationMap(learned.chance, learned.group, np.zeros_like(learned.variance), learned.rows)
    for estimate in ESTIMATES:
        value = estimate(rows).value
        assert value is not None
        variance = 0.0
        for group, of_group in enumerate(learned.variance):
            step = np.where(learned.group == group, 1e-6, 0.0)
            moved = CalibrationMap(learned.chance + step, learned.group, learned.variance, learned.rows)
            near = estimate(Expected(rows.scored, rows.said_yes, moved)).value
            assert near is not None
            variance += ((near - value) / 1e-6) ** 2 * of_group
        wide, narrow = estimate(rows), estimate(Expected(rows.scored, rows.said_yes, sure))
        spread = [_logit_halfwidth(found.low, found.high) for found in (wide, narrow)]
        found_variance = (spread[0] ** 2 - spread[1] ** 2) * (value * (1 - value) / 1.959964) ** 2
        assert found_variance == pytest.approx(variance, rel=1e-3)


def _logit_halfwidth(low: float | None, high: float | None) -> float:
    assert low is not None
    assert high is not None
    return float(np.log(high / (1 - high)) - np.log(low / (1 - low))) / 2


def test_the_cut_needs_no_threshold_to_be_known() -> None:
    rng = np.random.default_rng(RNG_SEED)
    scores = np.round(rng.beta(2, 2, 5_000), 2)
    bins = score_bin(scores)
    scored = np.bincount(bins, minlength=SCORE_BINS)
    yes = said_yes(scored, float((scores >= 0.645).mean()))
    assert yes == pytest.approx(np.bincount(bins[scores >= 0.645], minlength=SCORE_BINS), abs=1e-6)
    assert not said_yes(scored, 0.0).any()
    assert np.array_equal(said_yes(scored, 1.0), scored)


def test_decisions_that_do_not_follow_the_score_are_told() -> None:
    rng = np.random.default_rng(RNG_SEED)
    scores, labels = draw(rng, 20_000)
    for decisions, follows in ((scores >= 0.6, True), (rng.random(20_000) < 0.3, False)):
        confusion = [
            int(((labels == y) & (decisions == d)).sum()) for y, d in ((1, 1), (0, 1), (0, 0), (1, 0))
        ]
        gap, unsure = rule_gap(*histograms(scores, labels), tuple(confusion))  # type: ignore[arg-type]
        assert unsure < 0.02
        assert (abs(gap) <= unsure) is follows
        assert follows or gap > 0.1


def test_undefined_says_why() -> None:
    rng = np.random.default_rng(RNG_SEED)
    learned = fit(*histograms(*draw(rng, 2_000)))
    none = np.zeros(SCORE_BINS, np.int64)
    reasons = [estimate(Expected(none, none.astype(np.float64), learned)).reason for estimate in ESTIMATES]
    assert reasons == ["no scored rows"] * 3
    some = none.copy()
    some[300] = 50
    assert [estimate(Expected(some, None, learned, "why")).reason for estimate in ESTIMATES[:2]] == [
        "why"
    ] * 2
    certain = CalibrationMap(np.zeros(SCORE_BINS), learned.group, learned.variance, 1)
    quiet = Expected(some, none.astype(np.float64), certain)
    assert ESTIMATES[1](quiet).reason == "no positive decisions, and no positive labels expected"
    assert ESTIMATES[2](quiet).reason == "rows of one class only are expected"
    assert ESTIMATES[0](quiet).to_dict()["estimate"] is True


def losses_of(cell: NDArray[np.int64], losses: Floats, cells_count: int) -> CellLosses:
    return CellLosses(
        np.bincount(cell, minlength=cells_count),
        np.bincount(cell, losses, cells_count).astype(np.float64),
        np.bincount(cell, losses**2, cells_count).astype(np.float64),
    )


def test_losses_by_cells_hold_what_labels_show() -> None:
    rng = np.random.default_rng(RNG_SEED)
    sigma = np.linspace(0.5, 4.0, 8)
    runs, inside = 200, 0
    for _ in range(runs):
        past = rng.integers(0, 8, 2_000)
        known = losses_of(past, np.abs(rng.normal(0, sigma[past])), 8)
        live = rng.choice(8, 1_000, p=np.arange(1, 9) / 36)  # more of the hard ones
        found = estimated_mean_loss(np.bincount(live, minlength=8), known)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= np.abs(rng.normal(0, sigma[live])).mean() <= found.high
        assert known.total.sum() / 2_000 < found.low
    assert 0.9 * runs <= inside


def test_a_slice_keeps_its_own_losses_and_borrows_their_shape() -> None:
    rng = np.random.default_rng(RNG_SEED + 1)
    sigma = np.linspace(0.5, 4.0, 8)
    past, mine = rng.integers(0, 8, 20_000), rng.integers(0, 4, 400)
    known = losses_of(past, np.abs(rng.normal(0, sigma[past])), 8)
    own = losses_of(mine, np.abs(rng.normal(0, 2 * sigma[mine])), 8)
    live = np.array([0, 0, 0, 0, 50, 50, 50, 50])  # cells of which the slice has no label
    truth = 2 * float(np.sqrt(2 / np.pi) * sigma[4:].mean())
    found = estimated_mean_loss(live, known, own=own)
    assert found.low is not None
    assert found.high is not None
    assert found.low < truth < found.high
    assert found.value == pytest.approx(truth, rel=0.15)
    few = CellLosses(np.eye(8, dtype=np.int64)[0] * 20, np.ones(8), np.ones(8))
    assert estimated_mean_loss(live, known, own=few).reason == (
        "labelled history of 20 rows of the slice; 30 are needed"
    )


def test_the_trend_is_the_power_losses_grow_with() -> None:
    sizes: Floats = np.exp2(np.arange(8.0))
    rows = np.array([100, 200, 300, 300, 200, 100, 5, 0])
    losses = CellLosses(rows, rows * 0.1 * sizes**1.5, rows * sizes)
    assert power_trend(losses, sizes) == pytest.approx(sizes**1.5)
    assert power_trend(CellLosses(rows, rows * 1.0, rows * 1.0), sizes) == pytest.approx(np.ones(8))
    two = CellLosses(np.where(np.arange(8) < 2, rows, 0), rows * sizes, rows * sizes)
    assert power_trend(two, sizes) == pytest.approx(np.ones(8))


def test_rows_unlike_any_labelled_have_no_estimate() -> None:
    known = CellLosses(np.array([200, 3]), np.array([100.0, 9.0]), np.array([60.0, 30.0]))
    assert (
        estimated_mean_loss(np.array([80, 20]), known).reason
        == "20% of rows are unlike any that were labelled"
    )
    assert estimated_mean_loss(np.array([95, 5]), known).value == pytest.approx(0.57, abs=0.05)
    assert estimated_mean_loss(np.array([0, 0]), known).reason == "no rows with a prediction"
    few = CellLosses(np.array([50, 0]), np.array([5.0, 0.0]), np.array([1.0, 0.0]))
    assert estimated_mean_loss(np.array([5, 0]), few).reason == "labelled history of 50 rows; 100 are needed"
