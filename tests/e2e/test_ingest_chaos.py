"""Ingest while all happens at once: zombies, lost replies, outages, rollbacks, new assignments."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Sequence

import pytest

from monitor.core.counters import DEFAULT_TIERS
from monitor.core.errors import StoreUnavailable
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.memory.contents import Shard
from monitor.ports import Fence, Flush, FlushResult, Partition, SeenStub
from tests.support.topology import Log, Worker, counted, plan
from tests.support.traffic import make_log, oracle

MODELS = ("credit", "shadow")
START_S = 1_700_000_000 // 3_600 * 3_600
SHARDS = 3


class Unsteady(MemoryStore):
    """Lets others go first, loses requests and replies, and goes back in time, one shard at a time."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(SHARDS, dict.fromkeys(MODELS, 3_600), ManualClock(START_S * 1000))
        self.rng = rng
        self.calm = False

    async def _others_first(self) -> None:
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)
        if not self.calm and self.rng.random() < 0.03:
            raise StoreUnavailable("lost")

    async def fences(self, partitions: Sequence[Partition]) -> dict[Partition, list[Fence | None]]:
        await self._others_first()
        found = await super().fences(partitions)
        await self._others_first()
        return found

    async def read_stubs(self, shard: int, model: str, keys: Sequence[bytes]) -> list[SeenStub | None]:
        await self._others_first()
        found = await super().read_stubs(shard, model, keys)
        await self._others_first()
        return found

    async def flush(self, flush: Flush) -> FlushResult:
        await self._others_first()
        result = await super().flush(flush)
        await self._others_first()
        return result

    def go_back(self, shard: int, kept: Shard) -> None:
        self.contents.shards[shard] = copy.deepcopy(kept)

    def behind(self, log: Log) -> bool:
        return any(
            shard.fences[partition].offset < len(records)
            for shard in self.contents.shards
            for partition, records in log.partitions.items()
        )


@pytest.mark.parametrize("seed", range(2))
async def test_every_count_is_exact_whatever_happens_at_once(seed: int) -> None:
    rng = random.Random(seed)
    store = Unsteady(rng)
    log = Log(make_log(seed, 250, start_s=START_S, span_s=900), (START_S + 1_000) * 1000)
    workers = [Worker(store, log, {name: plan(name) for name in MODELS}) for _ in range(2)]
    partitions = list(log.partitions)
    for worker in workers:
        await worker.take(partitions)
    kept = [(shard, copy.deepcopy(store.contents.shards[shard])) for shard in range(SHARDS)]
    done = asyncio.Event()

    async def consume(worker: Worker, partition: Partition) -> None:
        while True:
            moved = await worker.step(partition, rng.choice([1, 5, 30, 90]))
            if not moved and done.is_set():
                return
            await asyncio.sleep(0)

    async def trouble() -> None:
        for _ in range(40):
            for _ in range(rng.randrange(40)):
                await asyncio.sleep(0)
            shard, worker = rng.randrange(SHARDS), rng.choice(workers)
            match rng.randrange(4):
                case 0:
                    kept.append((shard, copy.deepcopy(store.contents.shards[shard])))
                case 1:
                    store.go_back(*rng.choice(kept))
                case 2:
                    some = rng.sample(partitions, rng.randrange(1, len(partitions)))
                    worker.positions |= await worker.ingest.take(dict.fromkeys(some, 0))
                case _:
                    try:
                        await worker.ingest.watch()
                    except StoreUnavailable:
                        continue
        store.calm = True
        while store.behind(log):
            for worker in workers:
                await worker.ingest.watch()
        done.set()

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        group.create_task(trouble())
        for worker in workers:
            for partition in partitions * 2:  # the next chunk is handed over while the one before is in hand
                group.create_task(consume(worker, partition))
    for tier in DEFAULT_TIERS:
        assert counted(store.reader(), MODELS, tier) == dict(oracle(log.raw(), tier.bucket_s))
    assert sum(worker.ingest.progress.rewinds for worker in workers) > 10
