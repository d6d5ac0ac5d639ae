"""The next chunk of a partition is decoded while the one before is flushed, and flushed after it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Sequence
from itertools import pairwise

import pytest

from monitor.core.batch import Reading
from monitor.core.counters import DEFAULT_TIERS, SCALARS, CellKey, Scalar
from monitor.core.plan import ModelPlan
from monitor.core.slices import SliceAssigner, VersionSlice, assign, parse_slice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.ports import Flush, FlushResult, Partition
from tests.support.topology import Log, Worker
from tests.support.traffic import Message

START_S = 1_700_000_000 // 86_400 * 86_400
DAY = DEFAULT_TIERS[3]
ROWS = 20
P, OTHER = Partition("predictions", 0), Partition("predictions", 1)


class Slow(MemoryStore):
    """Says what it is asked, and flushes only when it is let."""

    def __init__(self) -> None:
        super().__init__(1, {"m": 600}, ManualClock((START_S + 600) * 1000))
        self.said: list[str] = []
        self.let = asyncio.Event()

    async def ids(self, model: str, family: str, names: Sequence[str], limit: int) -> list[int]:
        if family == "slices":
            self.said += [json.loads(name)["city"] for name in names if "city" in name]
        await asyncio.sleep(0)
        return await super().ids(model, family, names, limit)

    async def flush(self, flush: Flush) -> FlushResult:
        self.said.append(f"flush {flush.start}")
        await self.let.wait()
        return await super().flush(flush)


def worker_on(messages: Sequence[Message], store: Slow) -> Worker:
    specs = [parse_slice({"feature": "city", "top": 10}), VersionSlice()]
    plan = ModelPlan("m", Reading(Binary(), ModelIdentity()), None, SliceAssigner(specs), DEFAULT_TIERS)
    return Worker(store, Log(messages, (START_S + 600) * 1000), {"m": plan})


def prediction(number: int, city: str, partition: int = 0, **more: str) -> Message:
    record = {
        "request_id": f"r-{number}", "model": "m", "timestamp": START_S, "score": 0.7,
        "features": {"city": city}, **more,
    }  # fmt: skip
    return Message("predictions", partition, json.dumps(record).encode())


def requests(store: Slow, slice_id: int = 0) -> int:
    (counts,) = store.reader().read([CellKey(SCALARS, DAY, START_S, "m", slice_id)])
    return 0 if counts is None else int(counts[Scalar.REQUESTS])


async def waiting(store: Slow, said: str) -> None:
    async with asyncio.timeout(10):
        while said not in store.said:  # noqa: ASYNC110 - a store has no event for each call
            await asyncio.sleep(0)


async def test_the_next_chunk_is_decoded_while_this_one_is_flushed() -> None:
    store = Slow()
    worker = worker_on([prediction(i, f"c-{i // ROWS}") for i in range(3 * ROWS)], store)
    await worker.take([P])
    steps = [asyncio.create_task(worker.step(P, ROWS)) for _ in range(3)]
    await waiting(store, "c-1")  # its slice was asked for, and nothing has been flushed
    assert store.said == ["c-0", "flush 0", "c-1"]
    store.let.set()
    await asyncio.gather(*steps)
    assert store.said == ["c-0", "flush 0", "c-1", "flush 20", "c-2", "flush 40"]
    assert requests(store) == 3 * ROWS


async def test_what_was_decoded_ahead_is_dropped_where_the_store_went_back() -> None:
    store = Slow()
    store.let.set()
    worker = worker_on([prediction(i, f"c-{i // ROWS}") for i in range(3 * ROWS)], store)
    await worker.take([P])
    before = copy.deepcopy(store.contents.shards)
    await worker.step(P, ROWS)
    store.let.clear()
    steps = [asyncio.create_task(worker.step(P, ROWS)) for _ in range(2)]
    await waiting(store, "c-2")
    store.contents.shards = before  # without the first flush
    store.let.set()
    await asyncio.gather(*steps)
    assert (worker.ingest.progress.rewinds, worker.positions[P], requests(store)) == (1, 0, 0)
    while await worker.step(P, ROWS):
        pass
    assert requests(store) == 3 * ROWS


async def test_two_partitions_at_once_share_a_memory_that_overflows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assign, "_CACHE_TOKENS_MAX", 20)
    store = Slow()
    store.let.set()
    cities = [f"c-{i % 7 if i % 2 else i}" for i in range(400)]
    worker = worker_on([prediction(i, city, i // 2 % 2) for i, city in enumerate(cities)], store)
    await worker.take([P, OTHER])

    async def read(partition: Partition) -> None:
        while await worker.step(partition, ROWS):
            pass

    await asyncio.gather(*(read(partition) for partition in (P, P, OTHER, OTHER)))
    named = sum(requests(store, number) for number in set((await store.registry("m", "slices")).values()))
    assert (requests(store), named) == (400, 400)


async def test_a_chunk_of_large_records_is_counted_in_pieces_and_others_have_their_turn() -> None:
    large = "x" * 900_000
    messages = [prediction(i, f"c-{i % 3}", surplus=large) for i in range(7)]
    stores = []
    for rows in (7, 1):
        store = Slow()
        store.let.set()
        worker = worker_on(messages, store)
        await worker.take([P])

        async def turns(said: list[str] = store.said) -> None:
            while True:
                said.append("turn")
                await asyncio.sleep(0)

        other = asyncio.create_task(turns())
        while await worker.step(P, rows):
            pass
        other.cancel()
        stores.append(store)
    at_once, one_by_one = stores
    flushes = [place for place, said in enumerate(at_once.said) if said.startswith("flush")]
    assert [at_once.said[place] for place in flushes] == ["flush 0", "flush 2", "flush 4", "flush 6"]
    assert all("turn" in at_once.said[a:b] for a, b in pairwise(flushes))
    assert await at_once.registry("m", "slices") == await one_by_one.registry("m", "slices")
    counts = [[requests(store, number) for number in range(4)] for store in stores]
    assert counts[0] == counts[1] == [7, 3, 2, 2]
