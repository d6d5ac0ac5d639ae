"""The limit of a program on aiokafka: getmany and orjson, nothing else."""

from __future__ import annotations

import asyncio

import aiokafka
import orjson
from clock import Clock, arguments


async def main() -> None:
    bootstrap, topics, records, _ = arguments()
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    partitions = [aiokafka.TopicPartition(topic, 0) for topic in topics]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    clock = Clock(records)
    while True:
        for fetched in (await consumer.getmany(timeout_ms=500, max_records=5_000)).values():
            for record in fetched:
                orjson.loads(record.value)
            clock.see(len(fetched))


asyncio.run(main())
