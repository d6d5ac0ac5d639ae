"""A worker on a full disk: it keeps nothing there, so it counts on; what it would log is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, read_last
from monitor.edges.redis.reader import RedisReader
from tests.support.live import make_topics, settings_of, wait_until_read
from tests.support.redis_servers import redis_binary, running, valkey_binary
from tests.support.topology import counted
from tests.support.traffic import Message, make_log, oracle

MODELS = ("credit", "shadow")


FULL = ("sh", "-c", 'ulimit -f 0 && exec "$@"', "sh")
"""Runs a command whose every write to a file fails, as on a full disk."""


@pytest.mark.timeout(600)
def test_a_full_disk_stops_no_counting(kafka: str, tmp_path: Path) -> None:
    tag = str(time.time_ns())
    topics = [f"predictions-{tag}", f"labels-{tag}"]
    start_s = int(time.time()) // 60 * 60 - 3_000
    messages = make_log(31, 200, start_s=start_s, span_s=2_400, partitions=2)
    log, config = tmp_path / "worker.log", tmp_path / "monitor.yaml"
    with running("store", redis_binary() or valkey_binary()) as server:
        settings = settings_of(MODELS, kafka, server.url, tag, topics)
        config.write_text(yaml.safe_dump(settings))
        make_topics(kafka, settings, 2)
        _produce(KafkaConnection(kafka), messages, topics)
        command = [*FULL, sys.executable, "-m", "monitor", "run", "--config", str(config)]
        with log.open("wb") as out, closing(RedisReader(server.url, 2)) as reader:
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd=tmp_path)
            try:
                wait_until_read(kafka, server.url, 2, topics, tmp_path)
                assert process.poll() is None
                records = _read(KafkaConnection(kafka), topics)
                assert len(records) == len(messages)
                for tier in DEFAULT_TIERS[1:3]:
                    assert counted(reader, MODELS, tier) == dict(oracle(records, tier.bucket_s))
            finally:
                process.terminate()
                code = process.wait(40)
        assert code == 0
        assert log.read_bytes() == b""
        assert {path.name for path in tmp_path.iterdir()} == {"worker.log", "monitor.yaml"}


def _produce(link: KafkaConnection, messages: Sequence[Message], topics: Sequence[str]) -> None:
    with TopicProducer(link) as producer:
        for message in messages:
            name = topics[0] if message.topic == "predictions" else topics[1]
            producer.send(name, message.value, partition=message.partition)
    assert producer.failed == 0


def _read(link: KafkaConnection, topics: Sequence[str]) -> list[tuple[str, int, int, bytes]]:
    log: list[tuple[str, int, int, bytes]] = []
    for kind, name in zip(("predictions", "labels"), topics, strict=True):
        records: list[Any] = list(read_last(link, name, 1_000_000))
        log += [(kind, record.partition, record.offset, record.value) for record in records]
    return log
