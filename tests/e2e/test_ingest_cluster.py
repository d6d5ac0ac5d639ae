"""The ingest path on a Redis Cluster of six: a slot that moves and primaries that fail in mid-stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from monitor.core.counters import DEFAULT_TIERS
from monitor.core.errors import StoreUnavailable
from monitor.edges.redis import keys
from tests.support.redis_cluster import Cluster, running_cluster, until
from tests.support.redis_servers import redis_binary, valkey_binary
from tests.support.stream import MODELS, Stream, streaming
from tests.support.topology import counted
from tests.support.traffic import oracle

SHARDS = 16


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(redis_binary() or valkey_binary(), tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
async def stream(cluster: Cluster) -> AsyncIterator[Stream]:
    cluster.flush()
    async with streaming([cluster.url] * 2, SHARDS, 120) as made:
        yield made


@pytest.mark.parametrize("fence_first", [False, True])
async def test_a_slot_moves_in_mid_stream(cluster: Cluster, stream: Stream, *, fence_first: bool) -> None:
    fence = keys.fence(3)
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


async def test_a_slot_moves_to_a_node_that_is_new(cluster: Cluster, stream: Stream) -> None:
    fence = keys.fence(5)
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


async def test_readers_are_never_told_half_of_a_slot_that_moves(cluster: Cluster, stream: Stream) -> None:
    fence = keys.fence(0)
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


async def test_an_orderly_failover_loses_nothing(cluster: Cluster, stream: Stream) -> None:
    fence = keys.fence(1)
    await stream.run(1)
    primary = cluster.primary_of(fence)
    await stream.during(lambda: cluster.fail_over(primary))
    await stream.run()
    assert await stream.watch() == 0
    stream.check()


async def test_a_killed_primary_takes_what_it_acknowledged_with_it_and_it_is_read_again(
    cluster: Cluster, stream: Stream
) -> None:
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
