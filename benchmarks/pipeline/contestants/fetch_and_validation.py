"""Fetch and validation alone: aiokafka's getmany and our reader, every feature held against the schema."""

from __future__ import annotations

import asyncio

import aiokafka
from clock import Clock, arguments

from benchmarks.pipeline.traffic import make, plans
from monitor.core.decode import Limits
from monitor.core.mapping import Mapping
from monitor.core.typed_reader import ChunkReader
from monitor.edges.collector import pace_collector


async def main() -> None:
    bootstrap, topics, records, _ = arguments()
    reader = ChunkReader("predictions", Mapping.parse(), plans(make(1)), Limits())
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    partitions = [aiokafka.TopicPartition(topic, 0) for topic in topics]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    pace_collector()
    clock = Clock(records)
    while True:
        for fetched in (await consumer.getmany(timeout_ms=500, max_records=5_000)).values():
            reader.read(fetched)
            clock.see(len(fetched))


asyncio.run(main())
