"""What Redis keeps of the monitor itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitor.core.own_health import WorkerReport
from monitor.edges.redis import RedisReader, RedisStore
from monitor.ports import Partition
from tests.support.redis_servers import Server, redis_binary, running, valkey_binary


@pytest.fixture
def server() -> Iterator[Server]:
    binary = redis_binary()
    with running("redis", binary) if binary else running("valkey", valkey_binary()) as made:
        yield made


async def test_reports_losses_and_outboxes_come_back(server: Server) -> None:
    store, reader = RedisStore(server.url, 2, {"m": 60}), RedisReader(server.url, 2)
    await store.open()
    try:
        for worker in ("a", "b"):
            await store.report(worker, WorkerReport(worker=worker, records=5).model_dump_json())
        await store.report("b", "")  # takes leave
        partition = Partition("my-topic", 3)
        assert await store.lost(partition, 10, 15) == 5
        assert await store.lost(partition, 10, 15) == 5, "told again"
        assert await store.lost(partition, 10, 18) == 8, "told again, after more was deleted"
        assert await store.lost(partition, 40, 41) == 9, "another loss"
        epoch = reader.lease("m", "me", 60_000)
        assert reader.commit("m", epoch, 0, b"s", [(b"k", b"v")], {})
        own = reader.own_health(["m"])
        assert [report.worker for report in own.live] == ["a"]
        assert own.lost["my-topic", 3].records == 9
        assert own.outboxes["alerts of m"].waiting == 1
        assert own.outboxes["dead letters"].waiting == 0
    finally:
        await store.close()
        reader.close()
