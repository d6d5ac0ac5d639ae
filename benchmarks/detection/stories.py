"""Failures that ought to be one alert, through the whole evaluator: counters in, transitions of alerts out.

Flapping: a violation that is there every other ten seconds. Crossing: women are served worse, and so is
every crossing of gender and race. Missing feature: a feature that is absent in two fifths of the requests,
where the model then reads zero, shifts the score. Overconfident: logits times 1/0.7, which the estimates
without labels cannot see; honest scores beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy.special import expit

from benchmarks.detection.car_loans import slice_counts
from benchmarks.detection.configuration import MONTH_S
from monitor.core.alerts import Moment
from monitor.core.counters import CODES, DEFAULT_TIERS, DEMO_TIERS, Scalar, SliceCounts
from monitor.core.detectors.finding import SliceName
from monitor.core.drift.layout import SCALE_CELLS, FeatureLayout
from monitor.core.evaluation import (
    Bucket,
    EvaluatorState,
    ModelEvaluation,
    Observed,
    Plan,
    ReferenceCounts,
    evaluate,
    streams_of,
)
from monitor.core.event_time import EventClock
from monitor.core.feature_cells import feature_cells, sum_cells
from monitor.core.records import Alert
from monitor.core.schema.inference import infer
from monitor.core.schema.violations import Code
from tests.support.evaluator_world import Flags, Floats, Rows, World

START_S: Final = 19_000 * 86_400


def flapping() -> dict[str, Any]:
    """Five spells of ten seconds."""

    def broken(second: int) -> Mapping[tuple[str, int], float]:
        return {("merchant", Code.OUT_OF_RANGE): 0.2} if 20 <= second < 120 and second // 10 % 2 == 0 else {}

    world = World(seed=8, violations=broken)
    world.run(140)
    return _lives(world.alerts)


def crossing() -> dict[str, Any]:
    """Error rate 0.10, of women 0.25 from the twentieth second on."""

    def worse(rows: Rows, second: int, _: Flags) -> Floats:
        return np.where((rows["gender"] == "Female") & (second >= 20), 0.25, 0.10)

    world = World(seed=9, errors=worse)
    world.run(60)
    return _lives(world.alerts)


def missing_feature() -> dict[str, Any]:
    """400 requests a second for a minute; from the thirtieth on the amount is missing in two fifths."""
    rng = np.random.default_rng(3)

    def rows(n: int, gone: float) -> tuple[list[dict[str, Any]], Floats, int]:
        amount, ratio = rng.lognormal(7.0, 0.5, n), rng.beta(2, 5, n)
        absent = rng.random(n) < gone
        scores = expit(4.0 * (np.where(absent, 0.0, np.log(amount)) - 7.0) / 7.0 + ratio)
        both = zip(amount.tolist(), ratio.tolist(), absent.tolist(), strict=True)
        records = [{"ratio": r} if a else {"amount": x, "ratio": r} for x, r, a in both]
        return records, scores, int(absent.sum())

    schema = infer(rows(10_000, 0.0)[0])
    layout = FeatureLayout.of(schema)
    config = ModelEvaluation(
        "m", frozenset({"predictions"}), tiers=DEMO_TIERS, features=2, schema=schema,
        false_alarms_per_s=1 / MONTH_S,
    )  # fmt: skip
    streams = streams_of([SliceName(0, "{}")], frozenset(), config.false_alarms_per_s, 1, 60)
    features = {1: "amount", 2: "ratio"}

    def bucket(second: int) -> Bucket:
        records, scores, absent = rows(400, 0.4 if second >= 30 else 0.0)
        found = feature_cells(layout, 1, records, scores, {})
        scalars = np.zeros((1, len(Scalar)), np.int64)
        decided = [Scalar.REQUESTS, Scalar.SCORED, Scalar.DECIDED, Scalar.POSITIVE, Scalar.INVALID]
        scalars[0, decided] = 400, 400, 400, int((scores > 0.5).sum()), absent
        violations = np.zeros(3 * CODES, np.int64)
        violations[CODES + Code.MISSING] = absent
        scale = sum_cells(found.scale, len(layout.numeric) * SCALE_CELLS)
        return Bucket(START_S + second, scalars, violations, sum_cells(found.cells, layout.size), scale)

    state = EvaluatorState()
    told: list[Alert] = []
    for second in range(60):
        at_s = START_S + second
        looked = Plan(EventClock(), reached_ms=1000 * (at_s + 1), next_s=at_s, traffic=(at_s,))
        seen = Observed(looked, streams, features, [], traffic=[bucket(second)])
        state, step = evaluate(config, state, seen, Moment("m", 1, 1000 * (at_s + 1), 1000))
        told += step.transitions
    return _lives(told)


def overconfident() -> dict[str, Any]:
    """40 buckets of 500 labelled rows against a reference of 20,000: stretched scores, and honest ones."""
    stretched, honest = (_guarded(stretch) for stretch in (1 / 0.7, 1.0))
    return stretched | {"on_honest_scores": honest["roots"] + honest["consequences"]}


def _guarded(stretch: float) -> dict[str, Any]:
    rng = np.random.default_rng(2)

    def labelled(rows: int, stretch: float) -> SliceCounts:
        logits = rng.normal(0.0, 2.0, rows)
        labels = (rng.random(rows) < expit(logits)).astype(np.float64)
        return slice_counts(expit(stretch * logits), (logits >= 0).astype(np.float64), labels)

    known = labelled(20_000, 1.0)
    assert known.scores is not None
    config = ModelEvaluation(
        "m", frozenset({"predictions"}), frozenset({"labels"}), DEFAULT_TIERS, label_wait_s=3_600.0,
        false_alarms_per_s=1 / MONTH_S, reference=ReferenceCounts({0: known.scalars}, {0: known.scores}),
    )  # fmt: skip
    streams = streams_of([SliceName(0, "{}")], frozenset(), config.false_alarms_per_s, 10, 60)
    state = EvaluatorState()
    told: list[Alert] = []
    for minute in range(40):
        start_s = START_S + 60 * minute
        counts = labelled(500, stretch)
        assert counts.scores is not None
        reached_ms = (start_s + 4_000) * 1000
        looked = Plan(EventClock(), reached_ms, reached_ms, reached_ms, start_s, labels=(start_s,))
        bucket = Bucket(start_s, counts.scalars[None, :], scores=counts.scores[None, :])
        seen = Observed(looked, streams, {}, [], labels=[bucket])
        state, step = evaluate(config, state, seen, Moment("m", 1, reached_ms, 60_000))
        told += step.transitions
    return _lives(told)


def _lives(transitions: list[Alert]) -> dict[str, Any]:
    """Alerts that were opened: those that explain others or themselves, and those that follow."""
    first: dict[str, Alert] = {}
    for alert in transitions:
        first.setdefault(alert.alert_id, alert)
    roots = [alert for alert in first.values() if alert.consequence_of is None]
    return {
        "roots": len(roots),
        "consequences": len(first) - len(roots),
        "told": [alert.summary for alert in roots],
        "following": sorted({_of(alert) for alert in first.values() if alert.consequence_of is not None}),
    }


def _of(alert: Alert) -> str:
    named = (part.values() if isinstance(part, dict) else [part] for part in alert.subject.values())
    of = ", ".join(" × ".join(map(str, one)) for one in named)
    return f"{alert.kind.value} ({of})"


STORIES: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "a fault that flaps": flapping,
    "gender × race, explained by gender": crossing,
    "a missing feature that shifts the score": missing_feature,
    "overconfident scores, logits × 1/0.7": overconfident,
}


def run() -> dict[str, dict[str, Any]]:
    """The section of the report."""
    return {name: story() for name, story in STORIES.items()}
