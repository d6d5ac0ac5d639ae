"""Where topics end: read, for the bundled broker reports the place at which its last batch begins."""

from __future__ import annotations

from collections.abc import Sequence

from kafka import KafkaConsumer, TopicPartition

from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import end_offsets, partitions
from monitor.ports import Partition

_EMPTY_POLL_MS = 1_000


def true_ends(link: KafkaConnection, names: Sequence[str]) -> dict[Partition, int]:
    """The offset after the last record of each partition: read on from the reported end until none comes."""
    ends = end_offsets(link, partitions(link, names))
    clients = {place: TopicPartition(place.topic, place.number) for place in ends}
    consumer = KafkaConsumer(**link.client_options(), group_id=None, enable_auto_commit=False)
    try:
        consumer.assign(list(clients.values()))
        for place, client in clients.items():
            consumer.seek(client, ends[place])
        while consumer.poll(timeout_ms=_EMPTY_POLL_MS):
            pass
        return {place: int(consumer.position(client)) for place, client in clients.items()}
    finally:
        consumer.close(autocommit=False)
