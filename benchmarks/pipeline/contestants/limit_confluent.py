"""The limit: confluent-kafka's consume and orjson, nothing else."""

from __future__ import annotations

import orjson
from clock import Clock, arguments
from confluent_kafka import Consumer, TopicPartition

bootstrap, topics, records, _ = arguments()
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "limit", "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
clock = Clock(records)
while True:
    messages = consumer.consume(5_000, 0.5)
    for message in messages:
        orjson.loads(message.value())
    if messages:
        clock.see(len(messages))
