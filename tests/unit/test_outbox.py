"""The outbox, when a topic or the store is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from monitor.core.errors import KafkaError
from monitor.edges.memory import ManualClock, MemoryPublisher, MemoryStore
from monitor.edges.outbox import empty_outbox
from monitor.ports import Flush, OutboxEntry, Partition

P = Partition("predictions", 0)


class Missing:
    """Publishes to a topic that does not exist."""

    def __init__(self) -> None:
        self.tries = 0

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        self.tries += 1
        raise KafkaError(f"no topic for {len(entries)} records")


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - what is waited for is a list that grows
        await asyncio.sleep(0)


async def test_alerts_leave_while_dead_letters_have_no_topic() -> None:
    clock = ManualClock(1_000)
    store = MemoryStore(1, {"m": 600}, clock)
    await store.register({P: 0})
    await store.flush(Flush(0, P, 0, 0, 1, 0, dead_letters=[b"letter"] * 1_000))
    reader = store.reader()
    epoch = reader.lease("m", "me", 60_000)
    assert reader.commit("m", epoch, 0, b"s", [(b"k", b"alert")], {})
    alerts, letters = MemoryPublisher(), Missing()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        loops = [
            group.create_task(empty_outbox(store, alerts, "alerts", clock)),
            group.create_task(empty_outbox(store, letters, "dead_letters", clock)),
        ]
        await until(lambda: bool(alerts.entries) and letters.tries > 2)
        for loop in loops:
            loop.cancel()
    assert [entry.value for entry in alerts.entries] == [b"alert"]
    assert len(await store.outbox_read("dead_letters", 2_000)) == 1_000
