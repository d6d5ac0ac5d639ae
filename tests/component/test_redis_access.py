"""Ways to reach Redis: passwords, a user of few rights, TLS, and a cluster."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from monitor.core.counters import SCALARS, CellKey, Increment, Tier
from monitor.core.errors import StoreRefused, StoreUnavailable
from monitor.edges.redis import RedisReader, RedisStore
from monitor.ports import Fence, Flush, Outcome, Partition, StubWrite
from tests.support.redis_servers import Server, free_port, redis_binary, running, valkey_binary

P = Partition("predictions", 0)
DAY = Tier("1d", 86_400, 400 * 86_400)
THIRDS = ((0, 5_460), (5_461, 10_922), (10_923, 16_383))
KEY = CellKey(SCALARS, DAY, 0, "m")

# As docs/redis.md says.
RIGHTS = (
    *("~mon:*", "~{mon:*"),
    *("+@read", "+@write", "+@scripting", "+@connection", "+command", "+time", "-@dangerous", "+info"),
)
RIGHTS_ON_A_CLUSTER = ("+cluster|slots", "+cluster|shards", "+cluster|nodes")
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


async def use(store: RedisStore, reader: RedisReader) -> None:
    """Everything a worker and an evaluator do."""
    await store.open()
    await store.bind("c", {"predictions": "1"})
    await store.register({P: 0})
    shards = range(store.shards)
    for shard in shards:
        (seen,) = await store.read_stubs(shard, "m", [b"x" * 12])
        await store.ids("m", "slices", ["a"], 9)
        flush = Flush(
            shard, P, 0, 0, 1, 5, [StubWrite("m", b"x" * 12, seen, b"v")],
            [Increment(KEY, np.array([0]), np.array([1]), True, 600)],
            dead_letters=[b"d"], evidence={"m/violations/age/null": [b"e"]},
        )  # fmt: skip
        assert (await store.flush(flush)).outcome is Outcome.OK
        (seen,) = await store.read_stubs(shard, "m", [b"x" * 12])
        assert seen is not None
    await store.beat({P: (1, 1)})
    assert await store.fences([P]) == {P: [Fence(1, 5)] * store.shards}
    (counts,) = reader.read([KEY])
    assert counts is not None
    assert counts[0] == store.shards
    assert reader.buckets("m", "1d") == (0, 0)
    assert reader.registry("m", "slices") == {"a": 1}
    assert reader.now_ms() > 0
    assert reader.alive()
    epoch = reader.lease("m", "me", 60_000)
    assert reader.commit("m", epoch, 0, b"s", [(b"k", b"v")], {"i": b"a"})
    assert reader.state("m") == (b"s", 1)
    assert reader.alerts("m") == {"i": b"a"}
    assert reader.partitions()[P].caught_up
    assert len(reader.evidence("m", "violations/age/null")) == store.shards
    reader.write_views("m", {"5m/all": {"requests": "1"}}, 60)
    await store.report("w", "{}")
    assert await store.lost(P, 1, 3) == 2
    assert reader.own_health(["m"]).lost["predictions", 0].records == 2
    entries = [*await store.outbox_read("alerts", 99), *await store.outbox_read("dead_letters", 99)]
    assert len(entries) == 1 + store.shards
    await store.outbox_ack(entries)
    assert reader.outbox_dropped(["m"]) == 0
    await store.close()
    reader.close()


async def test_a_user_with_few_rights_is_enough(server: Server, raw: Any) -> None:
    raw.execute_command("ACL", "SETUSER", "monitor", "reset", "on", ">secret", *RIGHTS)
    store = RedisStore(server.url, 1, {"m": 60}, username="monitor", password="secret")
    await use(store, RedisReader(server.url, 1, username="monitor", password="secret"))
    in_url = f"redis://monitor:secret@127.0.0.1:{server.port}/0"
    again = RedisStore(in_url, 1, {"m": 60})
    await again.open()
    await again.close()


async def test_wrong_credentials_are_refused(server: Server, raw: Any) -> None:
    store = RedisStore(server.url, 1, {"m": 60}, username="nobody", password="wrong")
    with pytest.raises(StoreRefused):
        await store.open()
    await store.close()
    reader = RedisReader(server.url, 1, username="nobody", password="wrong")
    with pytest.raises(StoreRefused):
        reader.now_ms()
    reader.close()
    raw.execute_command("ACL", "SETUSER", "poor", "reset", "on", ">secret", "+info", "+@connection")
    poor = RedisStore(server.url, 1, {"m": 60}, username="poor", password="secret")
    with pytest.raises(StoreRefused, match=r"docs/redis\.md"):
        await poor.open()
    await poor.close()


async def test_tls_is_never_given_up_for_plaintext(server: Server) -> None:
    store = RedisStore(f"rediss://127.0.0.1:{server.port}/0", 1, {"m": 60}, timeout_s=2)
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that is its own authority; its key lies beside it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    made = tmp_path / "cert.pem"
    subject = "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    request = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 1 {subject}"
    command = [*request.split(), "-keyout", str(made.with_suffix(".key")), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


async def test_tls(certificate: Path) -> None:
    binary = redis_binary()
    if binary is None:
        pytest.skip("needs a redis-server built with TLS")
    key = certificate.with_suffix(".key")
    tls_port = free_port()
    tls = [
        "--tls-port", str(tls_port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no",
    ]  # fmt: skip
    with running("redis", binary, *tls):
        url = f"rediss://127.0.0.1:{tls_port}/0"
        store = RedisStore(url, 1, {"m": 60}, ssl_ca_certs=str(certificate))
        await use(store, RedisReader(url, 1, ssl_ca_certs=str(certificate)))
        stranger = RedisStore(url, 1, {"m": 60})
        with pytest.raises(StoreUnavailable):
            await stranger.open()
        await stranger.close()


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
        await use(RedisStore(login[0], 4, {"m": 60}), RedisReader(login[1], 4))
        assert sum(raw.dbsize() > 0 for _, raw in nodes) > 1
