"""The consumer thread's side of chunks: what a drain becomes, and how a lost fetch is made up for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from monitor.edges.kafka.chunks import Chunk
from monitor.edges.kafka.thread import ChunkThread, Cursor, Seek

PLACE = TP("predictions", 0)


@dataclass
class Log:
    """A partition as aiokafka holds it: a position and what the log has, holes and all."""

    offsets: list[int]
    end: int
    position: int = 0
    has_valid_position: bool = True
    highwater: int = 0
    lso: int = 0
    timestamp: int | None = None
    seeks: list[int] = field(default_factory=list)

    def drain(self, count: int) -> list[SimpleNamespace]:
        found = [offset for offset in self.offsets if offset >= self.position][:count]
        at_end = not found or found[-1] == self.offsets[-1]
        self.position = self.end if at_end else found[-1] + 1
        return [SimpleNamespace(offset=offset) for offset in found]


class Thread(ChunkThread):
    """A thread without a thread, over one `Log`."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._cursors = {}
        self.batch = 3
        self.buffered: dict[TP, object] = {}
        options = SimpleNamespace(isolation_level="read_committed", poll_records_max=3)
        self.app = SimpleNamespace(chunk_config=options)

    @property
    def _consumer(self) -> Any:
        return self._ensure_consumer()

    def _ensure_consumer(self) -> Any:
        assignment = SimpleNamespace(state_value=lambda _tp: self.log, tps=[PLACE])
        subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        fetcher = SimpleNamespace(_records=self.buffered)
        return SimpleNamespace(seek=self._sought, _subscription=subscription, _fetcher=fetcher)

    def _sought(self, _tp: TP, offset: int) -> None:
        self.log.seeks.append(offset)
        self.log.position = offset

    def assignment(self) -> set[TP]:
        return {PLACE}

    async def _fetch_records(self, _consumer: Any, ready: set[TP], **_options: Any) -> dict[TP, list[Any]]:
        records = self.log.drain(self.batch)
        return {PLACE: records} if records else {}

    def fetch_now(self, epoch: int, position: int) -> Chunk | None:
        due = {PLACE: Cursor(epoch, position)}
        return asyncio.run(self._fetch(due, 0.0)).get(PLACE)

    def place_now(self, epoch: int, start: int, offset: int | None = None) -> None:
        asyncio.run(self._place({PLACE: Seek(epoch, start, start if offset is None else offset)}))


@pytest.fixture
def thread() -> Thread:
    # Aborted or compacted: 3, 4 and 7; markers: 9 and 10.
    return Thread(Log([0, 1, 2, 5, 6, 8], end=11))


def ranges(chunk: Chunk | None) -> tuple[int, int, list[int]]:
    assert chunk is not None
    return chunk.start, chunk.next, [record.offset for record in chunk.records]


def test_holes_lie_inside_chunks(thread: Thread) -> None:
    thread.place_now(1, 0)
    assert ranges(thread.fetch_now(1, 0)) == (0, 3, [0, 1, 2])
    assert ranges(thread.fetch_now(1, 3)) == (3, 11, [5, 6, 8])
    assert thread.fetch_now(1, 11) is None


def test_markers_alone_are_a_chunk_without_records(thread: Thread) -> None:
    thread.place_now(1, 9)
    assert ranges(thread.fetch_now(1, 9)) == (9, 11, [])


def test_deleted_records_lie_inside_the_first_chunk(thread: Thread) -> None:
    thread.place_now(1, 0, offset=5)
    assert ranges(thread.fetch_now(1, 0)) == (0, 11, [5, 6, 8])


def test_a_fetch_that_never_arrived_is_made_again(thread: Thread) -> None:
    thread.place_now(1, 0)
    thread.fetch_now(1, 0)  # abandoned by the event loop: it still expects 0
    assert ranges(thread.fetch_now(1, 0)) == (0, 3, [0, 1, 2])
    assert thread.log.seeks == [0, 0]


def test_nothing_is_read_before_a_place_is_known(thread: Thread) -> None:
    assert thread.fetch_now(1, 0) is None
    thread.place_now(2, 5)
    assert thread.fetch_now(1, 0) is None, "the seek of epoch 2 is not known to the event loop yet"
    assert thread.log.position == 5
    thread.place_now(1, 0)
    assert ranges(thread.fetch_now(2, 5)) == (5, 11, [5, 6, 8])
    assert thread.log.seeks == [5], "an older epoch never overrides a newer one"


def test_what_lies_behind_an_open_transaction_waits(thread: Thread) -> None:
    assert thread.heard() == {}, "no fetch was answered yet"
    thread.log.lso, thread.log.highwater, thread.log.timestamp = 11, 700, int(1000 * time.time())
    thread.place_now(1, 8)
    assert ranges(thread.fetch_now(1, 8)) == (8, 11, [8])
    assert [(said.end, said.unread) for said in thread.heard().values()] == [(700, False)]


@pytest.mark.parametrize("set_by_s", [-3600, 3600])
def test_what_the_brokers_said_gets_older_whatever_the_clock_of_the_day_is_set_to(
    thread: Thread, set_by_s: int
) -> None:
    thread.log.highwater, thread.log.timestamp = 11, int(1000 * (time.time() + set_by_s))
    thread.buffered[PLACE] = object()
    (said,) = thread.heard().values()
    assert said.at_s < time.monotonic() - 3000
    assert said.unread
