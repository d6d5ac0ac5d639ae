"""The worker against a real broker: positions, order, rewinds, rebalances, stops and refusals."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Mapping

import aiokafka
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from monitor.core.errors import KafkaError, PositionRefused, StoreRefused, StoreUnavailable
from monitor.edges.kafka import unpacking
from monitor.edges.kafka.chunks import Bounds, Chunk
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import read_last
from monitor.edges.kafka.worker import run_worker
from monitor.ports import Partition
from tests.support.chunk_worker import FencedLog, Worker, config, feed, running

MakeTopic = Callable[..., str]


def joins(chunks: list[Chunk]) -> bool:
    """Whether the chunks of each partition and epoch follow each other without a gap."""
    ends: dict[tuple[Partition, int], int] = {}
    for chunk in chunks:
        end = ends.get((chunk.place, chunk.seek_epoch), chunk.start)
        offsets = [record.offset for record in chunk.records]
        inside = all(chunk.start <= offset < chunk.next for offset in offsets)
        if chunk.start != end or not inside or offsets != sorted(set(offsets)):
            return False
        ends[chunk.place, chunk.seek_epoch] = chunk.next
    return True


async def test_chunks_come_whole_and_in_order(kafka: str, make_topic: MakeTopic) -> None:
    predictions, labels = make_topic("predictions", partitions=3), make_topic("labels")
    feed(kafka, predictions, 9_000, partitions=3)
    feed(kafka, labels, 500)
    worker = Worker(config(kafka, predictions, labels=(labels,), poll_records_max=700), FencedLog())
    async with running(worker) as task:
        await worker.until(lambda: worker.log.total == 9_500)
        # More comes while it runs.
        await asyncio.to_thread(feed, kafka, predictions, 300, 3, 9_000)
        await worker.until(lambda: worker.log.total == 9_800)
        standing = worker.flow.standing
    assert task.result() == 0
    assert joins(worker.chunks)
    assert max(len(chunk.records) for chunk in worker.chunks) <= 700
    for number in range(3):
        place = Partition(predictions, number)
        assert worker.log.counted[place] == list(range(3_100))
        assert worker.log.values[place][5] == b"%d" % (15 + number) + b" " * 100
        assert standing[place] == (3_100, 3_100)
    kinds = {(chunk.topic, kind) for chunk, kind in zip(worker.chunks, worker.kinds, strict=True)}
    assert kinds == {(predictions, "predictions"), (labels, "labels")}


async def test_the_position_is_the_fence_and_the_commit_follows(kafka: str, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=2)
    feed(kafka, topic, 4_000, partitions=2)
    log = FencedLog(fences={Partition(topic, 0): 700, Partition(topic, 1): 1_999})
    first = Worker(config(kafka, topic), log)
    async with running(first):
        await first.until(lambda: log.total == 1_301)
    assert first.placed[0].keys() == log.fences.keys()
    assert {place: offsets[0] for place, offsets in log.counted.items()} == {
        Partition(topic, 0): 700,
        Partition(topic, 1): 1_999,
    }
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    committed = admin.list_group_offsets({f"group-{topic}": None})[f"group-{topic}"]
    admin.close()
    assert {tp.partition: hint.offset for tp, hint in committed.items()} == {0: 2_000, 1: 2_000}
    # The commit says 2000, the fence says otherwise: the fence wins.
    log.lose(Partition(topic, 0), 1_500)
    second = Worker(config(kafka, topic), log)
    async with running(second):
        await second.until(lambda: log.total == 1_301)
    assert log.counted[Partition(topic, 0)] == list(range(700, 2_000))
    assert second.chunks[0].start == 1_500


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_rewind_replays_exactly(kafka: str, make_topic: MakeTopic, seed: int) -> None:
    """The store loses writes dozens of times, inside a handler, between chunks, with chunks queued."""
    topic, count = make_topic(partitions=2), 20_000
    feed(kafka, topic, count, partitions=2)
    rng = random.Random(seed)
    log = FencedLog()
    losses = 0

    async def lose(place: Partition) -> None:
        nonlocal losses
        losses += 1
        log.lose(place, rng.randint(0, log.fences[place]))
        await worker.flow.rewind(place, log.fences[place])

    async def before(chunk: Chunk) -> None:
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        if losses < 40 and rng.random() < 0.2:
            await lose(chunk.place)

    worker = Worker(config(kafka, topic, poll_records_max=400), log, before)

    async def outside() -> None:
        while losses < 60:
            await asyncio.sleep(rng.random() / 20)
            if worker.flow.joined and log.fences:
                await lose(Partition(topic, rng.randrange(2)))

    async with running(worker) as task:
        await worker.until(lambda: bool(log.fences))
        await outside()
        await worker.until(lambda: log.total == count)
        standing = worker.flow.standing
    assert task.result() == 0
    assert losses >= 60
    for number in range(2):
        assert log.counted[Partition(topic, number)] == list(range(count // 2))
        assert standing[Partition(topic, number)][0] == count // 2


async def test_workers_that_come_and_go_count_once(kafka: str, make_topic: MakeTopic) -> None:
    topic, sent = make_topic(partitions=4), 0
    log = FencedLog()

    async def slowly(_chunk: Chunk) -> None:
        await asyncio.sleep(0.01)

    async def send(count: int) -> None:
        nonlocal sent
        await asyncio.to_thread(feed, kafka, topic, count, 4, sent)
        sent += count

    first = Worker(config(kafka, topic, poll_records_max=200), log, slowly)
    second = Worker(config(kafka, topic, poll_records_max=200), log, slowly)
    await send(12_000)
    async with running(second) as second_task:
        async with running(first) as first_task, asyncio.timeout(300):
            # A worker may join only when all there is has been handled: traffic goes on until both had some.
            while not (first.chunks and second.chunks):
                await send(2_000)
        assert first_task.result() == 0
        await send(12_000)
        await second.until(lambda: log.total == sent)
    assert second_task.result() == 0
    assert joins(first.chunks)
    assert joins(second.chunks)
    for number in range(4):
        assert log.counted[Partition(topic, number)] == list(range(sent // 4))


async def test_a_record_larger_than_a_fetch_comes_alone(kafka: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = KafkaProducer(bootstrap_servers=kafka, max_request_size=4 << 20)
    for size in (10, 700_000, 20, 900_000, 30):
        producer.send(topic, b"x" * size).get(10)
    producer.close()
    worker = Worker(config(kafka, topic, fetch_bytes_max=16_384), FencedLog())
    async with running(worker):
        await worker.until(lambda: worker.log.total == 5)
    sizes = [len(value or b"") for value in worker.log.values[Partition(topic, 0)]]
    assert sizes == [10, 700_000, 20, 900_000, 30]


async def test_every_codec_is_read(
    kafka: str, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES_MAX", 500_000)
    topic = make_topic()
    sent: list[bytes] = []
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka, compression_type=codec)
        await producer.start()
        for value in (f"first of {codec}".encode(), b" " * 600_000, f"last of {codec}".encode()):
            await producer.send_and_wait(topic, value)
            sent.append(value)
        await producer.stop()
    worker = Worker(config(kafka, topic), FencedLog())
    async with running(worker):
        await worker.until(lambda: worker.log.total == len(sent))
    assert worker.log.values[Partition(topic, 0)] == [
        b"" if len(value) > 500_000 else value for value in sent
    ]
    with pytest.raises(KafkaError, match="unpacks beyond 500,000 bytes"):
        await asyncio.to_thread(read_last, KafkaConnection(kafka), topic, 12)
    monkeypatch.undo()
    found = await asyncio.to_thread(read_last, KafkaConnection(kafka), topic, 12)
    assert [record.value for record in found] == sent


async def test_a_signal_stops_after_the_chunk_in_hand(kafka: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    feed(kafka, topic, 3_000)
    log = FencedLog()
    begun, released = asyncio.Event(), asyncio.Event()

    async def hold(_chunk: Chunk) -> None:
        begun.set()
        await released.wait()

    worker = Worker(config(kafka, topic, poll_records_max=500), log, hold)
    task = asyncio.create_task(run_worker(worker.app))
    await begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    while not worker.flow._closing:  # noqa: ASYNC110 - nobody else waits for that moment
        await asyncio.sleep(0)
    assert not task.done()
    released.set()
    assert await task == 0
    assert log.total in {500, 1_000}, "what was in hand, and nothing more: two chunks at most"
    assert log.total == sum(len(chunk.records) for chunk in worker.chunks)
    again = Worker(config(kafka, topic), log)
    async with running(again):
        await again.until(lambda: log.total == 3_000)
    assert log.counted[Partition(topic, 0)] == list(range(3_000))


async def test_a_handler_that_raises_ends_the_worker(kafka: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    feed(kafka, topic, 2_000)
    log = FencedLog()

    async def fail(chunk: Chunk) -> None:
        if chunk.start >= 500:
            raise ValueError("no way on")

    worker = Worker(config(kafka, topic, poll_records_max=500), log, fail)
    assert await run_worker(worker.app, stop=worker.stop) == 1
    assert isinstance(worker.flow.failure, ValueError)
    assert log.total == 500, "nothing is handled after a failure"
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    committed = admin.list_group_offsets({f"group-{topic}": None})[f"group-{topic}"]
    admin.close()
    assert all(hint.offset <= 500 for hint in committed.values())


async def test_a_fence_beyond_the_end_is_refused(kafka: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    feed(kafka, topic, 100)
    worker = Worker(config(kafka, topic), FencedLog(fences={Partition(topic, 0): 5_000}))
    assert await run_worker(worker.app, stop=worker.stop) == 1
    assert isinstance(worker.flow.failure, PositionRefused)
    assert "5000" in str(worker.flow.failure)
    assert "100" in str(worker.flow.failure)
    assert not worker.chunks


async def test_topics_are_recognised_for_as_long_as_they_are_read(kafka: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    seen: list[Mapping[str, str]] = []

    async def recognise(topic_ids: Mapping[str, str]) -> None:
        seen.append(topic_ids)
        if len(seen) == 3:
            raise StoreRefused("made anew")

    worker = Worker(config(kafka, topic, stall_s=6.0), FencedLog())
    assert await run_worker(worker.app, stop=worker.stop, recognise=recognise) == 1
    assert [list(topic_ids) for topic_ids in seen] == [[topic]] * 3
    assert "made anew" in str(worker.flow.failure)


async def test_brokers_that_say_too_little_of_a_partition_are_waited_for(
    kafka: str, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    feed(kafka, topic, 100)

    class Unsaid(Worker):
        async def positions(self, bounds: Mapping[Partition, Bounds]) -> Mapping[Partition, int]:
            if len(self.placed) < 2:
                self.placed.append(bounds)
                raise KafkaError("no answer")
            return await super().positions(bounds)

    worker = Unsaid(config(kafka, topic), FencedLog())
    async with running(worker):
        await worker.until(lambda: worker.log.total == 100)
    assert len(worker.placed) == 3


async def test_a_store_that_is_away_is_waited_for(kafka: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    feed(kafka, topic, 100)

    class Away(Worker):
        async def positions(self, bounds: Mapping[Partition, Bounds]) -> Mapping[Partition, int]:
            if len(self.placed) < 2:
                self.placed.append(bounds)
                raise StoreUnavailable("no answer")
            return await super().positions(bounds)

    worker = Away(config(kafka, topic), FencedLog())
    async with running(worker):
        await worker.until(lambda: worker.log.total == 100)
    assert len(worker.placed) == 3


@pytest.fixture
def apache(kafka: str, kafka_is_apache: bool) -> str:
    if not kafka_is_apache:
        pytest.skip("the bundled broker has neither transactions that abort nor record deletion")
    return kafka


async def test_deleted_records_are_told_and_stepped_over(apache: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    feed(apache, topic, 1_000)
    admin = KafkaAdminClient(bootstrap_servers=apache)
    topic_partition = TopicPartition(topic, 0)
    admin.delete_records({topic_partition: 600})
    place = Partition(topic, 0)
    worker = Worker(config(apache, topic), FencedLog(fences={place: 250}))
    async with running(worker):
        await worker.until(lambda: worker.log.total == 400)
        assert worker.lost == [(place, 250, 600)]
        assert (worker.chunks[0].start, worker.log.counted[place][0]) == (250, 600)
        # Retention overtakes a worker that is running, and sent back.
        admin.delete_records({topic_partition: 900})
        worker.log.lose(place, 700)
        await worker.flow.rewind(place, 700)
        await worker.until(lambda: worker.log.fences[place] == 1_000)
    admin.close()
    assert worker.lost[1:] == [(place, 700, 900)]
    assert worker.log.counted[place] == [*range(600, 700), *range(900, 1_000)]


async def test_what_was_fetched_before_retention_overtook_is_counted_and_the_loss_told_once(
    apache: str, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    for start in range(0, 1_000, 50):
        feed(apache, topic, 50, start=start)  # a batch each, which is fetched whole
    place = Partition(topic, 0)
    held, released = asyncio.Event(), asyncio.Event()

    async def before(_chunk: Chunk) -> None:
        held.set()
        await released.wait()
        await asyncio.sleep(0.3)  # slower than a fetch that is refused

    narrow = {"poll_records_max": 10, "fetch_bytes_max": 4_096, "buffered_chunks_max": 8}
    worker = Worker(config(apache, topic, **narrow), FencedLog(), before)
    async with running(worker):
        await asyncio.wait_for(held.wait(), 300)
        await asyncio.sleep(1)  # more is fetched, and queued behind the chunk in hand
        admin = KafkaAdminClient(bootstrap_servers=apache)
        admin.delete_records({TopicPartition(topic, 0): 900})
        admin.close()
        released.set()
        await worker.until(lambda: worker.log.fences[place] == 1_000)
    ((_, fence, earliest),) = worker.lost
    assert (fence >= 50, earliest) == (True, 900)
    assert worker.log.counted[place] == [*range(fence), *range(900, 1_000)]
    assert joins(worker.chunks)


async def test_holes_of_transactions_lie_inside_chunks(apache: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = KafkaProducer(bootstrap_servers=apache, transactional_id=topic)
    producer.init_transactions()
    for number in range(6):
        producer.begin_transaction()
        for _ in range(10):
            producer.send(topic, b"%d" % number, partition=0)
        producer.flush()
        if number % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    place = Partition(topic, 0)
    worker = Worker(config(apache, topic), FencedLog())
    async with running(worker):
        # 60 records and 6 markers; the last transaction is aborted, its marker the last offset.
        await worker.until(lambda: worker.log.fences.get(place) == 66)
        standing = worker.flow.standing
    assert joins(worker.chunks)
    assert worker.log.values[place] == [b"%d" % number for number in (0, 2, 4) for _ in range(10)]
    assert standing[place] == (66, 66)


async def test_records_behind_an_open_transaction_wait_and_are_known_to(
    apache: str, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    feed(apache, topic, 20)
    producer = KafkaProducer(bootstrap_servers=apache, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"open", partition=0)
    producer.flush()
    feed(apache, topic, 20, start=20)
    place = Partition(topic, 0)
    worker = Worker(config(apache, topic), FencedLog())
    async with running(worker):
        await worker.until(lambda: worker.log.fences.get(place) == 20)
        beat = worker.flow.beats[place]
        assert (beat.position, beat.end) == (20, 41), "nobody may say that it is read to its end"
        producer.commit_transaction()
        await worker.until(lambda: worker.log.fences[place] == 42)
    producer.close()
    assert worker.log.total == 41
