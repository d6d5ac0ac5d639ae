"""Three brokers: the leader of a partition is killed in mid-stream, then all of them for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicSpec, ensure_topics, read_last
from monitor.edges.redis.reader import RedisReader
from tests.support.kafka_cluster import Brokers, three_brokers
from tests.support.live import settings_of, wait_until_read, worker
from tests.support.redis_cluster import until
from tests.support.redis_servers import redis_binary, running, valkey_binary
from tests.support.topology import counted
from tests.support.traffic import Message, make_log, oracle

MODELS = ("credit", "shadow")
STALL_S = 60
DOWN_S = 70.0
"""Longer than the worker lets itself stand still: it has to know that the brokers are away."""

PARTITIONS = 4


@pytest.mark.timeout(1_800)
async def test_a_leader_is_lost_and_then_every_broker(kafka_is_apache: bool, tmp_path: Path) -> None:
    if not kafka_is_apache:
        pytest.skip("needs Apache Kafka: the bundled broker is one process")
    start_s = int(time.time()) // 60 * 60 - 3_000
    messages = make_log(13, 600, start_s=start_s, span_s=2_400)
    topics = [f"predictions-{tmp_path.name}", f"labels-{tmp_path.name}"]
    store = running("store", redis_binary() or valkey_binary())
    with store as server:
        async with three_brokers(tmp_path) as brokers:
            settings = settings_of(MODELS, brokers.bootstrap, server.url, tmp_path.name, topics)
            settings["worker"]["stall_timeout"] = f"{STALL_S}s"
            outputs = [settings["kafka"][name]["topic"] for name in ("alerts", "dead_letters")]
            specs = [TopicSpec(name, PARTITIONS) for name in topics] + [
                TopicSpec(name, 1) for name in outputs
            ]
            ensure_topics(KafkaConnection(brokers.bootstrap), specs)
            with worker(settings, tmp_path), closing(RedisReader(server.url, 2)) as reader:
                until(lambda: len(reader.partitions()) == 2 * PARTITIONS, "the worker reads")
                await _produce(brokers, messages[::3], topics)
                (await brokers.leader(topics[0], 0)).kill()
                await _produce(brokers, messages[1::3], topics)
                await brokers.settle()
                wait_until_read(brokers.bootstrap, server.url, 2, topics, tmp_path)
                for broker in brokers.alive:
                    broker.kill()
                await asyncio.sleep(DOWN_S)
                for broker in brokers.all:
                    broker.start()
                await brokers.settle()
                await _produce(brokers, messages[2::3], topics)
                wait_until_read(brokers.bootstrap, server.url, 2, topics, tmp_path)
                _check(KafkaConnection(brokers.bootstrap), topics, len(messages), reader)
    # The worker that saw it all is the one that began: it waited, nobody started another.
    assert (tmp_path / "worker.log").read_text().count('"worker started"') == 1


def _check(link: KafkaConnection, topics: Sequence[str], sent: int, reader: RedisReader) -> None:
    log: list[tuple[str, int, int, bytes]] = []
    for kind, name in zip(("predictions", "labels"), topics, strict=True):
        records: list[Any] = list(read_last(link, name, 1_000_000))
        log += [(kind, record.partition, record.offset, record.value) for record in records]
    assert len(log) >= sent
    for tier in DEFAULT_TIERS[1:3]:
        assert counted(reader, MODELS, tier) == dict(oracle(log, tier.bucket_s))


async def _produce(brokers: Brokers, messages: Sequence[Message], topics: Sequence[str]) -> None:
    """Each acknowledged by two brokers; the client repeats what a leader that died did not take."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers.bootstrap, acks="all", request_timeout_ms=120_000)
    await producer.start()
    try:
        taken = []
        for message in messages:
            name = topics[0] if message.topic == "predictions" else topics[1]
            taken.append(await producer.send(name, message.value, partition=message.partition))
        await asyncio.gather(*taken)
    finally:
        await producer.stop()
