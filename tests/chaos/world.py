"""One run: brokers, a Redis, workers behind proxies, traffic, and a verdict at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis
from kafka.errors import KafkaError as ClientError

from monitor.core.errors import KafkaError, StoreUnavailable
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicSpec, ensure_topics
from monitor.edges.redis.reader import RedisReader
from monitor.ports import Partition
from tests.chaos.processes import ApacheBroker, RedisProcess, Supervisor, WorkerProcess, closing
from tests.chaos.traffic import MODELS, Feed
from tests.chaos.verdict import Verdict, judge
from tests.support.ends import true_ends
from tests.support.traffic import SLICES, YOUNG

T = TypeVar("T")

SHARDS = 2
SESSION_S = 6.0
"""A worker that stands still for so long is given up: while a run watches, but not where cores are short."""

CATCH_UP_S = 600.0
"""A run that has not recovered by then stands still; less would fail runs for want of cores alone."""

_POLL_S = 0.5

SCHEMA = {
    "version": 1,
    "features": {
        "sex": {"type": "category", "categories": ["Female", "Male"]},
        "age": {"type": "number", "minimum": 0, "maximum": 120},
        "device": {"type": "category", "categories": ["Android", "iPhone"]},
        "income": {"type": "number"},
    },
}
"""Of the model `shadow`, whose records have no income: an alert must come of it, whatever happens."""


class NotRecovered(AssertionError):
    """The workers did not read everything in time."""


@dataclass
class Broker:
    """A broker that runs: where it is and, if it is ours to hurt, its process."""

    bootstrap: str
    apache: ApacheBroker | None = None


class World:
    """Everything a fault may touch.

    Args:
        broker: shared by runs.
        directory: of this run.
        name: unique among the runs of a broker.
        requests: per model.
        seed: of the traffic.
    """

    def __init__(self, broker: Broker, directory: Path, name: str, requests: int, seed: int) -> None:
        self.broker = broker
        self.link = KafkaConnection(broker.bootstrap)
        self.names = {role: f"{role}-{name}" for role in ("predictions", "labels", "alerts", "dead")}
        self.feed = Feed(self.link, self.names, seed, requests)
        self.redis = RedisProcess(directory / "store")
        self.workers: list[WorkerProcess] = []
        self.late_topics: list[TopicSpec] = [TopicSpec(self.names["alerts"], 1)]
        self._directory = directory
        self._name = name
        self._stack = ExitStack()

    def __enter__(self) -> World:
        with ExitStack() as stack:
            specs = [TopicSpec(self.names[kind], 4) for kind in ("predictions", "labels")]
            ensure_topics(self.link, [*specs, TopicSpec(self.names["dead"], 1)])
            self.redis.start()
            stack.callback(self.redis.kill)
            for number in range(2):
                self.workers.append(closing(stack, self.worker(f"worker-{number}")))
            stack.callback(self._kill)  # all is judged by then
            supervisor = Supervisor(self.workers)
            stack.callback(supervisor.end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def worker(self, name: str) -> WorkerProcess:
        """A worker on these services, not yet started."""
        return WorkerProcess(self._settings(), self.redis.port, self._directory, name)

    def finish_topics(self) -> None:
        """Create what was left out so far."""
        self._patiently(lambda: ensure_topics(self.link, self.late_topics))
        self.late_topics = []

    def caught_up(self, ends: dict[Partition, int]) -> None:
        """Wait until every fence is at or past `ends`."""
        began = time.monotonic()
        reader = RedisReader(self.redis.url, SHARDS)
        states: Any = {}
        try:
            while time.monotonic() - began < CATCH_UP_S:
                try:
                    states = reader.partitions()
                except StoreUnavailable:
                    states = {}
                if all(place in states and states[place].offset >= end for place, end in ends.items()):
                    return
                time.sleep(_POLL_S)
        finally:
            reader.close()
        behind = {str(p): (end, states.get(p)) for p, end in ends.items()}
        raise NotRecovered(f"not read in {CATCH_UP_S:.0f} s: {behind}")

    def verdict(self) -> Verdict:
        """Wait for quiet, and judge."""
        self.feed.rest().join()
        self.finish_topics()
        names = [self.names["predictions"], self.names["labels"]]
        read = self._patiently(lambda: true_ends(self.link, names))
        self.caught_up({place: max(end, self.feed.ends.get(place, 0)) for place, end in read.items()})
        self._outboxes_empty()
        return judge(self.link, self.names, self.redis.url, SHARDS, self.feed.kafka_ms, len(self.feed))

    def _kill(self) -> None:
        for worker in self.workers:
            worker.kill()

    def _outboxes_empty(self) -> None:
        """Wait until the alert that must come has come, and all that waits is published."""
        slots = [*(f"mon:{n}" for n in range(SHARDS)), *(f"mon:eval:{model}" for model in MODELS)]
        deadline = time.monotonic() + CATCH_UP_S
        with redis.Redis.from_url(self.redis.url) as client:
            while time.monotonic() < deadline:
                alerted: Any = client.hlen("{mon:eval:shadow}:alerts")
                if alerted and not any(client.xlen(f"{{{slot}}}:outbox") for slot in slots):
                    return
                time.sleep(_POLL_S)
        raise NotRecovered("an outbox was not emptied, or no alert was raised")

    def _patiently(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + CATCH_UP_S
        while True:
            try:
                return call()
            except (KafkaError, ClientError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _settings(self) -> dict[str, Any]:
        schema = self._directory / "shadow.yaml"
        schema.write_text(json.dumps(SCHEMA))
        model = {"task": "binary", "slices": [*SLICES, YOUNG], "labels": {"wait": "1h"}}
        return {
            "kafka": {
                "bootstrap_servers": self.broker.bootstrap,
                "group_id": f"monitor-{self._name}",
                "predictions": {"topics": [self.names["predictions"]]},
                "labels": {"topics": [self.names["labels"]]},
                "alerts": {"topic": self.names["alerts"]},
                "dead_letters": {"topic": self.names["dead"]},
            },
            "redis": {"shards": SHARDS},
            "models": {"credit": model, "shadow": model | {"schema": str(schema)}},
            # A session is twice the rebalance timeout.
            "worker": {
                "rebalance_timeout": f"{SESSION_S / 2:.0f}s",
                "stall_timeout": "30s",
            },
        }
