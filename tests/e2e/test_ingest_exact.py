"""The whole ingest path without a broker: hard traffic, several workers, and the oracle's answer."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import numpy as np
import pytest

from monitor.core.counters import (
    CALIBRATION,
    DEFAULT_TIERS,
    JOIN,
    SCALARS,
    SCORES,
    CellKey,
    Join,
    Scalar,
)
from monitor.edges.memory import ManualClock, MemoryReader, MemoryStore
from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.store import RedisStore
from monitor.ports import EVALUATOR_VIEW, JUDGED_FIELD, CounterReader, Store
from tests.support.redis_servers import running, valkey_binary
from tests.support.topology import Log, Worker, counted, plan
from tests.support.traffic import make_log, oracle

MODELS = ("credit", "shadow")
START_S = 1_700_000_000 // 3_600 * 3_600
WAITS = dict.fromkeys(MODELS, 600)


@pytest.fixture(params=["memory", "valkey"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Store, CounterReader]]:
    if request.param == "memory":
        memory = MemoryStore(2, WAITS, ManualClock(START_S * 1000))
        yield memory, memory.reader()
        return
    with running("valkey", valkey_binary()) as server:
        store = RedisStore(server.url, 2, WAITS)
        await store.open()
        reader = RedisReader(server.url, 2)
        yield store, reader
        reader.close()
        await store.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_two_workers_count_exactly(stores: tuple[Store, CounterReader], seed: int) -> None:
    store, reader = stores
    rng = random.Random(seed)
    messages = make_log(seed, 1_500, start_s=START_S, span_s=900)
    log = Log(messages, (START_S + 1_000) * 1000)
    workers = [Worker(store, log, {name: plan(name) for name in MODELS}) for _ in range(2)]
    partitions = list(log.partitions)
    for index, worker in enumerate(workers):
        await worker.take(partitions[index::2])
    moving = True
    while moving:
        moving = False
        for worker in workers:
            for partition in rng.sample(list(worker.positions), len(worker.positions)):
                moving |= await worker.step(partition, rng.choice([1, 7, 100, 400]))
        if rng.random() < 0.3:
            # The partitions change hands without notice: the old owner's chunks come too late.
            rng.shuffle(partitions)
            for index, worker in enumerate(workers):
                await worker.take(partitions[index::2])
    for tier in DEFAULT_TIERS:
        assert counted(reader, MODELS, tier) == dict(oracle(log.raw(), tier.bucket_s))
    for model in MODELS:
        ids = [0, *reader.registry(model, "slices").values()]
        for kind, cell in ((SCORES, Scalar.SCORED), (CALIBRATION, Scalar.RATED)):
            hour = [CellKey(k, DEFAULT_TIERS[2], START_S, model, i) for k in (kind, SCALARS) for i in ids]
            found = [np.zeros(60, np.int64) if array is None else array for array in reader.read(hour)]
            assert [int(array[::3].sum()) for array in found[: len(ids)]] == [
                int(array[cell]) for array in found[len(ids) :]
            ]
    fences = await store.fences(partitions)
    for partition, records in log.partitions.items():
        assert [fence.offset if fence else None for fence in fences[partition]] == [len(records)] * 2


async def test_a_zombie_and_its_successor_count_once(stores: tuple[Store, CounterReader]) -> None:
    store, reader = stores
    log = Log(make_log(3, 400, start_s=START_S, span_s=300), (START_S + 400) * 1000)
    zombie, successor = (Worker(store, log, {name: plan(name) for name in MODELS}) for _ in range(2))
    partitions = list(log.partitions)
    await zombie.take(partitions)
    await successor.take(partitions)
    rng = random.Random(3)
    moving = True
    while moving:
        moving = False
        for partition in partitions:
            for worker in rng.sample([zombie, successor], 2):
                moving |= await worker.step(partition, rng.choice([3, 20, 50]))
    tier = DEFAULT_TIERS[1]
    assert counted(reader, MODELS, tier) == dict(oracle(log.raw(), tier.bucket_s))


async def test_a_label_for_what_was_judged_moves_the_metric_and_is_counted(
    stores: tuple[Store, CounterReader],
) -> None:
    store, reader = stores
    log = Log(make_log(4, 100, start_s=START_S, span_s=100, models=("credit",)), (START_S + 200) * 1000)
    worker = Worker(store, log, {"credit": plan("credit")})
    await worker.take(list(log.partitions))
    for partition in log.partitions:
        if partition.topic == "predictions":
            await worker.step(partition, 1_000)
    # The evaluator says how far it is in a view, which the worker reads every second.
    assert isinstance(reader, MemoryReader | RedisReader)
    judged_s = START_S + 60
    reader.write_views("credit", {EVALUATOR_VIEW: {JUDGED_FIELD: str(judged_s)}}, 60)
    await worker.ingest.watch()
    for partition in log.partitions:
        await worker.step(partition, 1_000)
    hour = DEFAULT_TIERS[2]
    (joins,) = reader.read([CellKey(JOIN, hour, START_S, "credit")])
    ten = DEFAULT_TIERS[0]
    keys = [CellKey(SCALARS, ten, START_S + at, "credit") for at in range(0, 60, 10)]
    early = sum(int(counts[Scalar.LABELLED]) for counts in reader.read(keys) if counts is not None)
    assert joins is not None
    # Corrections of judged buckets count as well, so it is at least every label there.
    assert joins[Join.REVISED_AFTER_EVIDENCE] >= early > 0
