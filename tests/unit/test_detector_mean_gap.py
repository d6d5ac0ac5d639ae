"""Means of a slice against the rest: what is told, what is tolerated, and what heavy tails do not raise."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from monitor.core.counters import VALUES, Scalar, SliceCounts
from monitor.core.detectors import mean_gap
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.detectors.mean_gap import MeanGap, MeanState
from monitor.core.detectors.mean_tables import (
    REFERENCE,
    MeanMetric,
    MeanStream,
    of_one_sign,
    tables,
)
from monitor.core.detectors.mean_words import finding_of
from monitor.core.evaluation.stored import dump, load
from monitor.core.evidence.edetector import Floats
from monitor.core.records import AlertKind
from monitor.core.tasks.moments import CELLS
from tests.support.values import counted

CONFIG = MeanGap()
WOMEN = SliceName(1, '{"sex":"Female"}')
MEN = SliceName(2, '{"sex":"Male"}')
NAMES = {1: WOMEN, 2: MEN}
MONTHLY_OF_100 = 19.4 - np.log(60.0)
LOWER = MeanStream(1, MeanMetric.MEAN_VALUE, True, 1.0)
HIGHER = MeanStream(1, MeanMetric.MEAN_VALUE, False, 1.0)
ERRORS = MeanStream(1, MeanMetric.MAE, False, 1.0)
BIASES = (MeanStream(1, MeanMetric.BIAS, True, 1.0), MeanStream(1, MeanMetric.BIAS, False, 1.0))

Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
"""Values and labels of so many rows."""


def limits(level: float, sigma: float = 1.0) -> Draw:
    """Lognormal values, and labels that they miss by a fifth."""

    def draw(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
        values = level * rng.lognormal(0, sigma, rows)
        return values, values * rng.normal(1.0, 0.2, rows)

    return draw


def both(rng: np.random.Generator, mine: Draw, rest: Draw, rows: tuple[int, int]) -> dict[int, SliceCounts]:
    """Counts of the slice and of all traffic."""
    one, other = (draw(rng, n) for draw, n in zip((mine, rest), rows, strict=True))
    whole = (np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]))
    return {0: counted(*whole), 1: counted(*one)}


def referenced(
    mine: Draw, rest: Draw, streams: tuple[MeanStream, ...], rows: tuple[int, int] = (4_000, 16_000)
) -> MeanState:
    known = both(np.random.default_rng(99), mine, rest, rows)
    return mean_gap.align(CONFIG, MeanState.fresh(), streams, known)


def live(
    state: MeanState,
    buckets: int,
    mine: Draw,
    rest: Draw,
    rows: tuple[int, int] = (50, 450),
    seed: int = 0,
    start: int = 0,
) -> tuple[MeanState, list[tuple[int, Finding]]]:
    rng = np.random.default_rng(seed)
    bar, said = np.full(len(state.streams), MONTHLY_OF_100), []
    for place in range(start, start + buckets):
        table = tables(state.streams, both(rng, mine, rest, rows))
        take = np.ones(len(state.streams), np.bool_)
        state = mean_gap.step(CONFIG, state, table, place * 60_000, take)
        state, findings = mean_gap.judge(CONFIG, state, NAMES, bar, (place + 1) * 60_000)
        said += [(place, finding) for finding in findings]
    return state, said


def test_a_credit_limit_twenty_times_lower_is_told_with_its_ratio_and_both_figures() -> None:
    state = referenced(limits(24_000), limits(24_000), (LOWER, HIGHER))
    state, said = live(state, 60, limits(24_000), limits(24_000))
    assert not said
    _, said = live(state, 40, limits(1_200), limits(24_000), start=60)
    place, finding = said[0]
    assert place <= 67
    assert finding.kind is AlertKind.GAP_CHANGE
    assert finding.subject == {"slice": {"sex": "Female"}, "metric": "mean_value"}
    assert finding.values["side"] == "lower"
    last = said[-1][1]
    assert last.effect == pytest.approx(0.05, rel=0.15)
    assert last.summary.startswith("mean predicted value of sex = Female is 0.0")
    assert "times that of sex = Male: " in last.summary
    assert "within strata" in last.advice
    assert last.values["difference"] == pytest.approx(-0.95 * 24_000 * np.exp(0.5), rel=0.1)


def test_a_favoured_group_is_told_on_the_other_side() -> None:
    state = referenced(limits(1_000), limits(1_000), (LOWER, HIGHER))
    _, said = live(state, 80, limits(2_000), limits(1_000))
    assert {finding.values["side"] for _, finding in said} == {"higher"}


def test_errors_that_doubled_are_told_and_smaller_ones_are_no_failure() -> None:
    def priced(noise: float) -> Draw:
        def draw(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
            labels = rng.lognormal(10, 0.5, rows)
            return labels + noise * rng.standard_t(4, rows), labels

        return draw

    state = referenced(priced(1_000), priced(1_000), (ERRORS,))
    assert not live(state, 60, priced(300), priced(1_000))[1]
    _, said = live(state, 60, priced(2_000), priced(1_000))
    assert said[0][1].summary.startswith("mean absolute error of sex = Female is ")
    assert said[-1][1].effect == pytest.approx(2.0, rel=0.1)


def off(shift: float) -> Draw:
    def draw(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
        labels = rng.normal(0, 50, rows)
        return labels + shift + 10 * rng.laplace(size=rows), labels

    return draw


def test_a_bias_is_told_on_its_side_and_not_of_those_who_are_right() -> None:
    state = referenced(off(0), off(0), BIASES)
    _, said = live(state, 80, off(-8), off(0))
    assert {finding.values["side"] for _, finding in said} == {"lower"}
    assert said[-1][1].effect == pytest.approx(-8, abs=1)
    assert said[-1][1].effect_unit == "difference"
    assert not live(state, 80, off(0), off(-8))[1]


def test_a_gap_of_the_reference_stands_and_only_its_growth_alarms() -> None:
    state = referenced(limits(500), limits(1_000), (LOWER,))
    state, told = mean_gap.standing(CONFIG, state, NAMES, 7_000)
    assert [(finding.kind, finding.acknowledged) for finding in told] == [(AlertKind.STANDING_GAP, True)]
    assert told[0].summary.endswith("and was so in the reference")
    assert not mean_gap.standing(CONFIG, state, NAMES, 8_000)[1]  # once
    state, said = live(state, 150, limits(500), limits(1_000))
    assert not said
    assert live(state, 60, limits(200), limits(1_000), start=150)[1]


def test_a_level_that_moves_for_everybody_is_no_gap() -> None:
    state = referenced(limits(1_000), limits(1_000), (LOWER, HIGHER))
    said = []
    for place in range(120):
        level = limits(1_000 * 10 ** np.sin(place / 20))
        state, found = live(state, 1, level, level, seed=place, start=place)
        said += found
    assert not said


def test_without_a_reference_a_slice_is_learned_and_silent_meanwhile() -> None:
    state = mean_gap.align(CONFIG, MeanState.fresh(), (LOWER,), {})
    state, said = live(state, 9, limits(300), limits(1_000))
    assert not said
    assert np.isnan(state.tolerated[0])
    state, said = live(state, 4, limits(300), limits(1_000), start=9, seed=1)
    assert state.tolerated[0] > 3.5  # what was learned is what it is held to
    assert not said


def test_a_rest_that_has_nothing_is_told_by_the_difference() -> None:
    """No number is so many times nothing."""
    sums = np.array([500, 5_000.0, 60_000.0, 5_000.0, 500, 0.0, 0.0, 0.0, 0])
    found = finding_of(HIGHER, NAMES, sums, sums[:8], ratio=True, began_ms=0, at_ms=1_000, tolerated=1.25)
    assert (found.effect, found.effect_unit) == (10.0, "difference")
    assert "mean predicted value of sex = Female is 10 against 0 of sex = Male" in found.summary


def test_it_recovers() -> None:
    state, said = live(referenced(limits(1_000), limits(1_000), (LOWER,)), 40, limits(300), limits(1_000))
    assert said[-1][1].holds
    state, said = live(state, 60, limits(1_000), limits(1_000), start=40, seed=1)
    assert not said[-1][1].holds
    assert not state.tracker.open[0]


def test_one_row_of_a_billion_is_no_alarm() -> None:
    state = referenced(limits(1_000), limits(1_000), (LOWER, HIGHER))

    def wild(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
        values, labels = limits(1_000)(rng, rows)
        values[0] = 1e9
        return values, labels

    state, _ = live(state, 30, limits(1_000), limits(1_000))
    _, said = live(state, 1, wild, limits(1_000), start=30)
    assert not said


def test_mean_scores_come_from_the_scalars() -> None:
    mine, whole = SliceCounts.zero(), SliceCounts.zero()
    one = 1 << 24
    mine.scalars[[Scalar.SCORED, Scalar.SCORE_SUM, Scalar.SCORE_SQ_SUM]] = 4, one, one // 2
    whole.scalars[[Scalar.SCORED, Scalar.SCORE_SUM, Scalar.SCORE_SQ_SUM]] = 10, 4 * one, 3 * one
    (sums,) = tables([MeanStream(1, MeanMetric.MEAN_SCORE, True, 1.0)], {0: whole, 1: mine})
    assert sums.tolist() == [4, 1, 0.5, 1, 6, 3, 2.5, 3, 0]


def test_a_slice_read_a_moment_after_the_whole_says_nothing() -> None:
    ahead = counted(np.full(12, 5.0), np.full(12, 5.0))
    (sums,) = tables([LOWER], {0: counted(np.full(10, 5.0), np.full(10, 5.0)), 1: ahead})
    assert sums[4:8].tolist() == [0, 0, 0, 0]


def test_streams_keep_their_state_when_others_appear_and_the_state_is_stored() -> None:
    state, _ = live(referenced(limits(1_000), limits(1_000), (LOWER,)), 5, limits(500), limits(1_000))
    grown = mean_gap.align(CONFIG, state, (ERRORS, replace(LOWER, weight=0.5)), {})
    assert grown.tracker.sums[1].tolist() == state.tracker.sums[0].tolist()
    assert grown.tolerated[1] == state.tolerated[0]
    assert np.isnan(grown.tolerated[0])
    read = load(MeanState, dump(state, 1), 1)
    assert read is not None
    assert read.streams == state.streams
    assert np.array_equal(read.reference, state.reference)


STREAMS, BUCKETS = 200, 300


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("rows", [(5, 95), (100, 300)])
def test_heavy_tailed_streams_keep_the_promise(sigma: float, rows: tuple[int, int], signed: bool) -> None:
    """200 streams of either side, 300 buckets: at level 1/1000 a bucket no more than 120 may alarm."""
    rng = np.random.default_rng(round(10 * sigma) + rows[0])
    low = np.arange(STREAMS) % 2 == 0
    metric = MeanMetric.BIAS if signed else MeanMetric.MEAN_VALUE
    streams = tuple(MeanStream(i + 1, metric, bool(side), 1.0) for i, side in enumerate(low))

    def side(n: int) -> Floats:
        x = rng.lognormal(0, sigma, (STREAMS, n))
        x *= rng.choice([-1.0, 1.0], x.shape) if signed else 1.0
        sums = [np.full(STREAMS, float(n)), x.sum(axis=1), (x * x).sum(axis=1), np.abs(x).sum(axis=1)]
        return np.stack(sums, axis=1)

    def bucket(one: int, rest: int) -> Floats:
        return np.concatenate([side(one), side(rest), np.zeros((STREAMS, 1))], axis=1)

    share = rows[0] / sum(rows)
    reference = bucket(round(8_000 * share), round(8_000 * (1 - share)))[:, :REFERENCE]
    state = mean_gap.align(CONFIG, MeanState.fresh(), streams, {})
    state = replace(state, reference=reference, ratio=of_one_sign(reference))
    state = replace(state, tolerated=mean_gap.tolerance(CONFIG, state))
    bar, everyone = np.full(STREAMS, np.log(1_000.0)), np.ones(STREAMS, np.bool_)
    names = {i + 1: SliceName(i + 1, f'{{"city":"c{i}"}}') for i in range(STREAMS)}
    alarmed: set[int] = set()
    for place in range(BUCKETS):
        state = mean_gap.step(CONFIG, state, bucket(*rows), place * 60_000, everyone)
        alarmed |= set(np.flatnonzero(state.tracker.log_evidence >= bar).tolist())
    _, findings = mean_gap.judge(CONFIG, state, names, bar, 0)
    assert len(findings) <= len(alarmed) <= 0.5 * STREAMS * BUCKETS / 1_000


def test_the_values_array_is_as_long_as_it_is_kept() -> None:
    held = counted(np.ones(3), np.ones(3)).values
    assert held is not None
    assert (held.size, VALUES.size) == (CELLS, 0)
