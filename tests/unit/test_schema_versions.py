"""Every request is counted under the schema that judged it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from monitor.core.schema import FeatureSchema
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.reader import MetricsReader
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import Message

START_S = 1_700_000_000 // 3_600 * 3_600
MODEL = "income"
OLD = FeatureSchema.parse("version: 1\nfeatures: {age: {type: integer, maximum: 120}}")
NEW = FeatureSchema.parse("version: 1\nfeatures: {age: {type: integer, maximum: 130}}")


def test_a_fingerprint_is_of_what_is_said_and_of_nothing_else() -> None:
    again = FeatureSchema.parse("features: {age: {maximum: 120.0, type: integer}}\nversion: 1")
    assert again.fingerprint == OLD.fingerprint
    assert NEW.fingerprint != OLD.fingerprint
    changed = OLD.model_copy(update={"unexpected": "tolerate"})
    assert changed.fingerprint not in (OLD.fingerprint, NEW.fingerprint)


def message(i: int, partition: int) -> Message:
    record = {
        "request_id": f"r{i}", "model": MODEL, "timestamp": (START_S + i) * 1000, "score": 0.5,
        "features": {"age": 125},
    }  # fmt: skip
    return Message("predictions", partition, json.dumps(record).encode())


def test_two_workers_with_two_schemas_count_each_their_own() -> None:
    async def run() -> MemoryStore:
        store = MemoryStore(2, {MODEL: 7 * 86_400}, ManualClock(START_S * 1000))
        # The second partition repeats five requests of the first: they were judged once.
        sent = [message(i, 0) for i in range(30)] + [message(i, 1) for i in range(25, 75)]
        log = Log(sent, (START_S + 300) * 1000)
        for schema, partition in zip((OLD, NEW), list(log.partitions), strict=False):
            worker = Worker(store, log, {MODEL: replace(plan(MODEL), schema=schema.compiled)})
            await worker.take([partition])
            while await worker.step(partition, 7):
                pass
        return store

    reader = MetricsReader(asyncio.run(run()).reader())
    assert reader.judges(MODEL) == {OLD.fingerprint: 30, NEW.fingerprint: 45}
    assert reader.slices(MODEL)[0].requests == 75
    assert {row.code: row.count for row in reader.violations(MODEL)} == {"out_of_range": 30}
    assert reader.judges(MODEL, from_=START_S + 40) == {NEW.fingerprint: 35}
