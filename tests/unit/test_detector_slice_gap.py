"""Slice against rest: tables, tolerance, learning, standing gaps."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.core.counters import Scalar
from monitor.core.detectors import slice_gap
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.detectors.gap_tables import (
    OF_CLASSES,
    GapMetric,
    GapStream,
    odds_ratio,
    standard_error,
    tables,
)
from monitor.core.detectors.slice_gap import GapState, SliceGap
from monitor.core.records import AlertKind

CONFIG = SliceGap()
NAMES = {1: SliceName(1, '{"sex":"Female"}'), 2: SliceName(2, '{"race":"Black","sex":"Female"}')}
ERRORS = GapStream(1, GapMetric.ERROR_RATE, False, 1.0)
THRESHOLD = 20.0


def counted(**cells: int) -> NDArray[np.int64]:
    row = np.zeros(len(Scalar), np.int64)
    for name, count in cells.items():
        row[Scalar[name]] = count
    return row


def judged(rows: int, errors: int) -> NDArray[np.int64]:
    """A slice whose errors are half false positives, half false negatives."""
    fp = errors // 2
    fn = errors - fp
    tp = (rows - errors) // 2
    return counted(
        REQUESTS=rows, TRACKED=rows, LABELLED=rows, DECIDED=rows, POSITIVE=tp + fp,
        TP=tp, FP=fp, FN=fn, TN=rows - errors - tp,
    )  # fmt: skip


def live(
    state: GapState,
    seconds: int,
    mine: tuple[int, float],
    rest: tuple[int, float],
    seed: int = 0,
    start: int = 0,
    names: Mapping[int, SliceName] = NAMES,
) -> tuple[GapState, list[tuple[int, Finding]]]:
    rng = np.random.default_rng(seed)
    said = []
    for second in range(start, start + seconds):
        slice_row = judged(mine[0], int(rng.binomial(*mine)))
        whole = slice_row + judged(rest[0], int(rng.binomial(*rest)))
        table = tables(state.streams, {0: 0, 1: 1}, np.stack([whole, slice_row]))
        everyone = np.ones(len(state.streams), np.bool_)
        state = slice_gap.step(CONFIG, state, table, second * 1000, everyone)
        state, findings = slice_gap.judge(
            CONFIG, state, names, np.full(len(state.streams), THRESHOLD), np.full(1, (second + 1) * 1000.0)
        )
        said += [(second, finding) for finding in findings]
    return state, said


def referenced(mine: NDArray[np.int64], whole: NDArray[np.int64], *streams: GapStream) -> GapState:
    reference: tuple[Mapping[int, int], NDArray[np.int64]] = ({0: 0, 1: 1}, np.stack([whole, mine]))
    return slice_gap.align(CONFIG, GapState.fresh(), streams or (ERRORS,), reference)


def equal_reference() -> GapState:
    return referenced(judged(8_000, 800), judged(20_000, 2_000))


def test_every_metric_reads_its_own_table() -> None:
    whole = counted(TP=30, FN=10, FP=5, TN=55, DECIDED=100, POSITIVE=35, TRACKED=120, LABELLED=100, INVALID=9)
    mine = counted(TP=10, FN=6, FP=1, TN=23, DECIDED=40, POSITIVE=11, TRACKED=50, LABELLED=40, INVALID=2)
    metrics = [metric for metric in GapMetric if metric not in OF_CLASSES]
    streams = [GapStream(1, metric, metric is GapMetric.COVERAGE, 1.0) for metric in metrics]
    table = tables(streams, {0: 0, 1: 1}, np.stack([whole, mine]))
    assert dict(zip(metrics, zip(table.n1, table.s1, table.n2, table.s2, strict=True), strict=True)) == {
        "error_rate": (40, 7, 60, 8),
        "false_negative_rate": (16, 6, 24, 4),
        "false_positive_rate": (24, 1, 36, 4),
        "positive_rate": (40, 11, 60, 24),
        "coverage": (50, 10, 70, 10),
    }
    assert table.invalid.tolist() == [2] * 5


def test_a_class_has_a_table_of_its_own() -> None:
    whole, mine = counted(DECIDED=100), counted(DECIDED=40)
    classes = np.zeros((2, 8), np.int64)  # decided, labelled, said, right of class 0 and of class 1
    classes[0, 4:] = 70, 60, 66, 45
    classes[1, 4:] = 10, 20, 9, 8
    streams = [GapStream(1, metric, False, 1.0, 1, "dog") for metric in OF_CLASSES]
    table = tables(streams, {0: 0, 1: 1}, np.stack([whole, mine]), classes)
    assert list(zip(table.n1, table.s1, table.n2, table.s2, strict=True)) == [
        (20, 12, 40, 3),  # labels of the class that were taken for another
        (40, 10, 60, 60),
    ]


def test_a_slice_read_a_moment_after_the_whole_stays_a_table() -> None:
    table = tables([ERRORS], {0: 0, 1: 1}, np.stack([judged(100, 10), judged(101, 12)]))
    assert 0 <= table.s1[0] <= table.n1[0] <= 100
    assert table.n2[0] == 0


def test_tolerance_is_the_effect_that_matters_widened_by_what_the_reference_leaves_open() -> None:
    large = referenced(judged(800_000, 80_000), judged(2_000_000, 200_000))
    assert large.tolerated[0] == pytest.approx(1.25, rel=0.01)
    small = referenced(judged(400, 40), judged(20_000, 2_000))
    assert 1.5 < small.tolerated[0] < 1.9
    twice = referenced(judged(80_000, 16_000), judged(200_000, 28_000))
    assert twice.tolerated[0] == pytest.approx(1.25 * float(odds_ratio(twice.reference)[0]), rel=0.02)
    better = referenced(judged(80_000, 4_000), judged(200_000, 20_000))
    assert better.tolerated[0] == pytest.approx(1.25, rel=0.05)


def test_an_equal_slice_is_silent_and_a_worse_one_is_told_with_its_figures() -> None:
    state, said = live(equal_reference(), 300, (400, 0.10), (600, 0.10))
    assert not said
    _, said = live(state, 40, (400, 0.20), (600, 0.10), 1, 300)
    second, finding = said[0]
    assert second < 312
    assert finding.kind is AlertKind.GAP_CHANGE
    assert finding.subject == {"slice": {"sex": "Female"}, "metric": "error_rate"}
    assert 298_000 <= finding.began_ms <= 303_000
    assert finding.summary.startswith("error rate of sex = Female is ")
    assert finding.values["reference_odds_ratio"] == pytest.approx(1, abs=0.1)
    last = said[-1][1]
    assert last.effect == pytest.approx(2.25, rel=0.1)
    assert last.excess == pytest.approx(0.1 * 400 * 40, rel=0.15)


def test_a_slice_that_does_better_is_no_failure() -> None:
    assert not live(equal_reference(), 200, (400, 0.02), (600, 0.10))[1]


def test_it_recovers_and_can_alarm_again() -> None:
    state, _ = live(equal_reference(), 20, (400, 0.25), (600, 0.10))
    assert state.tracker.open[0]
    state, said = live(state, 20, (400, 0.10), (600, 0.10), 1, 20)
    assert [finding.holds for _, finding in said][-1] is False
    assert said[-1][0] < 30
    assert not state.tracker.open[0]
    assert live(state, 20, (400, 0.25), (600, 0.10), 2, 40)[1]


def test_a_gap_of_the_reference_stands_and_only_its_growth_alarms() -> None:
    state = referenced(judged(8_000, 1_600), judged(20_000, 2_800))
    state, told = slice_gap.standing(CONFIG, state, NAMES, 7_000)
    assert [(finding.kind, finding.acknowledged) for finding in told] == [(AlertKind.STANDING_GAP, True)]
    assert told[0].summary == (
        "error rate of sex = Female is 20 % against 10 % in the rest, and was so in the reference"
    )
    assert not slice_gap.standing(CONFIG, state, NAMES, 8_000)[1]  # once
    state, said = live(state, 300, (400, 0.20), (600, 0.10))
    assert not said
    assert live(state, 60, (400, 0.40), (600, 0.10), 1, 300)[1]


def test_without_a_reference_a_slice_is_learned_and_silent_meanwhile() -> None:
    state = slice_gap.align(CONFIG, GapState.fresh(), (ERRORS,), None)
    state, said = live(state, 4, (400, 0.30), (600, 0.10))
    assert not said
    assert np.isnan(state.tolerated[0])
    state, said = live(state, 2, (400, 0.30), (600, 0.10), 1, 4)
    assert state.tolerated[0] > 3.8  # what was learned is what it is held to
    assert not said


def test_a_reference_too_small_for_a_slice_is_completed_from_live_rows() -> None:
    state = referenced(judged(20, 2), judged(20_000, 2_000))
    assert np.isnan(state.tolerated[0])
    state, _ = live(state, 20, (10, 0.10), (990, 0.10))
    assert not np.isnan(state.tolerated[0])
    assert standard_error(state.reference)[0] <= CONFIG.reference_se_max


def test_buckets_that_are_not_mature_are_left_out() -> None:
    state = equal_reference()
    table = tables(state.streams, {0: 0, 1: 1}, np.stack([judged(1000, 300), judged(400, 240)]))
    after = slice_gap.step(CONFIG, state, table, 0, np.zeros(1, np.bool_))
    assert after.tracker.log_evidence[0] == -np.inf


def test_the_lower_side_is_the_upper_side_of_the_complement() -> None:
    low = GapStream(1, GapMetric.POSITIVE_RATE, True, 1.0)
    mine = counted(DECIDED=40, POSITIVE=4)
    whole = counted(DECIDED=100, POSITIVE=40)
    table = tables([low], {0: 0, 1: 1}, np.stack([whole, mine]))
    assert (table.s1[0], table.s2[0]) == (36, 24)
    state = referenced(counted(DECIDED=8_000, POSITIVE=800), counted(DECIDED=20_000, POSITIVE=8_000), low)
    _, (finding,) = slice_gap.standing(CONFIG, state, NAMES, 0)
    assert finding.summary.startswith("positive rate of sex = Female is 10 % against 60 % in the rest")
    assert finding.values["side"] == "lower"


def test_streams_keep_their_state_when_others_appear() -> None:
    state, _ = live(equal_reference(), 5, (400, 0.20), (600, 0.10))
    other = GapStream(2, GapMetric.ERROR_RATE, False, 0.5)
    grown = slice_gap.align(CONFIG, state, (other, ERRORS), None)
    assert grown.streams == (other, ERRORS)
    assert grown.tracker.sums[1].tolist() == state.tracker.sums[0].tolist()
    assert grown.tolerated[1] == state.tolerated[0]
    assert np.isnan(grown.tolerated[0])


def test_a_new_model_version_starts_its_own_comparison() -> None:
    """What the reference says of the old version does not count for it: it is learned, then held to that."""
    names = {1: SliceName(1, '{"model_version":"2"}')}
    of_old = {0: 0, 2: 1}, np.stack([judged(20_000, 2_000), judged(20_000, 2_000)])
    state = slice_gap.align(CONFIG, GapState.fresh(), (ERRORS,), of_old)
    assert np.isnan(state.tolerated[0])
    state, said = live(state, 20, (400, 0.15), (600, 0.10), names=names)
    assert not said
    assert not np.isnan(state.tolerated[0])
    state, said = live(state, 60, (400, 0.30), (600, 0.10), 1, 20, names=names)
    assert said[0][1].subject["slice"] == {"model_version": "2"}


def test_a_crossing_waits_for_the_single_feature_that_is_about_to_alarm() -> None:
    crossing = GapStream(2, GapMetric.ERROR_RATE, False, 0.5)
    rows = np.stack([judged(20_000, 2_000), judged(8_000, 800), judged(4_000, 400)])
    state = slice_gap.align(CONFIG, GapState.fresh(), (ERRORS, crossing), ({0: 0, 1: 1, 2: 2}, rows))
    rows = np.stack([judged(10_000, 1_100), judged(4_000, 560), judged(2_000, 300)])
    table = tables(state.streams, {0: 0, 1: 1, 2: 2}, rows)
    state = slice_gap.step(CONFIG, state, table, 0, np.ones(2, np.bool_))
    single, crossed = state.tracker.log_evidence
    at_ms = np.zeros(2)
    parent_near = np.array([single * 1.2, crossed * 0.9])
    assert not slice_gap.judge(CONFIG, state, NAMES, parent_near, at_ms)[1]
    parent_far = np.array([single * 3, crossed * 0.9])
    assert len(slice_gap.judge(CONFIG, state, NAMES, parent_far, at_ms)[1]) == 1
    plain = np.array([single * 1.2, crossed * 0.4])
    assert len(slice_gap.judge(CONFIG, state, NAMES, plain, at_ms)[1]) == 1
