"""Epochs and positions of a worker's partitions, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from monitor.edges.kafka.chunks import Bounds, Chunk
from monitor.edges.kafka.flow import Flow, Heard
from monitor.ports import Beat, Partition

PLACE = Partition("predictions", 0)


def chunk(epoch: int, start: int, end: int) -> Chunk:
    return Chunk(PLACE.topic, PLACE.number, epoch, start, end, [])


async def positions(bounds: Mapping[Partition, Bounds]) -> Mapping[Partition, int]:
    return {place: kept.earliest for place, kept in bounds.items()}


async def lost(_partition: Partition, _fence: int, _earliest: int) -> None:
    raise AssertionError("nothing is lost here")


class Transport:
    """What a transport does for a flow, and a clock."""

    def __init__(self) -> None:
        self.sought: list[tuple[Partition, int]] = []
        self.said: dict[Partition, Heard] = {}
        self.now_s = 0.0

    async def seek_partition(self, partition: Partition, offset: int) -> None:
        self.sought.append((partition, offset))

    def heard(self) -> Mapping[Partition, Heard]:
        return self.said


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def flow(transport: Transport) -> Flow:
    made = Flow(positions, lost, lambda: transport.now_s)
    made.bind(transport)
    return made


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    async def __call__(self, chunk: Chunk) -> None:
        self.seen.append((chunk.start, chunk.next))


async def test_a_handled_chunk_moves_the_position(flow: Flow, transport: Transport) -> None:
    epoch, handle = flow.begin_epoch(PLACE), Recorder()
    assert flow.standing == {}
    assert flow.unplaced == {PLACE}
    flow.placed(PLACE, 5)
    assert flow.unplaced == set()
    await flow.take(chunk(epoch, 5, 9), handle)
    transport.said[PLACE] = Heard(12, 0.0)
    assert flow.standing == {PLACE: (9, 12)}
    # A broker that reports an end below what was read is not believed.
    transport.said[PLACE] = Heard(3, 0.0)
    assert flow.standing == {PLACE: (9, 9)}


def test_of_a_partition_just_placed_nobody_says_that_it_was_read_to_its_end(
    flow: Flow, transport: Transport
) -> None:
    flow.begin_epoch(PLACE)
    flow.placed(PLACE, 5)
    assert (flow.standing, flow.beats) == ({PLACE: (5, 5)}, {})
    transport.now_s = 1.0
    transport.said[PLACE] = Heard(12, 0.5)
    assert flow.beats == {PLACE: Beat(5, 12, 0.5)}
    flow.revoke(PLACE)
    assert flow.beats == {}


def test_brokers_are_silent_from_the_last_answer_on_or_from_the_placing(
    flow: Flow, transport: Transport
) -> None:
    assert flow.brokers_silent_s == 0.0
    flow.begin_epoch(PLACE)
    flow.placed(PLACE, 5)
    transport.now_s = 4.0
    assert flow.brokers_silent_s == 4.0
    transport.said[PLACE] = Heard(5, 3.0)
    assert flow.brokers_silent_s == 1.0
    transport.now_s = 30.0
    assert flow.brokers_silent_s == 27.0
    assert flow.beats == {PLACE: Beat(5, 5, 27.0)}, "all that they had, half a minute ago"
    transport.said[PLACE] = Heard(50, 3.0, unread=True)
    assert flow.brokers_silent_s == 0.0, "not asked: what they sent before is not counted yet"


async def test_chunks_of_an_older_epoch_are_dropped(flow: Flow) -> None:
    old, handle = flow.begin_epoch(PLACE), Recorder()
    flow.placed(PLACE, 0)
    new = flow.begin_epoch(PLACE)
    flow.placed(PLACE, 0)
    await flow.take(chunk(old, 0, 4), handle)
    await flow.take(chunk(new, 0, 3), handle)
    assert handle.seen == [(0, 3)]
    flow.revoke(PLACE)
    assert flow.unplaced == set()
    await flow.take(chunk(new, 3, 8), handle)
    assert handle.seen == [(0, 3)]
    assert flow.standing == {}


async def test_a_chunk_in_hand_during_a_rewind_does_not_count_as_handled(flow: Flow) -> None:
    epoch = flow.begin_epoch(PLACE)
    flow.placed(PLACE, 0)

    async def rewinds(_chunk: Chunk) -> None:
        flow.begin_epoch(PLACE)
        flow.placed(PLACE, 0)

    await flow.take(chunk(epoch, 0, 50), rewinds)
    assert flow.handled(PLACE) == 0


async def test_after_a_failure_nothing_is_taken(flow: Flow) -> None:
    epoch, handle = flow.begin_epoch(PLACE), Recorder()
    flow.placed(PLACE, 0)

    async def fails(_chunk: Chunk) -> None:
        raise ValueError("first")

    await flow.take(chunk(epoch, 0, 1), fails)
    await asyncio.wait_for(flow.failed(), 1)
    flow.fail(KeyError("second"))
    assert isinstance(flow.failure, ValueError)
    await flow.take(chunk(epoch, 0, 1), handle)
    assert handle.seen == []
    assert flow.handled(PLACE) == 0


async def test_closing_waits_for_the_chunk_in_hand_and_takes_no_other(flow: Flow) -> None:
    epoch, handle, released = flow.begin_epoch(PLACE), Recorder(), asyncio.Event()
    flow.placed(PLACE, 0)

    async def holds(_chunk: Chunk) -> None:
        await released.wait()

    in_hand = asyncio.create_task(flow.take(chunk(epoch, 0, 2), holds))
    await asyncio.sleep(0)
    closing = asyncio.create_task(flow.close())
    await asyncio.sleep(0)
    assert not closing.done()
    released.set()
    await asyncio.gather(in_hand, closing)
    await flow.take(chunk(epoch, 2, 3), handle)
    assert (flow.handled(PLACE), handle.seen) == (2, [])


async def test_the_next_chunk_is_taken_while_one_is_in_hand_and_no_third(flow: Flow) -> None:
    epoch, handle = flow.begin_epoch(PLACE), Recorder()
    flow.placed(PLACE, 0)
    gates = [asyncio.Event() for _ in range(4)]

    async def waits(chunk: Chunk) -> None:
        await handle(chunk)
        await gates[chunk.start].wait()

    async def fetched() -> AsyncIterator[Chunk]:
        for start in range(4):
            yield chunk(epoch, start, start + 1)

    taking = asyncio.create_task(flow.take_all(fetched(), waits))
    for done in range(2):
        for _ in range(10):
            await asyncio.sleep(0)
        assert (len(handle.seen), flow.handled(PLACE)) == (done + 2, done)
        gates[done].set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert flow.handled(PLACE) == 2
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await flow.settle([PLACE])  # nothing is left in hand
    assert (len(handle.seen), flow.handled(PLACE)) == (4, 2)


async def test_a_rewind_goes_to_the_transport_for_as_long_as_the_partition_is_ours(
    flow: Flow, transport: Transport
) -> None:
    await flow.rewind(PLACE, 6)
    flow.begin_epoch(PLACE)
    await flow.rewind(PLACE, 7)
    flow.placed(PLACE, 7)
    await flow.rewind(PLACE, 8)
    flow.revoke(PLACE)  # the group joins again, and the client library still names the partition
    await flow.rewind(PLACE, 9)
    assert transport.sought == [(PLACE, 7), (PLACE, 8)]
