"""Workers of two configurations on one store: what both count is exact, what one counts is its own."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from monitor.core.counters import DEFAULT_TIERS, DEMO_TIERS
from monitor.core.plan import ModelPlan
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.store import RedisStore
from monitor.ports import CounterReader, Store
from tests.support.redis_servers import running, valkey_binary
from tests.support.topology import Log, Worker, counted, plan
from tests.support.traffic import SLICES, Cell, make_log, oracle

MODELS = ("credit", "shadow")
START_S = 1_700_000_000 // 3_600 * 3_600
WAITS = dict.fromkeys(MODELS, 600)
OLD = {"name": "old", "where": {"age": {"ge": 65}}}
OLD_KEY, AGED_KEY = '{"slice":"old"}', '{"age":"[65, inf)"}'
"""The new slice, and one of both configurations that holds the same rows."""
YOUNG_KEY = '{"slice":"young"}'
OF_ONE = (OLD_KEY, YOUNG_KEY)


def changed(name: str) -> ModelPlan:
    """The plan of `name` with a slice more, in another order, without `young`, and a finer tier."""
    specs = [parse_slice(OLD), VersionSlice(), *map(parse_slice, reversed(SLICES))]
    return replace(plan(name, DEMO_TIERS), slices=SliceAssigner(specs))


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Store, CounterReader]]:
    if request.param == "memory":
        memory = MemoryStore(2, WAITS, ManualClock(START_S * 1000))
        yield memory, memory.reader()
        return
    with running("valkey", valkey_binary()) as server:
        made = RedisStore(server.url, 2, WAITS)
        await made.open()
        reader = RedisReader(server.url, 2)
        yield made, reader
        reader.close()
        await made.close()


async def test_a_configuration_changes_in_mid_stream(store: tuple[Store, CounterReader]) -> None:
    shared, reader = store
    rng = random.Random(5)
    log = Log(make_log(5, 160, start_s=START_S, span_s=100), (START_S + 200) * 1000)
    former = Worker(shared, log, {name: plan(name) for name in MODELS})
    latter = Worker(shared, log, {name: changed(name) for name in MODELS})
    partitions = list(log.partitions)
    # First the old one alone, then both side by side, then the new one alone.
    for shares in ((partitions, []), (partitions[::2], partitions[1::2]), ([], partitions)):
        for worker, share in zip((former, latter), shares, strict=True):
            await worker.take(share)
        for _ in range(2):
            for worker in (former, latter):
                for partition in worker.positions:
                    await worker.step(partition, rng.choice([10, 20]))
    moving = True
    while moving:
        moving = any([await latter.step(partition, 100) for partition in partitions])

    for tier in DEFAULT_TIERS:
        found, expected = counted(reader, MODELS, tier), dict(oracle(log.raw(), tier.bucket_s))
        assert _of_both(found) == _of_both(expected)
        _is_a_part(found, expected, OLD_KEY, AGED_KEY)
        _is_a_part(found, expected, YOUNG_KEY, YOUNG_KEY)
    fine = DEMO_TIERS[0]
    found, expected = counted(reader, MODELS, fine), dict(oracle(log.raw(), fine.bucket_s))
    for key in {cell[1] for cell in found} - {OLD_KEY}:
        _is_within(found, expected, key, key)


def _of_both(cells: dict[Cell, int]) -> dict[Cell, int]:
    return {cell: n for cell, n in cells.items() if cell[1] not in OF_ONE}


def _is_within(found: dict[Cell, int], expected: dict[Cell, int], key: str, truth: str) -> None:
    """Nothing in a slice that the truth has not."""
    more = {c: n for c, n in found.items() if c[1] == key and n > expected.get((c[0], truth, *c[2:]), 0)}
    assert more == {}


def _is_a_part(found: dict[Cell, int], expected: dict[Cell, int], key: str, truth: str) -> None:
    """A slice of one configuration has some of its rows, each with its label: its sums agree."""
    _is_within(found, expected, key, truth)
    sums: dict[tuple[str, int], Counter[str]] = {}
    for (model, slice_key, bucket, name), n in found.items():
        if slice_key == key:
            sums.setdefault((model, bucket), Counter())[name] += n
    assert sums
    for cells in sums.values():
        assert cells["LABELLED"] == cells["TP"] + cells["FP"] + cells["TN"] + cells["FN"] <= cells["REQUESTS"]
    everything = sum(n for cell, n in expected.items() if cell[1] == truth and cell[3] == "REQUESTS")
    assert 0 < sum(cells["REQUESTS"] for cells in sums.values()) < everything
