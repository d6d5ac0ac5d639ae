"""Partitions added to both topics in mid-stream: read from their beginning, whatever `start` says."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient

from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, TopicSpec, ensure_topics, partitions, read_last
from monitor.edges.redis.reader import RedisReader
from tests.support.live import wait_until_read
from tests.support.redis_cluster import until
from tests.support.redis_servers import redis_binary, running, valkey_binary
from tests.support.topology import counted
from tests.support.traffic import SLICES, YOUNG, Message, make_log, oracle

MODELS = ("credit", "shadow")
EARLY = b'{"request_id": "early", "model": "credit", "timestamp": 1, "score": 0.5}'
QUICK = """
from monitor.cli.main import app
from monitor.edges.kafka import thread
thread._METADATA_AGE_MS = 500
app()
"""
"""`monitor`, that looks for new partitions twice a second where a worker does twice a minute."""


@pytest.mark.timeout(600)
def test_partitions_are_added_in_mid_stream(kafka: str, kafka_is_apache: bool, tmp_path: Path) -> None:
    if not kafka_is_apache:
        pytest.skip("needs Apache Kafka: the bundled broker adds no partitions")
    link = KafkaConnection(kafka)
    tag = str(time.time_ns())
    topics = [f"predictions-{tag}", f"labels-{tag}"]
    start_s = int(time.time()) // 60 * 60 - 3_000
    before = make_log(21, 300, start_s=start_s, span_s=2_400, partitions=2)
    # Not as many of one topic as of the other: what belongs together lies anywhere.
    after = [
        Message(m.topic, m.partition + 2 if m.topic == "predictions" else m.partition, m.value)
        for m in make_log(22, 300, start_s=start_s, span_s=2_400, partitions=3)
    ]
    settings = _settings(kafka, tag, topics)
    outputs = [settings["kafka"][name]["topic"] for name in ("alerts", "dead_letters")]
    ensure_topics(link, [TopicSpec(name, 2) for name in topics] + [TopicSpec(name, 1) for name in outputs])
    # The predictions start with what comes: this one is there already, and does not count.
    _produce(link, [Message("predictions", 0, EARLY)], topics)
    with running("store", redis_binary() or valkey_binary()) as server:
        settings["redis"] = {"url": server.url, "shards": 2}
        reader = RedisReader(server.url, 2)
        with _worker(settings, tmp_path) as process:
            until(lambda: len(reader.partitions()) == 4, "the first partitions are taken")
            _produce(link, before, topics)
            # The new partitions have records before the worker knows of them.
            process.send_signal(signal.SIGSTOP)
            admin = KafkaAdminClient(bootstrap_servers=kafka)
            admin.create_partitions({topics[0]: 5, topics[1]: 3})
            admin.close()
            until(lambda: len(partitions(link, topics)) == 8, "the new partitions are there")
            _produce(link, after, topics)
            process.send_signal(signal.SIGCONT)
            wait_until_read(kafka, server.url, 2, topics, tmp_path)
        log: list[tuple[str, int, int, bytes]] = []
        for kind, name in zip(("predictions", "labels"), topics, strict=True):
            records: list[Any] = list(read_last(link, name, 1_000_000))
            log += [(kind, r.partition, r.offset, r.value) for r in records if r.value != EARLY]
        assert len(log) == len(before) + len(after)
        for tier in DEFAULT_TIERS[1:3]:
            assert counted(reader, MODELS, tier) == dict(oracle(log, tier.bucket_s))
        reader.close()


@contextmanager
def _worker(settings: dict[str, Any], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    config = directory / "monitor.yaml"
    config.write_text(yaml.safe_dump(settings))
    with (directory / "worker.log").open("wb") as log:
        command = [sys.executable, "-c", QUICK, "run", "--config", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            assert process.wait(40) == 0


def _produce(link: KafkaConnection, messages: Sequence[Message], topics: Sequence[str]) -> None:
    with TopicProducer(link) as producer:
        for message in messages:
            name = topics[0] if message.topic == "predictions" else topics[1]
            producer.send(name, message.value, partition=message.partition)
    assert producer.failed == 0


def _settings(bootstrap: str, tag: str, topics: Sequence[str]) -> dict[str, Any]:
    model = {"task": "binary", "slices": [*SLICES, YOUNG], "labels": {"wait": "1h"}}
    return {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "group_id": f"monitor-{tag}",
            "predictions": {"topics": [topics[0]], "start": "latest"},
            "labels": {"topics": [topics[1]]},
            "alerts": {"topic": f"alerts-{tag}"},
            "dead_letters": {"topic": f"dead-{tag}"},
        },
        "models": dict.fromkeys(MODELS, model),
        "worker": {"rebalance_timeout": "3s", "stall_timeout": "20s"},
    }
