"""What only a real server can do to the store: refuse, forget, run full, go away and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from monitor.core.counters import SCALARS, CellKey, Increment, Tier
from monitor.core.errors import StoreRefused, StoreUnavailable
from monitor.edges.redis import RedisReader, RedisStore, keys
from monitor.edges.redis.payload import Limits
from monitor.ports import Fence, Flush, Outcome, Partition, StubWrite
from tests.support.redis_servers import Server, free_port, redis_binary, running, valkey_binary

P = Partition("predictions", 0)
WAITS = {"m": 60}
DAY = Tier("1d", 86_400, 400 * 86_400)


@pytest.fixture(scope="module", params=["valkey", "redis"])
def binary(request: pytest.FixtureRequest) -> tuple[str, str]:
    found = valkey_binary() if request.param == "valkey" else redis_binary()
    if found is None:
        pytest.skip("no redis-server on this machine: tried on Valkey only")
    return request.param, found


@pytest.fixture(scope="module")
def shared(binary: tuple[str, str]) -> Iterator[Server]:
    with running(*binary) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    with redis.Redis.from_url(shared.url) as raw:
        raw.flushall()
    return shared


@pytest.fixture
def raw(server: Server) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def counted(slice_id: int = 0) -> Increment:
    return Increment(CellKey(SCALARS, DAY, 0, "m", slice_id), np.array([0]), np.array([1]), True, 600)


async def test_a_redis_that_evicts_is_refused(server: Server, raw: redis.Redis) -> None:
    raw.config_set("maxmemory-policy", "allkeys-lru")
    store = RedisStore(server.url, 1, WAITS)
    try:
        with pytest.raises(StoreRefused, match="CONFIG SET maxmemory-policy noeviction"):
            await store.open()
    finally:
        raw.config_set("maxmemory-policy", "noeviction")
    await store.open()
    await store.close()


@pytest.mark.parametrize(
    ("other", "way_out"),
    [
        ({"shards": 2}, "set redis.shards to 1"),
        ({"stub_parts": 7}, "set it to 256"),
        ({"label_wait_s": {"m": 61}}, "HDEL mon:meta label_wait_s:m"),
        ({"label_sample": {"m": 1.0}}, "HDEL mon:meta label_sample:m"),
    ],
)
async def test_what_is_fixed_at_first_start_stays(
    server: Server, other: dict[str, object], way_out: str
) -> None:
    first = RedisStore(server.url, 1, WAITS, label_sample={"m": 0.25})
    await first.open()
    await first.close()
    changed = RedisStore(server.url, **{"shards": 1, "label_wait_s": WAITS, **other})  # type: ignore[arg-type]
    with pytest.raises(StoreRefused, match=way_out):
        await changed.open()
    await changed.close()
    more = RedisStore(server.url, 1, {**WAITS, "new": 5}, label_sample={"m": 0.25, "new": 1.0})
    await more.open()
    await more.close()


async def test_a_store_without_a_sample_on_record_takes_the_present_one(
    server: Server, raw: redis.Redis
) -> None:
    for sample in (None, {"m": 0.1}):
        store = RedisStore(server.url, 1, WAITS, label_sample=sample)
        await store.open()
        await store.close()
    assert raw.hget(keys.META, "label_sample:m") == b"0.1"


@pytest.mark.parametrize("fact", ["layout_version", "stub_version", "scripts_version"])
@pytest.mark.parametrize("off", [-1, 1])
async def test_another_version_older_or_newer_is_refused(
    server: Server, raw: redis.Redis, fact: str, off: int
) -> None:
    first = RedisStore(server.url, 1, {})
    await first.open()
    await first.close()
    recorded = int(raw.hget(keys.META, fact) or b"")
    raw.hset(keys.META, fact, recorded + off)
    store = RedisStore(server.url, 1, WAITS)
    with pytest.raises(
        StoreRefused, match=f"another version .*{fact} is {recorded + off}.*an empty database"
    ):
        await store.open()
    await store.close()
    assert raw.hkeys(keys.META) != [] and b"label_wait_s:m" not in raw.hkeys(keys.META)  # noqa: PT018


async def test_a_registration_that_died_half_way_goes_on_from_its_own_start(
    server: Server, raw: redis.Redis
) -> None:
    raw.hset(keys.PARTITIONS, str(P), "5:pending")
    raw.hset(keys.fence(0), str(P), "5:0")
    raw.sadd(keys.registered(0), str(P))
    store = RedisStore(server.url, 3, WAITS)
    await store.open()
    assert await store.fences([P]) == {P: [None, None, None]}
    await store.register({P: 9})
    assert await store.fences([P]) == {P: [Fence(5)] * 3}
    await store.close()


async def test_a_lost_registry_makes_no_partition_new(server: Server, raw: redis.Redis) -> None:
    store = RedisStore(server.url, 2, WAITS)
    await store.open()
    await store.register({P: 5})
    raw.delete(keys.PARTITIONS, keys.fence(1), keys.registered(1))
    assert await store.fences([P]) == {P: [Fence(5), Fence(-1)]}
    await store.register({P: 9})
    assert await store.fences([P]) == {P: [Fence(5), Fence(-1)]}
    await store.close()


async def test_partitions_that_were_added_are_told_from_the_first(server: Server) -> None:
    store = RedisStore(server.url, 1, WAITS)
    await store.open()
    assert await store.first_partitions({"predictions": 2}) == {"predictions": 2}
    assert await store.first_partitions({"predictions": 5, "labels": 3}) == {"predictions": 2, "labels": 3}
    await store.close()


async def test_many_register_at_once(server: Server) -> None:
    stores = [RedisStore(server.url, 3, WAITS) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.register({P: start}) for start, store in enumerate(stores)))
    (fences,) = (await stores[0].fences([P])).values()
    assert len(set(fences)) == 1
    assert fences[0] != Fence(-1)
    await asyncio.gather(*(store.close() for store in stores))


@pytest.mark.parametrize("shards", [1, 2])
async def test_forgotten_ids_are_restored(server: Server, raw: redis.Redis, shards: int) -> None:
    store = RedisStore(server.url, shards, WAITS)
    await store.open()
    await store.register({P: 0})
    assert await store.ids("m", "slices", ["a", "b"], 9) == [1, 2]
    for shard in range(shards):
        raw.delete(keys.ids(shard, "m", "slices"))
    flushed = await store.flush(Flush(shards - 1, P, 0, 0, 1, 0, (), [counted(2)]))
    assert flushed.outcome is Outcome.OK
    fresh = RedisStore(server.url, shards, WAITS)
    await fresh.open()
    assert await fresh.ids("m", "slices", ["c", "b", "a"], 9) == [3, 2, 1]
    await store.close()
    await fresh.close()


async def test_an_id_given_to_another_name_stops_whoever_knew_it_before(
    server: Server, raw: redis.Redis
) -> None:
    store, fresh = RedisStore(server.url, 1, WAITS), RedisStore(server.url, 1, WAITS)
    await store.open()
    await fresh.open()
    await store.register({P: 0})
    assert await store.ids("m", "slices", ["a", "b"], 9) == [1, 2]
    raw.delete(keys.ids(0, "m", "slices"))
    assert await fresh.ids("m", "slices", ["b"], 9) == [1]
    with pytest.raises(StoreRefused, match="start it again"):
        await store.flush(Flush(0, P, 0, 0, 1, 0, (), [counted(2)]))
    with pytest.raises(StoreRefused, match="start it again"):
        await store.ids("m", "slices", ["c"], 9)
    assert await store.fences([P]) == {P: [Fence(0)]}
    other_model = Increment(CellKey(SCALARS, DAY, 0, "other", 1), np.array([0]), np.array([1]), True, 600)
    assert (await fresh.flush(Flush(0, P, 0, 0, 1, 0, (), [other_model]))).outcome is Outcome.OK
    await store.close()
    await fresh.close()


async def test_a_newcomer_restores_ids_from_the_other_shards(server: Server, raw: redis.Redis) -> None:
    store = RedisStore(server.url, 2, WAITS)
    await store.open()
    await store.ids("m", "slices", ["a", "b"], 9)
    await store.close()
    raw.delete(keys.ids(0, "m", "slices"))
    newcomer = RedisStore(server.url, 2, WAITS)
    await newcomer.open()
    assert await newcomer.ids("m", "slices", ["c", "b"], 9) == [3, 2]
    assert await newcomer.registry("m", "slices") == {"a": 1, "b": 2, "c": 3}
    await newcomer.close()


async def test_a_full_redis_takes_nothing_of_a_flush(server: Server, raw: redis.Redis) -> None:
    store = RedisStore(server.url, 1, WAITS)
    await store.open()
    await store.register({P: 0})
    flush = Flush(0, P, 0, 0, 1, 5, [StubWrite("m", b"x" * 12, None, b"v")], [counted()], dead_letters=[b"d"])
    before = sorted(raw.keys())
    raw.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            await store.flush(flush)
        assert sorted(raw.keys()) == before
        assert await store.fences([P]) == {P: [Fence(0)]}
    finally:
        raw.config_set("maxmemory", "0")
    assert (await store.flush(flush)).outcome is Outcome.OK
    await store.close()


async def test_scripts_are_loaded_again(server: Server, raw: redis.Redis) -> None:
    store, reader = RedisStore(server.url, 1, WAITS), RedisReader(server.url, 1)
    await store.open()
    await store.register({P: 0})
    raw.script_flush()
    assert (await store.flush(Flush(0, P, 0, 0, 1, 0))).outcome is Outcome.OK
    assert reader.lease("m", "a", 1_000) > 0
    await store.close()
    reader.close()


async def test_an_outage_is_told_and_survived(binary: tuple[str, str], tmp_path: Path) -> None:
    port = free_port()
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with running(*binary, *durable, directory=tmp_path, port=port) as server:
        store, reader = RedisStore(server.url, 1, WAITS), RedisReader(server.url, 1)
        await store.open()
        await store.register({P: 3})
        assert reader.alive()
    with pytest.raises(StoreUnavailable):
        await store.fences([P])
    with pytest.raises(StoreUnavailable):
        reader.now_ms()
    assert not reader.alive()
    with running(*binary, *durable, directory=tmp_path, port=port):
        assert await store.fences([P]) == {P: [Fence(3)]}
        assert (await store.flush(Flush(0, P, 3, 3, 4, 0))).outcome is Outcome.OK
        assert reader.partitions()[P].offset == 4
        await store.close()
        reader.close()


async def test_a_store_that_is_not_open_says_so(server: Server) -> None:
    with pytest.raises(StoreUnavailable, match="not open"):
        await RedisStore(server.url, 1, WAITS).fences([P])


async def test_one_worker_publishes_an_outbox(server: Server) -> None:
    one, other = RedisStore(server.url, 1, WAITS), RedisStore(server.url, 1, WAITS)
    await one.open()
    await other.open()
    await one.register({P: 0})
    await one.flush(Flush(0, P, 0, 0, 1, 0, dead_letters=[b"letter"]))
    assert len(await one.outbox_read("dead_letters", 9)) == 1
    assert await other.outbox_read("dead_letters", 9) == []
    await one.close()
    assert len(await other.outbox_read("dead_letters", 9)) == 1
    await other.close()


async def test_what_falls_beyond_an_outbox_is_counted(server: Server) -> None:
    limits = Limits(outbox_max=3)
    store, reader = RedisStore(server.url, 1, WAITS, limits=limits), RedisReader(server.url, 1, limits=limits)
    await store.open()
    await store.register({P: 0})
    await store.flush(Flush(0, P, 0, 0, 1, 0, dead_letters=[b"1", b"2", b"3", b"4", b"5"]))
    epoch = reader.lease("m", "a", 60_000)
    assert reader.commit("m", epoch, 0, b"s", [(b"k", b"%d" % i) for i in range(7)], {})
    assert [e.value for e in await store.outbox_read("alerts", 99)] == [b"4", b"5", b"6"]
    assert [e.value for e in await store.outbox_read("dead_letters", 99)] == [b"1", b"2", b"3"]
    assert reader.outbox_dropped(["m"]) == 2 + 4
    await store.close()
    reader.close()


def test_views_read_without_our_library(server: Server, raw: redis.Redis) -> None:
    reader = RedisReader(server.url, 1)
    reader.write_views("income", {"5m/all": {"accuracy": "0.93", "requests": "1200"}}, 60)
    assert raw.hgetall("mon:view:income:5m/all") == {b"accuracy": b"0.93", b"requests": b"1200"}
    assert 0 < raw.ttl("mon:view:income:5m/all") <= 60
    reader.close()


async def test_everything_expires_but_the_positions(server: Server, raw: redis.Redis) -> None:
    store = RedisStore(server.url, 1, WAITS)
    await store.open()
    await store.register({P: 0})
    writes, evidence = [StubWrite("m", b"x" * 12, None, b"v")], {"m/violations/age/null": [b"e"]}
    await store.flush(Flush(0, P, 0, 0, 1, 5, writes, [counted()], evidence=evidence))
    lasting = {str(key, "utf-8") for key in raw.scan_iter() if raw.pttl(key) < 0}
    assert lasting == {keys.META, keys.PARTITIONS, keys.fence(0), keys.registered(0)}
    await store.close()
