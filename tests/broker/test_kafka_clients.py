"""Topics, the publisher and the alert stream against a real broker."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from monitor.core.errors import KafkaError
from monitor.core.records import Alert, AlertState
from monitor.edges.embedded import free_port
from monitor.edges.kafka import topics
from monitor.edges.kafka.alert_stream import AlertStream, Newest
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.publisher import KafkaPublisher
from monitor.edges.kafka.topics import TopicProducer, TopicSpec
from monitor.ports import OutboxEntry, Partition, TopicKind

MakeTopic = Callable[..., str]


def alert(identity: str, lease_epoch: int, sequence: int, **changes: Any) -> Alert:
    now = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    values: dict[str, Any] = {
        "alert_id": f"{identity}-1",
        "state": "open",
        "severity": "page",
        "model": "income",
        "kind": "violation_rate",
        "subject": {"feature": "age", "code": "out_of_range"},
        "summary": "age is out of range in 100 % of requests",
        "advice": "look upstream",
        "began_at": now,
        "opened_at": now,
        "published_at": now,
        "log_evidence": 20.0,
        "log_threshold": 12.0,
        "effect": 1.0,
        "effect_unit": "rate",
        "rows": 100,
    }
    return Alert(identity=identity, lease_epoch=lease_epoch, sequence=sequence, **{**values, **changes})


def entries(*alerts: Alert, kind: TopicKind = "alerts") -> list[OutboxEntry]:
    return [
        OutboxEntry(str(at), kind, one.identity.encode(), one.model_dump_json().encode())
        for at, one in enumerate(alerts)
    ]


def test_topics_are_created_once_and_known_by_id(kafka: str, make_topic: MakeTopic) -> None:
    connection = KafkaConnection(kafka)
    name = make_topic(partitions=3)
    assert topics.ensure_topics(connection, [TopicSpec(name, 5)]) == []
    assert topics.partitions(connection, [name]) == [Partition(name, number) for number in range(3)]
    ids = topics.topic_ids(connection, [name])
    assert ids == topics.topic_ids(connection, [name])
    assert len(ids[name]) == 36
    assert topics.cluster_id(connection) == topics.cluster_id(connection) != ""


def test_what_a_group_has_committed_can_be_asked_for(kafka: str, make_topic: MakeTopic) -> None:
    connection = KafkaConnection(kafka)
    name = make_topic(partitions=2)
    places = [Partition(name, number) for number in range(2)]
    assert topics.committed_offsets(connection, f"group-{name}", []) == {}
    assert topics.committed_offsets(connection, f"group-{name}", places) == {}
    consumer = KafkaConsumer(
        bootstrap_servers=kafka,
        group_id=f"group-{name}",
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    consumer.assign([TopicPartition(name, 1)])
    consumer.commit({TopicPartition(name, 1): OffsetAndMetadata(7, "", -1)})
    consumer.close(autocommit=False)
    assert topics.committed_offsets(connection, f"group-{name}", places) == {places[1]: 7}


def test_a_missing_topic_is_named(kafka: str) -> None:
    with pytest.raises(KafkaError, match=r"nothing-here \(UnknownTopicOrPartitionError\).*monitor init"):
        topics.topic_ids(KafkaConnection(kafka), ["nothing-here"])


def test_absent_brokers_are_an_error_for_people() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(KafkaError, match=f"cluster id failed: no Kafka broker answers at {address}"):
        topics.cluster_id(KafkaConnection(address))


def test_the_last_records_of_a_topic(kafka: str, make_topic: MakeTopic) -> None:
    connection, name = KafkaConnection(kafka), make_topic(partitions=2)
    assert topics.read_last(connection, name, 10) == []
    with TopicProducer(connection) as producer:
        for number in range(500):
            headers = [("n", b"%d" % number)]
            producer.send(name, b"%d" % number, b"k", 1_000 + number, number % 2, headers)
    assert (producer.delivered, producer.failed) == (500, 0)
    last = topics.read_last(connection, name, 20)
    assert [record.value for record in last] == [b"%d" % number for number in range(480, 500)]
    some = topics.read_last(connection, name, 20, bytes_max=4_000)
    assert 5 < len(some) < 15
    assert some == last[-len(some) :], "of large records fewer, and the newest"
    assert topics.read_last(connection, name, 20, bytes_max=1) == last[-1:]
    assert (last[-1].timestamp, last[-1].key, list(last[-1].headers)) == (1_499, b"k", [("n", b"499")])
    bounds = topics.offset_bounds(connection, topics.partitions(connection, [name]))
    assert {kept.earliest for kept in bounds.values()} == {0}


def test_an_undeliverable_record_is_counted(kafka: str, make_topic: MakeTopic) -> None:
    name = make_topic()
    with TopicProducer(KafkaConnection(kafka)) as producer:
        producer.send(name, b"fits")
        with pytest.raises(KafkaError, match=f"sending to {name} failed"):
            producer.send(name, b"x" * (9 << 20))
    assert (producer.delivered, producer.failed) == (1, 0)


async def test_what_is_published_arrives_in_order(kafka: str, make_topic: MakeTopic) -> None:
    names = {"alerts": make_topic("alerts", compacted=True), "dead_letters": make_topic("dead")}
    states = [AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.RESOLVED]
    sent = [alert(f"id-{number % 2}", 1, number, state=states[number % 3]) for number in range(50)]
    async with KafkaPublisher(KafkaConnection(kafka), names) as publisher:
        await publisher.publish([])
        await publisher.publish(entries(*sent[:30]))
        await publisher.publish([OutboxEntry("x", "dead_letters", b"", b"bad"), *entries(*sent[30:])])
    connection = KafkaConnection(kafka)
    (letter,) = await asyncio.to_thread(topics.read_last, connection, names["dead_letters"], 5)
    assert (letter.key, letter.value) == (None, b"bad")

    def received() -> list[Alert]:
        with AlertStream(connection, names["alerts"], from_beginning=True, timeout_s=60) as stream:
            return list(itertools.islice(stream, len(sent)))

    assert await asyncio.to_thread(received) == sent


async def test_publishing_where_nobody_is_gives_up_in_time() -> None:
    async with KafkaPublisher(KafkaConnection(f"127.0.0.1:{free_port()}"), {"alerts": "a"}, 1.0) as publisher:
        started_s = time.monotonic()
        with pytest.raises(KafkaError):
            await publisher.publish(entries(alert("a", 1, 1)))
        assert time.monotonic() - started_s < 30


async def test_a_missing_topic_does_not_hang(kafka: str, kafka_is_apache: bool) -> None:
    if not kafka_is_apache:
        pytest.skip("the bundled broker makes a topic of whatever is written to")
    async with KafkaPublisher(KafkaConnection(kafka), {"alerts": "nothing-here"}, 2.0) as publisher:
        with pytest.raises(KafkaError, match=r"nothing-here|within 2 s"):
            await publisher.publish(entries(alert("a", 1, 1)))


def test_a_stream_that_begins_now_shows_what_comes(kafka: str, make_topic: MakeTopic) -> None:
    name, connection = make_topic("alerts"), KafkaConnection(kafka)

    def publish(*alerts: Alert) -> None:
        with TopicProducer(connection) as producer:
            for one in alerts:
                producer.send(name, one.model_dump_json().encode(), one.identity.encode())
                producer.flush()

    publish(alert("old", 1, 1))
    with AlertStream(kafka, name, timeout_s=60) as stream:
        publish(
            alert("a", 2, 5),
            alert("b", 1, 1),
            alert("a", 2, 5),  # published again
            alert("a", 1, 9),  # a zombie's
            alert("a", 2, 6, state="resolved"),
            alert("a", 3, 0),  # a new lease
        )
        with TopicProducer(connection) as producer:
            producer.send(name, b"{not an alert")
            producer.send(name, None, b"a")
        publish(alert("end", 9, 9))
        told = itertools.takewhile(lambda one: one.identity != "end", stream)
        seen = [(one.identity, one.lease_epoch, one.sequence) for one in told]
        assert seen == [("a", 2, 5), ("b", 1, 1), ("a", 2, 6), ("a", 3, 0)]
        assert stream.unreadable == 1


def test_a_stream_needs_its_topic(kafka: str) -> None:
    with pytest.raises(KafkaError, match="nothing-here"), AlertStream(kafka, "nothing-here"):
        pass


orders = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 5), st.sampled_from(AlertState)),
    max_size=40, unique_by=lambda record: record[:3],
)  # fmt: skip


@given(orders, st.randoms())
def test_transitions_pass_in_order_and_once(
    records: list[tuple[str, int, int, AlertState]], rng: random.Random
) -> None:
    """Whatever comes late or again: nobody is told the same twice, and the last that is told is the truth."""
    newest = Newest()
    told = [*records, *(rng.choice(records) for _ in records)]
    rng.shuffle(told)
    passed = [record for record in told if newest.passes(alert(*record[:3], state=record[3]))]
    for identity in "ab":
        mine = [record[1:] for record in passed if record[0] == identity]
        assert mine == sorted(set(mine))
        assert all(one[2] is not other[2] for one, other in itertools.pairwise(mine))
        every = [record[1:] for record in records if record[0] == identity]
        if every:
            assert mine[-1][2] is max(every)[2]


def test_what_stands_is_not_told_again_with_other_figures() -> None:
    newest = Newest()
    assert newest.passes(alert("a", 1, 1))
    assert not newest.passes(alert("a", 1, 2, summary="age is out of range in 90 % of requests"))
    assert not newest.passes(alert("a", 2, 1))
    assert newest.passes(alert("a", 2, 2, severity="notice"))
    assert newest.passes(alert("a", 2, 3, severity="notice", consequence_of="b"))
    assert newest.passes(alert("a", 2, 4, state="resolved", severity="notice", consequence_of="b"))
    assert newest.passes(alert("a", 2, 5, alert_id="another"))
    assert not newest.passes(alert("a", 2, 3, alert_id="another"))
