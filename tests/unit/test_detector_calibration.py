"""The guard of estimates: fires when scores change their meaning, and only then."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from monitor.core.counters import SCORE_BINS, SCORE_LOGIT_MAX, SCORE_PARTS, SCORES, Counts
from monitor.core.detectors.calibration import Calibration, CalibrationState, align, judge, step
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.estimation.guard import CELLS, CellLabels, Known, log_e_values
from monitor.core.evaluation.stored import dump, load
from monitor.core.records import AlertKind

Floats = NDArray[np.float64]
Meaning = Callable[[Floats], Floats]

MINUTE_MS: Final = 60_000
LEVEL: Final = math.log(10_000)
EDGES: Final = np.linspace(-SCORE_LOGIT_MAX, SCORE_LOGIT_MAX, SCORE_BINS + 1)
MIDDLES: Final = (EDGES[1:] + EDGES[:-1]) / 2


def as_it_is(logits: Floats) -> Floats:
    return logits


def overconfident(logits: Floats) -> Floats:
    """Scores are logits × 1/0.7 of what they should be."""
    return 0.7 * logits


def prior_shift(logits: Floats) -> Floats:
    return logits + 0.5


def within_tolerance(logits: Floats) -> Floats:
    return logits + math.log(1.24) * np.where(np.floor(2 * logits) % 2 == 0, 1.0, -1.0)


def draw(
    rng: np.random.Generator, slices: int, rows: float, meaning: Meaning = as_it_is, mean: float = -0.5
) -> Counts:
    """`scores` arrays of labelled rows, some `rows` in each slice."""
    density = np.diff(norm.cdf(EDGES, mean, 1.5))
    count = rng.poisson(rows * density, (slices, SCORE_BINS))
    positive = rng.binomial(count, expit(meaning(MIDDLES)))
    parts = np.stack([count, positive, count - positive], axis=2)
    assert parts.shape[2] == SCORE_PARTS
    return parts.reshape(slices, -1).astype(np.int64)


class Stream:
    """Buckets of labels through the detector, slice by slice."""

    def __init__(
        self, rng: np.random.Generator, slices: int, reference_rows: float, mean: float = -0.5
    ) -> None:
        self.rng, self.slices = rng, slices
        self.config = Calibration()
        reference = dict(enumerate(draw(rng, slices, reference_rows, mean=mean))) if reference_rows else {}
        self.state = align(self.config, CalibrationState.fresh(), np.arange(slices), reference)
        self.names = {i: SliceName(i, f'{{"shop":"{i}"}}' if i else "{}") for i in range(slices)}
        self.at = 0
        self.first = np.full(slices, np.inf)

    def run(
        self, buckets: int, rows: float, meaning: Meaning = as_it_is, mean: float = -0.5, level: float = LEVEL
    ) -> list[Finding]:
        findings: list[Finding] = []
        for _ in range(buckets):
            self.at += 1
            everyone = np.ones(self.slices, np.bool_)
            scores = draw(self.rng, self.slices, rows, meaning, mean)
            self.state = step(self.config, self.state, scores, self.at * MINUTE_MS, everyone)
            threshold, ends = np.full(self.slices, level), np.full(self.slices, (self.at + 1.0) * MINUTE_MS)
            self.state, findings = judge(self.config, self.state, self.names, threshold, ends)
            for finding in findings:
                slice_ = int(finding.subject["slice"].get("shop", 0))
                self.first[slice_] = min(self.first[slice_], self.at)
        return findings


@pytest.mark.parametrize(
    ("meaning", "median_rows", "all_rows"), [(overconfident, 7_000, 15_000), (prior_shift, 4_000, 8_000)]
)
def test_it_fires_when_scores_change_their_meaning(meaning: Meaning, median_rows: int, all_rows: int) -> None:
    stream = Stream(np.random.default_rng(3), 40, 20_000)
    stream.run(10, 500)
    assert np.isinf(stream.first).all()
    stream.run(all_rows // 500, 500, meaning)
    assert np.median(stream.first - 10) * 500 <= median_rows
    assert np.isfinite(stream.first).all()


def test_it_is_silent_while_scores_keep_their_meaning() -> None:
    """15,000 buckets in all at one false alarm in 1,000 allow 15."""
    stream = Stream(np.random.default_rng(4), 100, 20_000)
    stream.run(150, 200, level=math.log(1_000))
    assert np.isfinite(stream.first).sum() <= 15
    assert float(stream.state.tracker.log_evidence.max()) < LEVEL


@pytest.mark.parametrize("reference_rows", [2_100, 20_000])
@pytest.mark.parametrize(("meaning", "mean"), [(as_it_is, 1.5), (as_it_is, -4.0), (within_tolerance, -0.5)])
def test_other_inputs_and_small_effects_do_not_fool_it(
    reference_rows: float, meaning: Meaning, mean: float
) -> None:
    stream = Stream(np.random.default_rng(5), 60, reference_rows)
    stream.run(60, 500, meaning, mean, level=math.log(1_000))
    assert np.isinf(stream.first).all()


def test_rare_positives_are_guarded_too() -> None:
    stream = Stream(np.random.default_rng(6), 30, 20_000, mean=-4.0)
    stream.run(30, 500, mean=-4.0)
    assert np.isinf(stream.first).all()
    stream.run(60, 500, prior_shift, mean=-4.0)
    assert np.isfinite(stream.first).mean() > 0.9


def test_what_it_says() -> None:
    stream = Stream(np.random.default_rng(7), 1, 20_000)
    stream.run(20, 500)
    (finding,) = stream.run(30, 500, overconfident)
    assert finding.kind is AlertKind.CALIBRATION
    assert finding.subject == {"slice": {}}
    assert finding.holds
    assert 19 * MINUTE_MS <= finding.began_ms <= 24 * MINUTE_MS
    assert finding.summary.startswith("estimates of accuracy before labels cannot be trusted: of ")
    assert "rows of all requests since 00:2" in finding.summary
    expected, observed = finding.values["expected_rate"], finding.values["observed_rate"]
    assert abs(expected - 0.5) > abs(observed - 0.5)  # bolder than the truth
    assert finding.rows == pytest.approx(30 * 500, rel=0.2)
    assert 0.01 < finding.effect < 0.1
    assert finding.excess == pytest.approx(finding.effect * finding.rows)


def test_one_request_sent_again_and_again_is_no_change_of_meaning() -> None:
    """Of 40 slices each has a burst of 20 to 50 rows, answered wrongly, in every tenth bucket of 1,000."""
    rng = np.random.default_rng(15)
    stream = Stream(rng, 40, 20_000)
    everyone = np.ones(40, np.bool_)
    loud = 0.0
    for at in range(60):
        scores = draw(rng, 40, 1_000).reshape(40, SCORE_BINS, SCORE_PARTS)
        if at % 10 == 5:
            burst = rng.integers(20, 51, 40)
            logits = rng.normal(0.0, 2.0, 40)
            place = (np.arange(40), np.searchsorted(EDGES, logits) - 1)
            scores[(*place, np.zeros(40, np.int64))] += burst
            scores[(*place, np.where(logits < 0, 1, 2))] += burst
        stream.state = step(stream.config, stream.state, scores.reshape(40, -1), at * MINUTE_MS, everyone)
        loud = max(loud, float(stream.state.tracker.log_evidence.max()))
    assert loud < math.log(720)  # one a month, by the hour


def test_it_recovers() -> None:
    stream = Stream(np.random.default_rng(8), 1, 20_000)
    stream.run(20, 500, prior_shift)
    findings = [finding for _ in range(40) for finding in stream.run(1, 500)]
    assert findings[0].holds
    assert not findings[-1].holds
    assert sum(not finding.holds for finding in findings) == 1
    assert stream.run(20, 500) == []


def test_a_slice_without_a_reference_is_learned_first() -> None:
    stream = Stream(np.random.default_rng(9), 2, 0)
    assert not stream.state.settled.any()
    stream.run(6, 500, overconfident)  # to be learned as it is
    assert stream.state.settled.all()
    held = stream.state.positive.copy()
    stream.run(30, 500, overconfident)
    assert np.array_equal(held, stream.state.positive)
    assert np.isinf(stream.first).all()


def test_only_what_is_mature_is_taken() -> None:
    rng = np.random.default_rng(10)
    stream = Stream(rng, 2, 20_000)
    before = stream.state
    after = step(stream.config, before, draw(rng, 2, 500, prior_shift), 0, np.array([True, False]))
    assert np.array_equal(after.tracker.sr[1], before.tracker.sr[1])
    assert not np.array_equal(after.tracker.sr[0], before.tracker.sr[0])


def test_slices_come_and_go_with_their_state() -> None:
    stream = Stream(np.random.default_rng(11), 3, 20_000)
    stream.run(3, 500, prior_shift)
    old = stream.state
    state = align(stream.config, old, np.array([2, 7, 0]), {})
    assert np.array_equal(state.tracker.sr[[0, 2]], old.tracker.sr[[2, 0]])
    assert np.array_equal(state.positive[[0, 2]], old.positive[[2, 0]])
    assert state.settled.tolist() == [True, False, True]
    assert np.isneginf(state.tracker.sr[1]).all()
    kept = load(CalibrationState, dump(state, 1), 1)
    assert kept is not None
    assert np.array_equal(kept.tracker.sr, state.tracker.sr)
    assert np.array_equal(kept.scatter.sums, state.scatter.sums)


def test_rows_in_clusters_weigh_less() -> None:
    """Every row five times over: without the design effect evidence would be five times too strong."""
    rng = np.random.default_rng(12)
    stream = Stream(rng, 40, 20_000)
    for at in range(60):
        scores = 5 * draw(rng, 40, 100)
        stream.state = step(stream.config, stream.state, scores, at * MINUTE_MS, np.ones(40, np.bool_))
    assert 3.5 < np.median(stream.state.design_effect) < 8


def test_bets_are_fair_at_the_edge_of_what_is_tolerated() -> None:
    """With a known truth and nothing tolerated every bet has mean 1; within tolerance, at most 1."""
    rng = np.random.default_rng(13)
    log_odds = np.linspace(-6, 6, CELLS)[None, :]
    runs = 4_000
    many = Known(np.repeat(log_odds, runs, 0), np.full((runs, CELLS), 1e-12))
    rows = rng.poisson(0.3, (runs, CELLS)).astype(np.float64)
    for shift, min_effect in ((0.0, 1.0), (math.log(1.25), 1.25), (-math.log(1.25), 1.25)):
        positive = rng.binomial(rows.astype(np.int64), expit(log_odds + shift)).astype(np.float64)
        e = np.exp(log_e_values(CellLabels(positive, rows - positive), many, min_effect, 2.8))
        mean, error = e.mean(axis=0), e.std(axis=0) / math.sqrt(runs)
        assert np.all(mean <= 1 + 4 * error)
        if min_effect == 1.0:
            assert np.all(mean >= 1 - 4 * error)
    assert many.sure.all()


def test_an_array_without_rows_says_nothing() -> None:
    stream = Stream(np.random.default_rng(14), 2, 20_000)
    after = step(stream.config, stream.state, np.zeros((2, SCORES.size), np.int64), 0, np.ones(2, np.bool_))
    assert np.array_equal(after.tracker.sr, stream.state.tracker.sr)
    assert align(stream.config, CalibrationState.fresh(), np.zeros(0, np.int64), {}).slices.size == 0
