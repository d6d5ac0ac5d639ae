"""A worker process on services of its own, records sent to it while it runs, and how far it has counted."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from confluent_kafka import Producer

from benchmarks.pipeline.traffic import PLAIN, TENTH_SLICES, features_of, schema_of
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicSpec, ensure_topics
from monitor.edges.redis.reader import RedisReader
from monitor.ports import Partition

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 4
BODIES = 500
LABEL_WAIT = "60s"


@dataclass
class Feed:
    """Sends records to partitions in turn, and remembers when."""

    producer: Producer
    rng: random.Random
    keep_times: bool = True
    sent_s: list[list[float]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    count: int = 0

    def __post_init__(self) -> None:
        self._bodies = [features_of(self.rng, PLAIN) for _ in range(BODIES)]
        self._texts = [json.dumps(body) for body in self._bodies]
        self._broken: dict[str, list[str]] = {}

    def send(self, rows: int, broken: str | None = None) -> None:
        """Some records, stamped now; one feature of all of them null."""
        texts = self._texts if broken is None else self._without(broken)
        now_s, at_s = time.time(), time.perf_counter()
        for _ in range(rows):
            number = self.count
            place = number % PARTITIONS
            value = (
                f'{{"request_id":"{number:016x}","model":"credit","model_version":"3","timestamp":{now_s:.3f},'
                f'"features":{texts[number % BODIES]},"score":{(number * 7919 % 9973) / 9973:.6f}}}'
            )
            self.producer.produce("predictions", value, partition=place)
            if self.keep_times:
                self.sent_s[place].append(at_s)
            self.count += 1
        self.producer.poll(0)

    def label(self, first: int, last: int) -> None:
        """Labels of the predictions from `first` to before `last`."""
        now_s = time.time()
        for number in range(first, last):
            value = (
                f'{{"request_id":"{number:016x}","model":"credit","timestamp":{now_s:.3f},'
                f'"label":{int(number * 104_729 % 9973 < number * 7919 % 9973)}}}'
            )
            self.producer.produce("labels", value, partition=number % PARTITIONS)
        self.producer.poll(0)

    def _without(self, feature: str) -> list[str]:
        if feature not in self._broken:
            self._broken[feature] = [json.dumps({**body, feature: None}) for body in self._bodies]
        return self._broken[feature]


@contextmanager
def worker(
    folder: Path, bootstrap: str, url: str, processes: int = 1, shards: int = 1, labels: bool = False
) -> Iterator[int]:
    """`monitor run` on these services; its process id."""
    schema_of().dump(folder / "credit.yaml")
    model = {"schema": "credit.yaml", "slices": list(TENTH_SLICES), "labels": {"wait": LABEL_WAIT}}
    settings = {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "predictions": {"topics": ["predictions"]},
            **({"labels": {"topics": ["labels"]}} if labels else {}),
            "alerts": {"topic": "alerts"},
            "dead_letters": {"topic": "dead-letters"},
        },
        "redis": {"url": url, "shards": shards},
        "models": {"credit": model},
        "worker": {"rebalance_timeout": "3s"},
    }
    path = folder / "monitor.yaml"
    path.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "monitor", "run", "-c", str(path), "--processes", str(processes)]
    process = subprocess.Popen([*command, "--log-level", "warning"])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def topics(bootstrap: str) -> Iterator[Producer]:
    """The topics made, and a producer."""
    counts = {"predictions": PARTITIONS, "labels": PARTITIONS, "alerts": 1, "dead-letters": 1}
    ensure_topics(KafkaConnection(bootstrap), [TopicSpec(name, count) for name, count in counts.items()])
    settings = {"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 10_000_000}
    # Its words about a broker that ends first are nobody's news.
    producer = Producer({**settings, "log_level": 0})
    yield producer
    producer.flush(60)


def counted(reader: RedisReader, topic: str = "predictions") -> list[int]:
    """Fence of each partition."""
    found = reader.partitions()
    places = (Partition(topic, number) for number in range(PARTITIONS))
    return [found[place].offset if place in found else 0 for place in places]
