"""The demo's traffic: at the rate asked for, whatever the machine does, with labels that follow late."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.core.decode import OLDEST_MS
from monitor.core.records import Label, Prediction
from monitor.demo.faults import Timeline, timeline
from monitor.demo.population import Row
from monitor.demo.traffic import (
    BACKLOG_MAX_S,
    LABEL_DELAY_MAX_S,
    LABELS,
    PREDICTIONS,
    Traffic,
    reference,
)

START_MS = 1_800_000_000_000
CLEAN = Timeline((), 12.0)


def ask(rows: Sequence[Row]) -> NDArray[np.float64]:
    return np.array([float(row["credit_utilisation"]) for row in rows])


class Topics:
    """What was published, in order."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes, int]] = []

    def send(self, topic: str, key: bytes, value: bytes, at_ms: int) -> None:
        self.records.append((topic, key, value, at_ms))

    def bodies(self, topic: str) -> list[dict[str, object]]:
        return [json.loads(value) for name, _, value, _ in self.records if name == topic]


def traffic(plan: Timeline = CLEAN, rate_per_s: float = 50, seed: int = 7) -> tuple[Traffic, Topics]:
    topics = Topics()
    return Traffic(plan, ask, topics.send, rate_per_s=rate_per_s, seed=seed, start_ms=START_MS), topics


def run(made: Traffic, until_s: float, tick_s: float = 0.1) -> None:
    for tick in range(1, round(until_s / tick_s) + 1):
        made.advance(tick * tick_s)


def test_every_request_is_made_once_and_labelled_within_the_cap() -> None:
    made, topics = traffic()
    run(made, CLEAN.length_s + LABEL_DELAY_MAX_S + 0.2)
    predictions, labels = topics.bodies(PREDICTIONS), topics.bodies(LABELS)
    assert made.finished
    assert made.labels_due == 0
    assert (made.sent, made.skipped, made.labels_sent) == (600, 0, 600)
    assert [body["timestamp"] for body in predictions] == [START_MS + n * 20 for n in range(600)]
    assert len({body["request_id"] for body in predictions}) == 600
    when = {body["request_id"]: body["timestamp"] for body in predictions}
    delays = [int(str(body["timestamp"])) - int(str(when[body["request_id"]])) for body in labels]
    assert min(delays) >= 0
    assert max(delays) <= LABEL_DELAY_MAX_S * 1000
    assert 1_100 < float(np.mean(delays)) < 1_700  # 1.5 s, less what the cap takes off


def test_records_are_in_plain_form_and_never_of_the_future() -> None:
    made, topics = traffic()
    for tick in range(1, 60):
        seen = len(topics.records)
        made.advance(tick * 0.1)
        now_ms = START_MS + int(tick * 100)
        assert all(OLDEST_MS < at_ms <= now_ms for *_, at_ms in topics.records[seen:])
    for topic, key, value, at_ms in topics.records:
        record = (Prediction if topic == PREDICTIONS else Label).model_validate_json(value)
        assert record.request_id.encode() == key
        assert json.loads(value)["timestamp"] == at_ms


@given(st.lists(st.floats(0.01, 0.9), min_size=1, max_size=40), st.floats(1, 120))
@settings(max_examples=30)
def test_the_pace_of_the_machine_changes_nothing(steps: list[float], rate_per_s: float) -> None:
    plan = Timeline((), 4.0)
    smooth, expected = traffic(plan, rate_per_s)
    run(smooth, 9)
    ragged, topics = traffic(plan, rate_per_s)
    position_s = 0.0
    for step_s in steps * math.ceil(9 / sum(steps)):
        position_s = min(9.0, position_s + step_s)
        ragged.advance(position_s)
    ragged.advance(9.0)
    assert ragged.skipped == 0
    assert sorted(topics.records) == sorted(expected.records)


def test_the_seed_decides_who_comes() -> None:
    (first, one), (again, same), (other, another) = traffic(), traffic(), traffic(seed=8)
    for made in (first, again, other):
        run(made, 2)
    assert one.records == same.records
    assert one.records != another.records


def test_what_is_too_late_is_given_up_and_the_rate_says_so() -> None:
    made, topics = traffic(rate_per_s=100)
    run(made, 2)
    assert made.rate_now_per_s() == pytest.approx(100, rel=0.02)
    made.advance(8.0)
    assert made.skipped == pytest.approx(100 * (6 - BACKLOG_MAX_S), abs=2)
    assert made.rate_now_per_s() < 50
    assert len(topics.bodies(PREDICTIONS)) == made.sent


def test_a_rate_needs_time() -> None:
    made, _ = traffic()
    assert made.rate_now_per_s() == 0.0


def test_faults_act_in_their_seconds_only() -> None:
    plan = timeline()
    made, topics = traffic(plan, rate_per_s=60)
    run(made, 40)
    text = [body for body in topics.bodies(PREDICTIONS) if body["features"]["age"] == 100_000]  # type: ignore[index]
    nan = [value for topic, _, value, _ in topics.records if topic == PREDICTIONS and b":NaN" in value]
    seconds = {(int(str(body["timestamp"])) - START_MS) // 1000 for body in text}
    assert seconds <= set(range(10, 15))
    assert len(seconds) == 5
    assert {(json.loads(value)["timestamp"] - START_MS) // 1000 for value in nan} <= set(range(16, 21))
    assert nan


def test_the_reference_is_scored_labelled_and_of_other_people() -> None:
    made, topics = traffic()
    run(made, 4)
    records = reference(ask, 7, 200)
    assert len(records) == 200
    assert {record["label"] for record in records} == {0, 1}
    assert all(record["score"] == record["features"]["credit_utilisation"] for record in records)
    live = [body["features"] for body in topics.bodies(PREDICTIONS)]
    assert not [record for record in records if record["features"] in live]
