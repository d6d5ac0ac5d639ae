"""Copies the first records of one topic to another: BOOTSTRAP FROM TO RECORDS."""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, Producer, TopicPartition

bootstrap, source, target, records = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "copy", "enable.auto.commit": False})
consumer.assign([TopicPartition(source, 0, 0)])
values: list[bytes] = []
while len(values) < int(records):
    values += [message.value() for message in consumer.consume(5_000, 0.5)]
producer = Producer({"bootstrap.servers": bootstrap, "queue.buffering.max.messages": 10_000_000})
for value in values[: int(records)]:
    producer.produce(target, value, partition=0)
producer.flush(60)
