"""A failover to a replica that lags: the workers' address leads to a store that has forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from monitor.edges.redis import keys
from tests.chaos.proxy import Proxy
from tests.support.redis_cluster import until
from tests.support.redis_servers import Server, redis_binary, running, valkey_binary
from tests.support.stream import Stream, streaming

SHARDS = 2
OWNER, LEASE_MS = "w", 60_000


@pytest.fixture(params=["valkey", "redis"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Server]]:
    """A primary and a replica in step with it."""
    binary = valkey_binary() if request.param == "valkey" else redis_binary()
    if binary is None:
        pytest.skip("no redis-server on this machine")
    with ExitStack() as stack:
        primary = stack.enter_context(running(request.param, binary, "--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(
            running(request.param, binary, "--replicaof", f"127.0.0.1 {primary.port}")
        )
        yield primary, replica


async def test_a_failover_to_a_replica_that_lags_is_read_again(pair: tuple[Server, Server]) -> None:
    primary, replica = pair
    with (
        Proxy(primary.port) as way,
        redis.Redis(port=primary.port) as old,
        redis.Redis(port=replica.port) as new,
    ):
        url = f"redis://127.0.0.1:{way.port}/0"
        async with streaming([url, url], SHARDS, 150) as stream:
            await stream.run(1)
            epoch = stream.reader.lease("credit", OWNER, LEASE_MS)
            assert stream.reader.commit("credit", epoch, 0, b"known", [], {})
            _in_step(old, new)
            _cut_off(old, new)
            # From here on only the primary knows.
            await stream.run(1)
            assert stream.reader.commit("credit", epoch, 1, b"forgotten", [], {"a": b"alert"})
            assert old.hgetall(keys.fence(0)) != new.hgetall(keys.fence(0))

            new.execute_command("REPLICAOF", "NO", "ONE")
            way.target = replica.port
            way.cut()
            primary.process.kill()
            assert await stream.watch() > 0
            _evaluator_sees_it(stream, epoch)
            await stream.run()
            stream.check()


def _evaluator_sees_it(stream: Stream, epoch: int) -> None:
    """An evaluator that goes on from what was forgotten is refused; from what is known, it is not."""
    reader = stream.reader
    until(reader.alive, "the reader has a connection again")
    assert reader.state("credit") == (b"known", 1)
    assert not reader.commit("credit", epoch, 2, b"beyond", [], {})
    assert reader.lease("credit", OWNER, LEASE_MS) == epoch
    assert reader.commit("credit", epoch, 1, b"again", [], {})
    assert reader.alerts("credit") == {}


def _in_step(old: Any, new: Any) -> None:
    def offset(client: Any, name: str) -> int:
        return int(client.info("replication").get(name, -1))

    until(
        lambda: offset(new, "slave_repl_offset") >= offset(old, "master_repl_offset"),
        "the replica is in step",
    )


def _cut_off(old: Any, new: Any) -> None:
    # It cannot log in any more, so it cannot come back once it was thrown out.
    new.config_set("masterauth", "not the password")
    old.execute_command("CLIENT", "KILL", "TYPE", "replica")
    until(lambda: new.info("replication")["master_link_status"] == "down", "the replica is cut off")
