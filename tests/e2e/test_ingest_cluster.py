"""The ingest path on a Redis Cluster of six: a slot that moves and primaries that fail in mid-stream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from monitor.core.counters import DEFAULT_TIERS
from monitor.core.errors import StoreUnavailable
from monitor.edges.redis import keys
from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.store import RedisStore
from monitor.ports import Partition
from tests.support.redis_cluster import Cluster, running_cluster, until
from tests.support.redis_servers import redis_binary, valkey_binary
from tests.support.topology import Log, Worker, counted, plan
from tests.support.traffic import make_log, oracle

MODELS = ("credit", "shadow")
SHARDS = 16
START_S = 1_700_000_000 // 3_600 * 3_600
WAITS = dict.fromkeys(MODELS, 600)
ROWS = (30, 60)


@dataclass
class Stream:
    """Two workers that share the partitions of a log, and the cluster they count in."""

    cluster: Cluster
    reader: RedisReader
    log: Log
    workers: list[Worker]
    rng: random.Random

    async def take(self) -> None:
        partitions: list[Partition] = list(self.log.partitions)
        for number, worker in enumerate(self.workers):
            await worker.take(partitions[number :: len(self.workers)])

    async def run(self, steps: int | None = None) -> None:
        """So many chunks of every partition; None for all that is left."""
        moving = True
        while moving and steps != 0:
            moving = False
            for worker in self.workers:
                for partition in worker.positions:
                    moving |= await worker.step(partition, self.rng.choice(ROWS))
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


async def answered(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(redis_binary() or valkey_binary(), tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
async def stream(cluster: Cluster) -> AsyncIterator[Stream]:
    cluster.flush()
    log = Log(make_log(11, 120, start_s=START_S, span_s=900), (START_S + 1_000) * 1000)
    stores = [RedisStore(cluster.url, SHARDS, WAITS) for _ in range(2)]
    for store in stores:
        await store.open()
    workers = [Worker(store, log, {name: plan(name) for name in MODELS}) for store in stores]
    reader = RedisReader(cluster.url, SHARDS)
    made = Stream(cluster, reader, log, workers, random.Random(11))
    await made.take()
    yield made
    reader.close()
    for store in stores:
        await store.close()


@pytest.mark.parametrize("fence_first", [False, True])
async def test_a_slot_moves_in_mid_stream(stream: Stream, *, fence_first: bool) -> None:
    cluster, fence = stream.cluster, keys.fence(3)
    await stream.run(1)
    source = cluster.primary_of(fence)
    target = next(n for n in cluster.nodes if n.alive and n.is_primary and n is not source)
    move_rest = cluster.migrate_half(fence, target, key_first=fence_first)

    def refuse_and_move() -> None:
        refusing = target if fence_first else source
        before = refusing.refusals("TRYAGAIN")
        until(lambda: refusing.refusals("TRYAGAIN") > before, "refused")
        move_rest()

    await stream.during(refuse_and_move)
    assert cluster.primary_of(fence) is target
    await stream.run()
    stream.check()


async def test_a_slot_moves_to_a_node_that_is_new(stream: Stream) -> None:
    cluster, fence = stream.cluster, keys.fence(5)
    await stream.run(1)
    source, target = cluster.primary_of(fence), cluster.another()
    move_rest = cluster.migrate_half(fence, target, key_first=True)

    def send_on_and_move() -> None:
        before = source.refusals("ASK")
        until(lambda: source.refusals("ASK") > before, "sent on")
        move_rest()

    await stream.during(send_on_and_move)
    assert cluster.primary_of(fence) is target
    await stream.run()
    stream.check()


async def test_readers_are_never_told_half_of_a_slot_that_moves(stream: Stream) -> None:
    cluster, fence = stream.cluster, keys.fence(0)
    await stream.run()
    expected = {tier: dict(oracle(stream.log.raw(), tier.bucket_s)) for tier in DEFAULT_TIERS}
    target = next(n for n in cluster.nodes if n.is_primary and n is not cluster.primary_of(fence))
    told = []

    def read() -> None:
        for tier in DEFAULT_TIERS:
            try:
                told.append(counted(stream.reader, MODELS, tier) == expected[tier])
            except StoreUnavailable:
                told.append(True)

    move_rest = cluster.migrate_half(fence, target)
    read()
    move_rest()
    read()
    assert told == [True] * 2 * len(DEFAULT_TIERS)


async def test_an_orderly_failover_loses_nothing(stream: Stream) -> None:
    cluster, fence = stream.cluster, keys.fence(1)
    await stream.run(1)
    primary = cluster.primary_of(fence)
    await stream.during(lambda: cluster.fail_over(primary))
    await stream.run()
    assert await stream.watch() == 0
    stream.check()


async def test_a_killed_primary_takes_what_it_acknowledged_with_it_and_it_is_read_again(
    stream: Stream,
) -> None:
    cluster = stream.cluster
    # The shard that assigns ids, so that those are forgotten, too.
    primary = cluster.primary_of(keys.fence(0))
    replica = cluster.cut_off(primary)
    await stream.run(1)
    stream.reader.now_ms()  # it knows the cluster; who starts anew needs a node that lives in its URL
    acknowledged = primary.client.hgetall(keys.fence(0))
    known = replica.client.execute_command("READONLY") and replica.client.hgetall(keys.fence(0))
    assert acknowledged != known
    await stream.during(lambda: cluster.bury(primary))
    assert await stream.watch() > 0
    await stream.run()
    stream.check()
