"""Faults of the record itself: with a sensitive feature nothing is told that may be its value."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest

from monitor.core.batch import Reading
from monitor.core.counters import DEFAULT_TIERS
from monitor.core.decode import Limits, RawRecord
from monitor.core.mapping import Mapping
from monitor.core.masking import hashed
from monitor.core.plan import ModelPlan
from monitor.core.schema import CompiledSchema, FeatureSchema
from monitor.core.slices import SliceAssigner, VersionSlice
from monitor.core.stubs import ModelIdentity
from monitor.core.survey import Sample, survey
from monitor.core.tasks import Binary, Multiclass, Regression, Task
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.ports import Partition
from tests.support.topology import Log, Worker
from tests.support.traffic import Message

NOW_MS = 1_700_000_000_000
P = Partition("predictions", 0)
KEY = b"k" * 32
PLANTED = "XQ-PLANTED-77"
NUMBER = 987_654_321
SENSITIVE = "features: {iban: {type: string, sensitive: true}}"
OPEN = "features: {iban: {type: string}}"
TASKS: dict[str, tuple[Task, str]] = {
    "binary": (Binary(), "score"),
    "multiclass": (Multiclass(("a", "b")), "probabilities"),
    "regression": (Regression.in_units_of(1.0), "value"),
}


def records(field: str) -> list[bytes]:
    """Values that landed where they do not belong: in the answer, the time, a name, in place of features."""
    found: list[dict[str, Any]] = [
        {field: f"iban {PLANTED}"},
        {field: {"iban": PLANTED}},
        {field: [NUMBER, PLANTED]},
        {field: True},
        {"timestamp": PLANTED},
        {"timestamp": {PLANTED: 1}},
        {"features": {"iban": "AB", PLANTED: 1, "Iban": NUMBER}},
        {"features": {"iban": "AB", "ibann": PLANTED}},
        {"features": PLANTED},
        {"features": [PLANTED]},
    ]
    base = {"model": "m", "timestamp": NOW_MS, "features": {"iban": "AB"}}
    return [json.dumps({"request_id": f"r-{i}", **base, **more}).encode() for i, more in enumerate(found)]


def plan(task: Task, schema: str, key: bytes | None = None) -> ModelPlan:
    compiled = CompiledSchema(FeatureSchema.parse(schema), key)
    reading = Reading(task, ModelIdentity())
    return ModelPlan("m", reading, compiled, SliceAssigner([VersionSlice()]), DEFAULT_TIERS)


async def evidence(plan: ModelPlan, values: list[bytes]) -> dict[str, set[str]]:
    """What a worker stores of them: list → what was received."""
    store = MemoryStore(1, {"m": 600}, ManualClock(NOW_MS))
    worker = Worker(store, Log([Message("predictions", 0, value) for value in values], NOW_MS), {"m": plan})
    await worker.take([P])
    while await worker.step(P, 100):
        pass
    return {
        name.removeprefix("m/violations/"): {msgpack.unpackb(one)["received"] for one in samples}
        for name, samples in store.contents.shards[0].evidence.items()
        if "/violations/" in name
    }


def surveyed(plan: ModelPlan, values: list[bytes]) -> str:
    """What `monitor check` would say of them."""
    raw = [RawRecord(value, offset, NOW_MS) for offset, value in enumerate(values)]
    sample = Sample("predictions", "predictions", Mapping.parse(), raw)
    return json.dumps(survey([sample], {"m": plan}, {"m": 60}, Limits()).to_dict())


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("task", TASKS)
async def test_what_landed_in_the_wrong_place_is_not_told(task: str, key: bytes | None) -> None:
    reads, field = TASKS[task]
    values = records(field)
    found = await evidence(plan(reads, SENSITIVE, key), values)
    assert found.keys() >= {"record/score_range", "record/bad_timestamp", "record/unexpected_feature"}
    told = repr(found) + surveyed(plan(reads, SENSITIVE, key), values)
    assert PLANTED not in told
    assert str(NUMBER) not in told
    assert found["record/unexpected_feature"] == {"2 undeclared features", "1 undeclared feature"}
    assert ("hashed:" in told) == (key is not None)
    if key is not None:
        kind = f"a string of {len(PLANTED)} characters"
        assert f"{kind} ({hashed(KEY, 'record', PLANTED)})" in found["record/bad_timestamp"]


@pytest.mark.parametrize("task", TASKS)
async def test_where_nothing_is_sensitive_it_is(task: str) -> None:
    reads, field = TASKS[task]
    found = await evidence(plan(reads, OPEN, KEY), records(field))
    assert f"'iban {PLANTED}'" in found["record/score_range"]
    assert f"'{PLANTED}'" in found["record/bad_timestamp"]
    assert '"ibann" (like "iban"?)' in found["record/unexpected_feature"]
