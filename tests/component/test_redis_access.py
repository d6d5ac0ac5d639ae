"""Ways to reach Redis: passwords, a user of few rights, TLS, and a cluster."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from monitor.core.counters import (
    DEFAULT_TIERS,
    PROBE_TRIALS,
    RANKING,
    SCALARS,
    SCORES,
    CellKey,
    Increment,
    Rows,
    Tier,
)
from monitor.core.errors import StoreRefused, StoreUnavailable
from monitor.core.own_health import WorkerReport
from monitor.core.probes.results import WORST_EACH
from monitor.edges.redis import RedisReader, RedisStore
from monitor.edges.redis.link import RedisAccess
from monitor.edges.redis.payload import Limits, array
from monitor.ports import (
    EVALUATOR_VIEW,
    LOOKED_FIELD,
    Beat,
    Fence,
    Flush,
    Outcome,
    Partition,
    ProbeCells,
    ProbeFlush,
    RankedCase,
    StubWrite,
)
from tests.support.certificates import certificate
from tests.support.redis_servers import Server, free_port, redis_binary, running, valkey_binary

ROOT = Path(__file__).parents[2]


def docs_rights(user: str) -> tuple[str, ...]:
    """The rights of a user as docs/redis.md gives them."""
    text = (ROOT / "docs" / "redis.md").read_text()
    (line,) = re.findall(rf"^ACL SETUSER {user} on >PASSWORD ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return tuple(line.replace("\\\n", " ").split())


P = Partition("predictions", 0)
DAY = Tier("1d", 86_400, 400 * 86_400)
KEY = CellKey(SCALARS, DAY, DAY.bucket_s, "m")
OLD = replace(KEY, bucket_s=0)
FEW = Limits(outbox_max=2)
SCORES_KEY = replace(KEY, kind=SCORES)
RANKING_KEY = replace(KEY, kind=RANKING)

RIGHTS = docs_rights("monitor")
READING = docs_rights("monitor-reader")
HARMLESS = ("+hello",)
"""Done without where they are missing."""

RIGHTS_ON_A_CLUSTER = ("+asking", "+cluster|slots")
THIRDS = ((0, 5_460), (5_461, 10_922), (10_923, 16_383))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    binary = redis_binary()
    with running("redis", binary) if binary else running("valkey", valkey_binary()) as made:
        yield made


@pytest.fixture
def raw(server: Server) -> Iterator[Any]:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client


async def use(store: RedisStore, reader: RedisReader, again: RedisStore) -> None:
    """Everything that workers and their evaluators do; `again` is another worker."""
    await store.open()
    await store.bind("c", {"predictions": "1"})
    await store.register({P: 0})
    shards = range(store.shards)
    for shard in shards:
        (seen,) = await store.read_stubs(shard, "m", [b"x" * 12])
        await store.ids("m", "slices", ["a"], 9)
        flush = Flush(
            shard, P, 0, 0, 1, 5, [StubWrite("m", b"x" * 12, seen, b"v")],
            [Increment(OLD, np.array([0]), np.array([1]), True, 600),
             Increment(KEY, np.array([0]), np.array([1]), True, 600),
             Increment(SCORES_KEY, np.array([0]), np.array([1]), True, DAY.keep_s)],
            [Rows(RANKING_KEY, b"1234", 9), Rows(RANKING_KEY, b"1234" * 12, 9)],
            dead_letters=[b"d"], evidence={"m/violations/age/null": [b"e"]},
        )  # fmt: skip
        assert (await store.flush(flush)).outcome is Outcome.OK
        (seen,) = await store.read_stubs(shard, "m", [b"x" * 12])
        assert seen is not None
        await store._link.call("UNLINK", array(shard, OLD))  # as if it had expired
        stub = StubWrite("m", b"x" * 12, seen, b"w", True)
        renewed = replace(
            flush, expected=1, start=1, next=2, stubs=[stub], increments=flush.increments[1:],
            dead_letters=[b"d", b"e"],
        )  # fmt: skip
        assert (await store.flush(renewed)).outcome is Outcome.OK
    await again.open()
    assert await again.registry("m", "slices") == {"a": 1}
    await again.ids("m", "slices", ["a"], 9)
    await store.beat({P: Beat(1, 1)})
    assert await store.fences([P]) == {P: [Fence(2, 5)] * store.shards}
    (counts,) = reader.read([KEY])
    assert counts is not None
    assert counts[0] == 2 * store.shards
    assert reader.read_rows([RANKING_KEY]) == [None]
    assert reader.buckets("m", "1d") == (DAY.bucket_s, DAY.bucket_s)
    assert reader.registry("m", "slices") == {"a": 1}
    assert reader.now_ms() > 0
    assert reader.alive()
    epoch = reader.lease("m", "me", 60_000)
    assert reader.commit("m", epoch, 0, b"s", [(b"k", b"v")] * 3, {"i": b"a"})
    assert reader.state("m") == (b"s", 1)
    assert reader.alerts("m") == {"i": b"a"}
    assert reader.partitions()[P].caught_up
    assert len(reader.evidence("m", "violations/age/null")) == 2 * store.shards
    reader.write_views("m", {"5m/all": {"requests": "1"}, EVALUATOR_VIEW: {LOOKED_FIELD: "1"}}, 60)
    assert reader.view("m", "5m/all") == {"requests": "1"}
    assert reader.evaluated_s(["m"])["m"] is not None
    assert await store.judged_s("m") == 0
    await store.report("w", WorkerReport(worker="w").model_dump_json())
    await store.report("w", "")
    assert await store.lost(P, 1, 3) == 2
    assert await store.reserve_rows("m", 3, 1.0, 2.0) >= 0
    cells = [ProbeCells(PROBE_TRIALS, 0, np.array([1]), np.array([2]))]
    cases = [RankedCase(f"id{at}", str(at), "g", b"case") for at in range(9)]
    await store.add_probes(ProbeFlush("m", "w", 1, cells, DEFAULT_TIERS, {"m/probes/replay": [b"s"]}, cases))
    assert len(reader.worst_cases("m")) == WORST_EACH
    assert reader.own_health(["m"]).lost["predictions", 0].records == 2
    entries = [*await store.outbox_read("alerts", 99), *await store.outbox_read("dead_letters", 99)]
    assert len(entries) == 2 + 2 * store.shards
    await store.outbox_ack(entries)
    assert reader.outbox_dropped(["m"]) == 1 + store.shards
    await store.close()
    await again.close()
    reader.close()


def look(reader: RedisReader) -> None:
    """Everything that commands, the dashboard and the library read."""
    assert reader.now_ms() > 0
    assert reader.read([KEY])[0] is not None
    assert reader.read_rows([RANKING_KEY]) == [None]
    assert reader.buckets("m", "1d") == (DAY.bucket_s, DAY.bucket_s)
    assert reader.registry("m", "slices") == {"a": 1}
    assert reader.alerts("m") == {"i": b"a"}
    assert reader.partitions()[P].offset == 2
    assert reader.evidence("m", "violations/age/null")
    assert reader.worst_cases("m")
    assert reader.own_health(["m"]).lost["predictions", 0].records == 2
    assert reader.evaluated_s(["m"])["m"] is not None
    assert reader.view("m", "5m/all") == {"requests": "1"}
    assert reader.outbox_dropped(["m"]) == 2
    assert reader.state("m") == (b"s", 1)
    assert reader.alive()


async def everything(url: str, access: RedisAccess) -> None:
    """All that workers do."""
    stores = [RedisStore(url, 1, {"m": 60}, access=access, limits=FEW) for _ in range(2)]
    reader = RedisReader(url, 1, access=access, limits=FEW)
    try:
        await use(stores[0], reader, stores[1])
    finally:
        for store in stores:
            with suppress(StoreUnavailable, StoreRefused):
                await store.close()
        reader.close()


async def failure(attempt: Awaitable[None]) -> bool:
    """Whether Redis refused something."""
    try:
        await attempt
    except StoreRefused:
        return True
    except redis.ResponseError as error:  # inside a script
        return "can't run this command" in str(error)
    return False


def allow(raw: Any, rights: Sequence[str], user: str = "monitor") -> RedisAccess:
    raw.execute_command("ACL", "SETUSER", user, "reset", "on", ">secret", *rights)
    return RedisAccess(user, "secret")


async def test_a_user_with_few_rights_is_enough(server: Server, raw: Any) -> None:
    await everything(server.url, allow(raw, RIGHTS))
    in_url = f"redis://monitor:secret@127.0.0.1:{server.port}/0"
    again = RedisStore(in_url, 1, {"m": 60})
    await again.open()
    await again.close()


async def test_no_right_is_too_many(server: Server, raw: Any) -> None:
    """Without any one of them something does not work."""
    for spare in (right for right in RIGHTS if right.startswith("+") and right not in HARMLESS):
        raw.flushall()
        raw.script_flush()
        access = allow(raw, [right for right in RIGHTS if right != spare])
        assert await failure(everything(server.url, access)), f"{spare} is not needed"


async def test_who_only_reads_can_change_nothing(server: Server, raw: Any) -> None:
    await everything(server.url, RedisAccess())
    access = allow(raw, READING, "monitor-reader")
    with closing(RedisReader(server.url, 1, access=access)) as reader:
        look(reader)
        with pytest.raises(StoreRefused):
            reader.lease("m", "me", 1_000)
        with pytest.raises(StoreRefused):
            reader.write_views("m", {"5m/all": {"requests": "2"}}, 60)
    with redis.Redis.from_url(server.url, username="monitor-reader", password="secret") as client:
        untyped: Any = client
        for command in (
            "SET mon:x 1",
            "DEL mon:meta",
            "FLUSHDB",
            "EVAL return 0",
            "CONFIG GET *",
            "GET other",
        ):
            with pytest.raises(redis.ResponseError, match="permission"):
                untyped.execute_command(*command.split())
    for spare in (right for right in READING if right.startswith("+") and right not in HARMLESS):
        access = allow(raw, [right for right in READING if right != spare], "monitor-reader")
        with closing(RedisReader(server.url, 1, access=access)) as reader:
            assert await failure(asyncio.to_thread(look, reader)), f"{spare} is not needed"


async def test_wrong_credentials_are_refused(server: Server, raw: Any) -> None:
    nobody = RedisAccess("nobody", "wrong-password")
    store = RedisStore(server.url, 1, {"m": 60}, access=nobody)
    with pytest.raises(StoreRefused) as refused:
        await store.open()
    assert "wrong-password" not in str(refused.value) + repr(nobody)
    await store.close()
    reader = RedisReader(server.url, 1, access=nobody)
    with pytest.raises(StoreRefused):
        reader.now_ms()
    reader.close()
    poor = RedisStore(server.url, 1, {"m": 60}, access=allow(raw, ["+info", "+@connection"], "poor"))
    with pytest.raises(StoreRefused, match=r"docs/redis\.md"):
        await poor.open()
    await poor.close()


async def test_tls_is_never_given_up_for_plaintext(server: Server) -> None:
    store = RedisStore(f"rediss://127.0.0.1:{server.port}/0", 1, {"m": 60}, timeout_s=2)
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()


async def refused(url: str, access: RedisAccess) -> None:
    store = RedisStore(url, 1, {"m": 60}, access=access)
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()


async def test_tls_both_ways(tmp_path: Path) -> None:
    """Redis shows its certificate and asks for ours; whoever has none, or trusts another, is left outside."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("needs a redis-server built with TLS")
    server_cert, server_key = certificate(tmp_path, "server")
    our_cert, our_key = certificate(tmp_path, "ours")
    their_cert, their_key = certificate(tmp_path, "theirs")
    tls_port = free_port()
    tls = [
        "--tls-port", str(tls_port), "--tls-cert-file", server_cert, "--tls-key-file", server_key,
        "--tls-ca-cert-file", our_cert, "--tls-auth-clients", "yes",
    ]  # fmt: skip
    with running("redis", binary, *tls):
        url = f"rediss://127.0.0.1:{tls_port}/0"
        ours = RedisAccess(ssl_ca_certs=server_cert, ssl_certfile=our_cert, ssl_keyfile=our_key)
        await everything(url, ours)
        await refused(url, replace(ours, ssl_ca_certs=None))  # a server that nobody vouches for
        await refused(url.replace("127.0.0.1", "localhost"), ours)  # whose certificate names another host
        await refused(url, RedisAccess(ssl_ca_certs=server_cert))
        await refused(url, replace(ours, ssl_certfile=their_cert, ssl_keyfile=their_key))


@contextmanager
def cluster(name: str, binary: str) -> Iterator[list[tuple[Server, Any]]]:
    """Three primaries, each with a third of the slots."""
    with ExitStack() as stack:
        nodes: list[tuple[Server, Any]] = []
        bus_ports = [free_port() for _ in range(3)]
        for bus_port, (first, last) in zip(bus_ports, THIRDS, strict=True):
            options = ["--cluster-enabled", "yes", "--cluster-port", str(bus_port)]
            node = stack.enter_context(running(name, binary, *options))
            raw: Any = stack.enter_context(redis.Redis.from_url(node.url))
            raw.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            raw.execute_command("CLUSTER SET-CONFIG-EPOCH", len(nodes) + 1)
            nodes.append((node, raw))
        for bus_port, (node, _) in zip(bus_ports, nodes, strict=True):
            nodes[0][1].execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus_port)
        for _, raw in nodes:
            while not _whole(raw):
                time.sleep(0.05)
        yield nodes


def _whole(raw: Any) -> bool:
    """A node is content once it knows who serves every slot."""
    return bool(raw.cluster("info")["cluster_state"] == "ok")


@pytest.mark.parametrize("name", ["valkey", "redis"])
async def test_a_cluster(name: str) -> None:
    binary = valkey_binary() if name == "valkey" else redis_binary()
    if binary is None:
        pytest.skip("no redis-server on this machine")
    with cluster(name, binary) as nodes:
        for _, raw in nodes:
            grant = ("reset", "on", ">secret", *RIGHTS, *RIGHTS_ON_A_CLUSTER)
            raw.execute_command("ACL", "SETUSER", "monitor", *grant)
        login = [f"redis://monitor:secret@127.0.0.1:{node.port}/0" for node, _ in nodes]
        stores = [RedisStore(login[at], 4, {"m": 60}, limits=FEW) for at in (0, 2)]
        await use(stores[0], RedisReader(login[1], 4, limits=FEW), stores[1])
        assert sum(raw.dbsize() > 0 for _, raw in nodes) > 1
        with pytest.raises(StoreRefused, match="no such database"):
            await RedisStore(nodes[0][0].url.removesuffix("0") + "1", 4, {"m": 60}).open()
