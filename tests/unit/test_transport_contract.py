"""What the chunk transport rests on inside Faust and aiokafka: names and signatures that are not public.

A new release of either may move them. This fails first, and says where to look.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer import fetcher, subscription_state
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.transport import base, consumer, drivers
from faust.transport.drivers import aiokafka as stock
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.edges.kafka import thread, transport
from monitor.edges.kafka.batches import Arrivals
from monitor.edges.kafka.worker import ChunkApp

SIGNATURES = {
    consumer.Consumer.getmany: "(self, timeout: float) -> AsyncIterator[Tuple[faust.types.tuples.TP, "
    "faust.types.tuples.Message]]",
    consumer.Consumer._wait_next_records: "(self, timeout: float) -> Tuple[Optional[Mapping["
    "faust.types.tuples.TP, List[Any]]], Optional[Set[faust.types.tuples.TP]]]",
    consumer.ThreadDelegateConsumer._getmany: "(self, active_partitions: Optional[Set["
    "faust.types.tuples.TP]], timeout: float) -> Mapping[faust.types.tuples.TP, List[Any]]",
    consumer.ThreadDelegateConsumer.seek_to_committed: "(self) -> Mapping[faust.types.tuples.TP, int]",
    consumer.Consumer.perform_seek: "(self) -> None",
    consumer.Consumer._new_offset: "(self, tp: faust.types.tuples.TP) -> Optional[int]",
    consumer.Consumer._add_gap: "(self, tp: faust.types.tuples.TP, offset_from: int, offset_to: int) -> None",
    consumer.Consumer.on_buffer_full: "(self, tp: faust.types.tuples.TP) -> None",
    consumer.Consumer.on_partitions_revoked: "(self, revoked: Set[faust.types.tuples.TP]) -> None",
    consumer.Consumer.on_partitions_assigned: "(self, assigned: Set[faust.types.tuples.TP], "
    "generation_id: int = 0) -> None",
    stock.Consumer._to_message: "(self, tp: faust.types.tuples.TP, record: Any) -> "
    "faust.types.tuples.ConsumerMessage",
    stock.Consumer.verify_event_path: "(self, now: float, tp: faust.types.tuples.TP) -> None",
    stock.Consumer._new_consumer_thread: "(self) -> 'AIOKafkaConsumerThread'",
    stock.AIOKafkaConsumerThread._create_worker_consumer: "(self, transport: 'Transport') -> "
    "aiokafka.consumer.consumer.AIOKafkaConsumer",
    stock.AIOKafkaConsumerThread._commit: "(self, offsets: Mapping[faust.types.tuples.TP, int]) -> bool",
    stock.AIOKafkaConsumerThread._fetch_records: "(self, consumer: aiokafka.consumer.consumer."
    "AIOKafkaConsumer, active_partitions: Set[faust.types.tuples.TP], timeout: Optional[float] = None, "
    "max_records: Optional[int] = None) -> Mapping[faust.types.tuples.TP, List[Any]]",
}


def test_the_versions_are_pinned_to_what_was_read() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '"faust-streaming>=0.15.3,<0.16"' in project
    assert '"aiokafka>=0.14,<0.15"' in project
    assert re.match(r"0\.15\.([3-9]|\d\d)", importlib.metadata.version("faust-streaming"))
    assert importlib.metadata.version("aiokafka").startswith("0.14.")


@pytest.mark.parametrize("method", SIGNATURES, ids=lambda method: method.__qualname__)
def test_an_overridden_method_is_as_it_was(method: object) -> None:
    assert callable(method)
    assert str(inspect.signature(method)).replace("typing.", "") == SIGNATURES[method].replace("typing.", "")


def test_what_is_overridden_exists() -> None:
    for ours, theirs in (
        (transport.Consumer, stock.Consumer),
        (thread.ChunkThread, stock.AIOKafkaConsumerThread),
        (transport.Transport, stock.Transport),
    ):
        own = {name for name in vars(ours) if not name.startswith("__")}
        added = {"place", "_place", "fetch", "_fetch", "_cut", "_arrived", "_flow", "_placing"}
        added |= {
            "seek_partition",
            "_begin_epochs",
            "_seek_all",
            "_replace",
            "_place_by_fences",
            "_try_place",
        }
        added |= {"_bounds", "_judge", "_read_end", "heard"}
        assert {name for name in own - added if not hasattr(theirs, name)} == set()


def test_faust_finds_the_transport_by_its_scheme() -> None:
    assert drivers.by_url("chunk://127.0.0.1:9092") is transport.Transport
    assert base.Transport.create_consumer is transport.Transport.create_consumer
    assert hasattr(ChunkApp.__mro__[1], "_create_directories")


def test_faust_drops_messages_by_read_offset_and_nothing_else() -> None:
    """Why read offsets are kept unknown: the drain writes them when a delivery ends, after a rewind too."""
    drain = inspect.getsource(consumer.Consumer._drain_messages)
    assert "get_read_offset = self._read_offset.__getitem__" in drain
    assert "if r_offset is None or offset >= r_offset" in drain
    offsets = transport._Unread()
    offsets["tp"] = 7
    assert offsets["tp"] is None


def test_a_drained_buffer_moves_the_position_before_anything_else_runs() -> None:
    """The chunk's end is read after the drain: aiokafka must update positions inside `getall`."""
    assert "_update_position()" in inspect.getsource(fetcher.FetchResult.getall)
    assert "await" not in inspect.getsource(fetcher.FetchResult.getall)
    drained = inspect.getsource(fetcher.Fetcher.fetched_records)
    assert "if drained or not timeout:\n                return drained" in drained


def test_an_answered_fetch_says_where_the_partition_ends_and_when_that_was() -> None:
    answered = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert answered.index("tp_state.highwater = highwater") < answered.index("tp_state.timestamp = now_ms")
    begun = inspect.getsource(subscription_state.TopicPartitionState.__init__)
    assert "self.highwater = None" in begun
    assert "self.timestamp = None" in begun


def test_a_seek_discards_what_was_fetched_before() -> None:
    assert "del self._records[tp]" in inspect.getsource(fetcher.Fetcher.seek_to)
    assert "tp_state.position != fetch_offset" in inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    state = subscription_state.TopicPartitionState
    assert isinstance(state.has_valid_position, property)
    assert isinstance(state.position, property)


def test_an_offset_out_of_range_is_an_error_with_its_partitions() -> None:
    options = inspect.signature(aiokafka.AIOKafkaConsumer).parameters
    assert {"isolation_level", "group_instance_id", "max_partition_fetch_bytes"} <= options.keys()
    assert fetcher.OffsetResetStrategy.from_str("none") == fetcher.OffsetResetStrategy.NONE
    source = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "Errors.OffsetOutOfRangeError({tp: fetch_offset})" in source


def batches(*sizes: int) -> bytes:
    """Batches of so many records end to end, offsets from 0; one of none is a marker's, at an offset."""
    found, offset = b"", 0
    for size in sizes:
        builder = DefaultRecordBatchBuilder(
            magic=2, compression_type=0, is_transactional=size == 0, producer_id=-1, producer_epoch=-1,
            base_sequence=-1, batch_size=10_000,
        )  # fmt: skip
        for at in range(max(size, 1)):
            value = b"value %d" % (offset + at)
            builder.append(at, 1_700_000_000_000 + at, b"\0\0\0\1", value, [("name", b"x")])
        batch = bytearray(builder.build())
        batch[:8] = offset.to_bytes(8, "big")
        if size == 0:
            batch[22] |= 0x20  # a control batch; its checksum is not asked for here
        found += bytes(batch)
        offset += max(size, 1)
    return found


def arrival(data: bytes, position: int) -> Any:
    """What a fetch at a position leaves, in front of a consumer that stands there."""
    place = aiokafka.TopicPartition("t", 0)
    state = SimpleNamespace(paused=False, position=position)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    assignment = SimpleNamespace(active=True, state_value=lambda _place: state)
    records = fetcher.PartitionRecords(place, MemoryRecords(data), [], position, None, None, False, 1)
    return fetcher.FetchResult(place, assignment=assignment, partition_records=records, backoff=0.1)


def drained(arrived: Any, records_max: int) -> list[Any]:
    """All that is handed on, and where the consumer stands after each time."""
    told: list[Any] = []
    position = arrived._assignment.state_value(None)
    while arrived.has_more():
        found = arrived.getall(records_max)
        assert len(found) <= records_max
        told.append([(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in found])
        told.append(position.position)
    return told


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 4), st.integers(1, 12))
def test_batches_are_handed_on_as_aiokafka_would(sizes: list[int], position: int, records_max: int) -> None:
    assume(position < max(sizes[0], 1))  # a fetch begins with the batch that the position is in
    data = batches(*sizes)
    ours = Arrivals()
    ours["place"] = arrival(data, position)
    assert drained(ours["place"], records_max) == drained(arrival(data, position), records_max)


def test_what_a_seek_left_behind_is_dropped() -> None:
    ours = Arrivals()
    ours["place"] = left = arrival(batches(5), 0)
    assert [record.offset for record in left.getall(2)] == [0, 1]
    left._assignment.state_value(None).position = 4
    assert left.getall(2) == []
    assert not left.has_more()


def test_an_arrival_is_freed_when_it_is_let_go() -> None:
    ours = Arrivals()
    ours["place"] = left = arrival(batches(5, 5), 0)
    gone = weakref.ref(left)
    left.getall(2)
    del left, ours["place"]
    assert gone() is None


def test_aiokafka_keeps_arrivals_where_we_look() -> None:
    source = inspect.getsource(fetcher.Fetcher)
    assert "self._records[tp] = FetchResult(" in source
    assert "res_or_error.getall(max_records)" in source
    assert len(re.findall(r"self\._records = ", source)) == 1  # once, when it is made
