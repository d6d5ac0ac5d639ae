"""Counts of features arrive in a real server as they arrive in memory."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from monitor.core.counters import DEFAULT_TIERS, FEATURES, SCALE, TAILS, CellKey, Counts
from monitor.core.drift.layout import FAMILY, FeatureLayout
from monitor.core.schema.inference import infer
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.redis import RedisReader, RedisStore
from monitor.ports import CounterReader, Store
from tests.support.redis_servers import running, valkey_binary
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import make_log

START_S = 1_700_000_000 // 3_600 * 3_600
WAITS = {"credit": 600}
MESSAGES = make_log(7, 600, start_s=START_S, span_s=200, models=("credit",))
SCHEMA = infer(json.loads(m.value)["features"] for m in MESSAGES[::2] if m.topic == "predictions")
LAYOUT = FeatureLayout.of(SCHEMA)


async def _count(store: Store) -> None:
    log = Log(MESSAGES, (START_S + 300) * 1000)
    judged = replace(plan("credit"), schema=SCHEMA.compiled, layout=LAYOUT)
    worker = Worker(store, log, {"credit": judged})
    await worker.take(list(log.partitions))
    moving = True
    while moving:
        moving = False
        for partition in log.partitions:
            moving |= await worker.step(partition, 150)


def _read(reader: CounterReader) -> dict[tuple[str, str, int, int], list[int]]:
    """Every array by kind, tier, bucket and id, without the zeros at its end."""
    schema_id = reader.registry("credit", FAMILY)[LAYOUT.fingerprint]
    slices = [0, *reader.registry("credit", "slices").values()]
    wanted = [
        CellKey(kind, tier, bucket, "credit", place)
        for tier in DEFAULT_TIERS
        for bucket in range(START_S // tier.bucket_s * tier.bucket_s, START_S + 200, tier.bucket_s)
        for kind, places in ((FEATURES, [schema_id]), (SCALE, [schema_id]), (TAILS, slices))
        for place in places
    ]
    return {
        (key.kind.name, key.tier.name, key.bucket_s, key.slice_id): np.trim_zeros(counts, "b").tolist()
        for key, counts in zip(wanted, reader.read(wanted), strict=True)
        if counts is not None
    }


async def test_histograms_arrive_in_redis_as_in_memory() -> None:
    memory = MemoryStore(2, WAITS, ManualClock(START_S * 1000))
    await _count(memory)
    expected = _read(memory.reader())
    with running("valkey", valkey_binary()) as server:
        store, reader = RedisStore(server.url, 2, WAITS), RedisReader(server.url, 2)
        await store.open()
        await _count(store)
        found = _read(reader)
        await store.close()
        reader.close()
    assert found == expected
    assert {kind for kind, *_ in found} == {"features", "scale", "tails"}
    assert {tier for kind, tier, *_ in found if kind == "features"} == {tier.name for tier in DEFAULT_TIERS}
    day = [counts for (kind, tier, *_), counts in found.items() if kind == "features" and tier == "1d"]
    total: Counts = np.array([sum(counts) for counts in day])
    assert total.sum() == 600 * len(LAYOUT.blocks)
