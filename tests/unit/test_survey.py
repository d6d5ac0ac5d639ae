"""Samples of topics judged, and guesses about their shape."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.batch import Reading
from monitor.core.costs import memory
from monitor.core.counters import DEFAULT_TIERS
from monitor.core.decode import Limits, RawRecord
from monitor.core.guess import guess_columns, guess_mapping, path_of
from monitor.core.mapping import Mapping, parse_path
from monitor.core.plan import ModelPlan
from monitor.core.schema import CompiledSchema, FeatureSchema
from monitor.core.slices.assign import SliceAssigner
from monitor.core.slices.spec import CategorySlice, VersionSlice
from monitor.core.stubs import ModelIdentity
from monitor.core.survey import Sample, survey
from monitor.core.tasks import Binary, Multiclass, Regression, Task

SCHEMA = FeatureSchema.parse("""
version: 1
features:
  age: {type: integer, minimum: 0, maximum: 120}
  sex: {type: category, categories: [Female, Male]}
""")
PLAN = ModelPlan(
    "income",
    Reading(Binary(), ModelIdentity()),
    CompiledSchema(SCHEMA),
    SliceAssigner((CategorySlice("sex"), VersionSlice())),
    DEFAULT_TIERS,
)


def raw(offset: int, value: Any) -> RawRecord:
    """A record sent a tenth of a second after the one before."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return RawRecord(body, offset, 1_800_000_000_000 + offset * 100)


def prediction(number: int, **features: Any) -> dict[str, Any]:
    return {
        "request_id": f"r-{number}", "model": "income", "model_version": "3", "score": 0.5,
        "features": {"age": 39, "sex": "Female"} | features,
    }  # fmt: skip


def test_a_survey_of_both_topics() -> None:
    predictions = [
        *(raw(i, prediction(i)) for i in range(8)),
        raw(8, prediction(8, age=100_000)),
        raw(9, prediction(9, sex="Male") | {"score": 7}),
        raw(10, b"not json"),
        raw(11, {"request_id": "x", "model": "other"}),
    ]
    labels = [
        raw(0, {"request_id": "r-0", "model": "income", "label": 1}),
        raw(1, {"request_id": "r-77", "model": "income", "label": 0}),
        raw(2, {"request_id": "r-1", "model": "income", "label": "maybe"}),
    ]
    found = survey(
        [
            Sample("p", "predictions", Mapping.parse(), predictions),
            Sample("l", "labels", Mapping.parse(), labels),
        ],
        {"income": PLAN},
        {"income": 86_400},
        Limits(),
    )
    topic, label_topic = found.topics
    assert (topic.records, topic.readable) == (12, 10)
    assert {reason: count for reason, (count, _) in topic.unreadable.items()} == {
        "not_json": 1, "unknown_model": 1
    }  # fmt: skip
    assert topic.rate_per_s == pytest.approx(10)
    assert (label_topic.records, label_topic.readable) == (3, 2)
    assert label_topic.unreadable["unknown_label"][0] == 1
    (model,) = found.models
    assert (model.predictions, model.answered, model.labels, model.joined) == (10, 9, 2, 1)
    assert {(v.feature, v.code, v.count, v.rate) for v in model.violations} == {
        ("age", "out_of_range", 1, 0.1), ("record", "score_range", 1, 0.1)
    }  # fmt: skip
    assert model.slices == 3  # Female, Male, version 3
    assert model.memory == memory(10 * 10 / 12, 86_400, 1.0, 3, DEFAULT_TIERS)
    json.dumps(found.to_dict(), allow_nan=False)
    (problem,) = found.problems()
    assert problem.startswith("l: 1 of 3 labels mean nothing to their model: label 'maybe' is neither class")


def test_what_makes_a_monitor_useless_is_a_problem() -> None:
    unscored = [raw(i, {k: v for k, v in prediction(i).items() if k != "score"}) for i in range(3)]
    outcomes = [raw(i, {"ref": f"r-{i}", "model": "income", "label": 1}) for i in range(3)]
    found = survey(
        [
            Sample("p", "predictions", Mapping.parse(), unscored),
            Sample("l", "labels", Mapping.parse(), outcomes),
        ],
        {"income": PLAN},
        {"income": 60},
        Limits(),
    )
    unread, blind = found.problems()
    assert "l: none of 3 records can be read; see kafka.labels.mapping" in unread
    assert "income: no prediction has an answer that can be judged (score, decision)" in blind
    assert "{score: $.output}" in blind
    assert survey([], {"income": PLAN}, {"income": 60}, Limits()).problems() == []


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (Binary(None), {"score": 0.5}),
        (Binary(), {"decision": 1}),
        (Multiclass(("a", "b")), {"decision": "a"}),
        (Multiclass(("a", "b")), {"probabilities": {"a": 0.5, "b": 0.5}}),
        (Regression(), {"value": 250_000}),
    ],
)
def test_every_task_has_its_own_answers(task: Task, answer: dict[str, Any]) -> None:
    plan = replace(PLAN, reading=Reading(task, ModelIdentity()))
    bare = {k: v for k, v in prediction(0).items() if k != "score"}
    for answered in (1, 0):
        records = [raw(0, bare | (answer if answered else {}))]
        found = survey(
            [Sample("p", "predictions", Mapping.parse(), records)], {"income": plan}, {"income": 60}, Limits()
        )
        assert found.models[0].answered == answered
        problems = [] if answered else [", ".join(task.fields)]
        assert [text.partition("(")[2].partition(")")[0] for text in found.problems()] == problems


def test_a_score_beside_a_decision_of_no_class_is_no_answer() -> None:
    records = [raw(0, prediction(0) | {"score": 0.83, "decision": 0.83})]
    topics = [Sample("p", "predictions", Mapping.parse(), records)]
    assert survey(topics, {"income": PLAN}, {"income": 60}, Limits()).models[0].answered == 0


def test_nothing_to_survey() -> None:
    found = survey(
        [Sample("p", "predictions", Mapping.parse(), [])], {"income": PLAN}, {"income": 60}, Limits()
    )
    assert found.topics[0].rate_per_s is None
    assert found.models[0].violations == []
    assert found.models[0].memory.stubs_bytes == 0


def test_a_slice_costs_what_one_more_slice_adds() -> None:
    few, more = (memory(100, 3_600, 0.5, slices, DEFAULT_TIERS) for slices in (5, 6))
    assert more.total_bytes - few.total_bytes == few.slice_bytes
    assert few.stubs_bytes == 100 * 3_600 * 0.5 * 1.5 * 100


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_paths_are_read_back(keys: list[str]) -> None:
    assert parse_path(path_of(keys)) == tuple(keys)


def test_columns_are_guessed_by_name() -> None:
    assert guess_columns(["requestId", "Timestamp", "age", "Score", "target"]) == {
        "request_id": "requestId", "timestamp": "Timestamp", "score": "Score", "label": "target"
    }  # fmt: skip
    assert guess_columns(["age", "sex"]) == {}


def test_features_are_not_taken_for_fields() -> None:
    record = {"event": {"uuid": "u"}, "inputs": {"id": 7, "score": 0.1}, "model": "m", "out": {"proba": 0.3}}
    found = guess_mapping([record], ["request_id", "features", "model", "score", "timestamp"], "m")
    assert found == {"request_id": "$.event.uuid", "features": "$.inputs", "score": "$.out.proba"}
