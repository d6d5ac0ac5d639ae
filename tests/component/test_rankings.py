"""Labelled scores of small slices: stores keep the same rows, and close a ranking that grew too long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from monitor.core.counters import (
    DEFAULT_TIERS,
    RANKING,
    SCORES,
    CellKey,
    Increment,
    Ranking,
    Rows,
    ranking_rows_max,
)
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.store import RedisStore
from monitor.ports import CounterReader, Flush, Outcome, Partition, Store
from tests.support.redis_servers import redis_binary, running, valkey_binary
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import make_log

MINUTE = DEFAULT_TIERS[1]
WHERE = Partition("labels", 0)
BINARIES = {"valkey": valkey_binary(), "redis": redis_binary()}


@pytest.fixture(params=["memory", "valkey", "redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Store, CounterReader]]:
    if request.param == "memory":
        memory = MemoryStore(1, {"m": 600}, ManualClock(0))
        yield memory, memory.reader()
        return
    binary = BINARIES[request.param]
    if binary is None:
        pytest.skip(f"no {request.param} server on this machine")
    with running(request.param, binary) as server:
        store = RedisStore(server.url, 1, {"m": 600})
        await store.open()
        reader = RedisReader(server.url, 1)
        yield store, reader
        reader.close()
        await store.close()


def histogram(bucket_s: int) -> Increment:
    key = CellKey(SCORES, MINUTE, bucket_s, "m")
    return Increment(key, np.array([3]), np.array([1]), create=True, ttl_s=SCORES.kept_s(MINUTE))


def row(code: int, flags: int) -> bytes:
    return (code << 2 | flags).to_bytes(4, "little")


async def add(store: Store, at: int, rows: list[Rows], increments: list[Increment]) -> None:
    flush = Flush(0, WHERE, at, at, at + 1, 0, increments=increments, rankings=rows)
    assert (await store.flush(flush)).outcome is Outcome.OK


async def test_rows_need_their_histogram_and_are_closed_when_many(
    stores: tuple[Store, CounterReader],
) -> None:
    store, reader = stores
    await store.register({WHERE: 0})
    key = CellKey(RANKING, MINUTE, 60, "m")
    orphan = CellKey(RANKING, MINUTE, 120, "m")
    some = Rows(key, row(7, 1) + row(7, 0) + row(9, 1), 4)
    await add(store, 0, [some, Rows(orphan, row(1, 1), 4)], [histogram(60)])
    assert reader.read_rows([key, orphan]) == [some.data, b""]
    await add(store, 1, [Rows(key, row(9, 3), 4)], [])
    assert reader.read_rows([key]) == [some.data + row(9, 3)]
    ranking = Ranking.of(some.data + row(9, 3))
    assert (ranking.codes.tolist(), ranking.positive.tolist(), ranking.negative.tolist()) == ([7], [1], [1])
    await add(store, 2, [Rows(key, row(1, 1), 4)], [])
    await add(store, 3, [Rows(key, row(1, 1), 4)], [])
    assert reader.read_rows([key]) == [None]


async def test_a_ranking_is_the_labelled_scores() -> None:
    start_s = 1_700_000_000 // 3_600 * 3_600
    store = MemoryStore(2, {"credit": 600}, ManualClock(start_s * 1_000))
    log = Log(make_log(5, 400, start_s=start_s, span_s=500, models=("credit",)), (start_s + 600) * 1_000)
    worker = Worker(store, log, {"credit": plan("credit")})
    await worker.take(list(log.partitions))
    for partition in log.partitions:
        while await worker.step(partition, 50):
            pass
    hour = DEFAULT_TIERS[2]
    reader = store.reader()
    for slice_id in (0, *reader.registry("credit", "slices").values()):
        (rows,) = reader.read_rows([CellKey(RANKING, hour, start_s, "credit", slice_id)])
        (cells,) = reader.read([CellKey(SCORES, hour, start_s, "credit", slice_id)])
        assert rows is not None
        assert cells is not None
        ranking, parts = Ranking.of(rows), cells.reshape(512, 3)
        # 2**21 codes refine one bin of the histogram.
        assert (np.bincount(ranking.codes >> 21, ranking.positive, 512) == parts[:, 1]).all()
        assert (np.bincount(ranking.codes >> 21, ranking.negative, 512) == parts[:, 2]).all()


def test_longer_tiers_hold_more_rows() -> None:
    assert [ranking_rows_max(tier) for tier in DEFAULT_TIERS] == [4_096, 4_096, 32_768, 32_768]
