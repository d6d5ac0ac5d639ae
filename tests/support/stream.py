"""Workers that count a log together while trouble takes its course, and the oracle's answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from monitor.core.counters import DEFAULT_TIERS
from monitor.core.errors import StoreUnavailable
from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.store import RedisStore
from tests.support.redis_cluster import until
from tests.support.topology import Log, Worker, counted, plan
from tests.support.traffic import make_log, oracle

MODELS = ("credit", "shadow")
START_S = 1_700_000_000 // 3_600 * 3_600
_ROWS = (30, 60)


@dataclass
class Stream:
    """Workers that share the partitions of a log, and the reader of what they count."""

    reader: RedisReader
    log: Log
    workers: Sequence[Worker]
    rng: random.Random

    async def take(self) -> None:
        """Be assigned a share each."""
        partitions = list(self.log.partitions)
        for number, worker in enumerate(self.workers):
            await worker.take(partitions[number :: len(self.workers)])

    async def run(self, steps: int | None = None) -> None:
        """So many chunks of every partition; None for all that is left."""
        moving = True
        while moving and steps != 0:
            moving = False
            for worker in self.workers:
                for partition in worker.positions:
                    moving |= await worker.step(partition, self.rng.choice(_ROWS))
            steps = None if steps is None else steps - 1

    async def watch(self) -> int:
        """Have the workers compare their fences. Returns how often they have gone back."""
        for worker in self.workers:
            await answered(worker.ingest.watch)
        return sum(worker.ingest.progress.rewinds for worker in self.workers)

    async def during(self, trouble: Callable[[], Any]) -> None:
        """Count on while trouble takes its course in a thread of its own."""

        async def count(course: asyncio.Task[Any]) -> None:
            while not course.done():
                await self.run(1)
                await self.watch()

        async with asyncio.TaskGroup() as both:
            both.create_task(count(both.create_task(asyncio.to_thread(trouble))))

    def check(self) -> None:
        """Every counter is what the oracle makes of the log."""
        until(self.reader.alive, "the reader found its way")
        for tier in DEFAULT_TIERS:
            assert counted(self.reader, MODELS, tier) == dict(oracle(self.log.raw(), tier.bucket_s))


async def answered(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call until the store answers."""
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def streaming(urls: Sequence[str], shards: int, requests: int) -> AsyncIterator[Stream]:
    """A worker for each URL of one store, with their partitions taken; the reader is at the first URL."""
    log = Log(make_log(11, requests, start_s=START_S, span_s=900), (START_S + 1_000) * 1000)
    stores = [RedisStore(url, shards, dict.fromkeys(MODELS, 600)) for url in urls]
    for store in stores:
        await store.open()
    workers = [Worker(store, log, {name: plan(name) for name in MODELS}) for store in stores]
    reader = RedisReader(urls[0], shards)
    stream = Stream(reader, log, workers, random.Random(11))
    await stream.take()
    try:
        yield stream
    finally:
        reader.close()
        for store in stores:
            await store.close()
