"""Values made of Redis' own syntax, of terminals' and of HTML's: each is a slice, and passes for no other."""

from __future__ import annotations

import json

from monitor.edges.reader import MetricsReader
from monitor.edges.redis import RedisReader, RedisStore
from monitor.edges.views import slice_name
from tests.fuzz.feed import TEXTS
from tests.support.redis_servers import running, valkey_binary
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import Message

NOW_MS = 1_700_000_600_000
VALUES = [*(text for text in TEXTS if text.isprintable() and text), "Female,device=iPhone", "{m}:x|y", "*"]


async def test_every_value_is_a_slice_of_its_own_and_no_more() -> None:
    values = list(dict.fromkeys(VALUES))
    messages = [
        Message(
            "predictions",
            0,
            json.dumps({"request_id": f"r{i}", "model": "m", "features": {"sex": value}}).encode(),
        )
        for i, value in enumerate(values)
    ]
    with running("valkey", valkey_binary()) as server:
        store, reader = RedisStore(server.url, 2, {"m": 600}), RedisReader(server.url, 2)
        await store.open()
        worker = Worker(store, Log(messages, NOW_MS), {"m": plan("m")})
        await worker.take(list(worker.log.partitions))
        for partition in worker.log.partitions:
            while await worker.step(partition, 20):
                pass
        reports = MetricsReader(reader).slices("m", estimates=False)
        alone = {report.slice["sex"]: report.requests for report in reports if report.slice.keys() == {"sex"}}
        names = [f"5m/{slice_name({'sex': value})}" for value in values]
        reader.write_views("m", {name: {"number": str(i)} for i, name in enumerate(names)}, 60)
        views = [reader.view("m", name) for name in names]
        await store.close()
        reader.close()
    assert reports[0].requests == len(values)
    # A value too long for a name is shortened, and what stands for absence is absence.
    assert sum(alone.values()) == len(values)
    assert set(alone.values()) == {1}
    assert views == [{"number": str(i)} for i in range(len(values))]
