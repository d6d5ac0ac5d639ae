"""Whole days of labels: what no hour can tell from the hour before, a day can."""

import numpy as np

from monitor.core.alerts import Moment
from monitor.core.counters import DEFAULT_TIERS, Scalar, SliceCounts
from monitor.core.detectors.finding import SliceName
from monitor.core.evaluation import (
    Bucket,
    EvaluatorState,
    ModelEvaluation,
    Observed,
    Plan,
    ReferenceCounts,
    evaluate,
    plan,
    ripe_days,
    streams_of,
)
from monitor.core.evaluation.sensitivity import sensitivities
from monitor.core.event_time import EventClock, PartitionView
from monitor.core.records import Alert
from tests.support.fold import Rows, fold

DAY_S = 86_400
START_S = 19_000 * DAY_S
CONFIG = ModelEvaluation(
    "m", frozenset({"predictions"}), frozenset({"labels"}), DEFAULT_TIERS, label_wait_s=3_600.0
)


def answered(rng: np.random.Generator, rows: int, error: float) -> SliceCounts:
    counts = SliceCounts.zero()
    wrong = rng.binomial(rows, error)
    cells = [Scalar.TRACKED, Scalar.LABELLED, Scalar.FN, Scalar.FP, Scalar.TP, Scalar.TN]
    half = (rows - wrong) // 2
    counts.scalars[cells] = rows, rows, wrong // 2, wrong - wrong // 2, half, rows - wrong - half
    return counts


def days(errors: list[float], min_effect: float = 1.25) -> list[Alert]:
    """Transitions of alerts over days with an error rate each; the reference has 0.10."""
    rng = np.random.default_rng(1)
    reference = ReferenceCounts({0: answered(rng, 50_000, 0.1).scalars})
    config = ModelEvaluation(
        "m", frozenset({"predictions"}), frozenset({"labels"}), DEFAULT_TIERS, label_wait_s=3_600.0,
        reference=reference, min_effect=min_effect,
    )  # fmt: skip
    streams = streams_of([SliceName(0, "{}")], frozenset(), config.false_alarms_per_s, 10, 60)
    state = EvaluatorState()
    said: list[Alert] = []
    for place, error in enumerate(errors):
        start_s = START_S + place * DAY_S
        counts = answered(rng, 20_000, error)
        bucket = Bucket(start_s, counts.scalars[None, :])
        reached_ms = (start_s + 2 * DAY_S) * 1000
        looked = Plan(EventClock(), reached_ms, reached_ms, reached_ms, start_s, days=(start_s,))
        seen = Observed(looked, streams, {}, [], days=[bucket])
        state, step = evaluate(config, state, seen, Moment("m", 1, reached_ms, 10_000))
        said += step.transitions
        assert state.days_next_s == start_s + DAY_S
    return said


def test_a_decline_that_no_hour_tells_is_told_by_days() -> None:
    said = days([0.1] * 10 + [0.145] * 3)
    first = said[0]
    assert (first.kind, first.subject) == ("degradation", {"slice": {}, "metric": "accuracy"})
    assert first.opened_at.timestamp() == START_S + 11 * DAY_S
    assert first.began_at.timestamp() == START_S + 10 * DAY_S
    assert "fell from 90" in first.summary


def test_ordinary_days_are_not_told() -> None:
    assert days([0.1] * 30) == []


def test_within_a_day_only_what_no_hour_explains_is_told() -> None:
    assert CONFIG.degradation.min_effect == 2.0
    assert CONFIG.daily_degradation.min_effect == 1.25
    weekly = ModelEvaluation(
        "m", frozenset(), frozenset(), DEFAULT_TIERS, label_wait_s=40 * DAY_S, min_effect=1.1
    )
    assert weekly.label_tier.bucket_s == DAY_S
    assert weekly.day_tier is None
    assert weekly.degradation.min_effect == 1.1


def test_a_day_is_taken_when_its_labels_are_there_or_late() -> None:
    state = EvaluatorState(next_s=START_S + 10, labels_looked_ms=0)
    reached_ms = (START_S + DAY_S) * 1000 + 2_000
    partitions = [
        PartitionView(topic, 0, 5, reached_ms, caught_up=False, silent_s=0.0)
        for topic in ("predictions", "labels")
    ]
    looked = plan(CONFIG, state, partitions, reached_ms, 3, None)
    assert looked.days == (START_S,)
    whole = np.zeros(len(Scalar), np.int64)
    whole[[Scalar.TRACKED, Scalar.LABELLED]] = 100, 90
    assert ripe_days(CONFIG, looked, [whole]) == ()
    whole[Scalar.LABELLED] = 95
    assert ripe_days(CONFIG, looked, [whole]) == (START_S,)


def test_overconfident_scores_are_told_before_anyone_trusts_an_estimate() -> None:
    """Logits times 1/0.7: the guard of estimates without labels fires, and is silent on honest scores."""

    def folded(rng: np.random.Generator, rows: int, stretch: float) -> SliceCounts:
        logits = rng.normal(0.0, 2.0, rows)
        labels = rng.random(rows) < 1 / (1 + np.exp(-logits))
        scores = 1 / (1 + np.exp(-logits * stretch))
        return fold(Rows.of(scores, scores >= 0.5, labels))

    for stretch, kinds in ((1.0, set()), (1 / 0.7, {"calibration"})):
        rng = np.random.default_rng(2)
        known = folded(rng, 20_000, 1.0)
        assert known.scores is not None
        config = ModelEvaluation(
            "m", frozenset({"predictions"}), frozenset({"labels"}), DEFAULT_TIERS, label_wait_s=3_600.0,
            reference=ReferenceCounts({0: known.scalars}, {0: known.scores}),
        )  # fmt: skip
        assert config.curve_tier is config.label_tier
        streams = streams_of([SliceName(0, "{}")], frozenset(), config.false_alarms_per_s, 10, 60)
        state = EvaluatorState()
        told = set()
        for minute in range(40):
            start_s = START_S + 60 * minute
            counts = folded(rng, 500, stretch)
            assert counts.scores is not None
            bucket = Bucket(start_s, counts.scalars[None, :], scores=counts.scores[None, :])
            reached_ms = (start_s + 4_000) * 1000
            looked = Plan(EventClock(), reached_ms, reached_ms, reached_ms, start_s, labels=(start_s,))
            seen = Observed(looked, streams, {}, [], labels=[bucket])
            state, step = evaluate(config, state, seen, Moment("m", 1, reached_ms, 60_000))
            told |= {alert.kind.value for alert in step.transitions}
        assert told == kinds


def test_smaller_failures_take_more_rows_and_large_slices_come_first() -> None:
    rng = np.random.default_rng(4)
    rows = {0: 40_000, 1: 16_000, 2: 4_000}
    known = {i: answered(rng, n, 0.1).scalars for i, n in rows.items()}
    config = ModelEvaluation("m", frozenset(), frozenset(), DEFAULT_TIERS, reference=ReferenceCounts(known))
    keys = ['{"sex":"Female"}', '{"city":"Bern"}', '{"city":"Rome"}']
    names = [SliceName(i + 1, key) for i, key in enumerate(keys)]
    first, second = sensitivities(config, names)
    assert (first.slice, second.slice) == ("sex = Female", "city = Bern")
    assert (round(first.share, 2), round(second.share, 2)) == (0.4, 0.1)
    for one in (first, second):
        half, twice = one.rows
        assert twice is not None
        assert half is None or half > 2 * twice
    assert sensitivities(CONFIG, names) == []
