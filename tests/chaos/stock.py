"""The world with stock Faust in place of the monitor: same traffic and faults, an oracle on the same topics.

Faust's position is what its group committed. A record below it that was not counted is lost for good; one
above it may yet be counted, and is told apart as unread.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import redis
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError as ClientError

from monitor.edges.kafka.topics import read_last
from monitor.ports import Partition
from tests.chaos import stock_worker
from tests.chaos.faults import Fault
from tests.chaos.processes import WorkerProcess, fork
from tests.chaos.traffic import MODELS, SPREAD_S
from tests.chaos.verdict import ALL
from tests.chaos.world import SESSION_S, Broker, NotRecovered, World

CATCH_UP_S = 90.0
_POLL_S = 0.5


def run_stock(broker: Broker, seed: int, requests: int, directory: Path, fault: Fault) -> dict[str, Any]:
    """One run with one fault, so that what is lost is of that fault; what the journal keeps of it."""
    kind = "bundled" if broker.apache is None else "apache"
    entry: dict[str, Any] = {"stock_faust": fault.name, "seed": seed, "broker": kind, "error": None}
    try:
        name = f"stock-{seed}-{time.time_ns()}"
        world = StockWorld(broker, directory, name, requests, seed)
        with world:
            share = len(world.feed) // 3
            world.feed.share(share, 0).join()
            world.caught_up(world.feed.ends)
            feeding = world.feed.share(share, SPREAD_S)
            entry["struck"] = fault.strike(world, random.Random(seed))
            over = time.monotonic()
            feeding.join()
            entry["recovered"] = world.reached(world.feed.ends)
            entry["recovery_s"] = round(time.monotonic() - over, 2)
            world.feed.rest().join()
            world.finish_topics()
            entry["ended"] = world.reached(world.feed.ends)
            entry |= asdict(world.count())
    except Exception as error:  # noqa: BLE001 - a campaign goes on, and shows it
        entry["error"] = f"{type(error).__name__}: {error}"[:2_000]
    return entry


@dataclass
class Count:
    """What stock Faust came to in one run."""

    records: int = 0
    lost: int = 0
    double: int = 0
    unread: int = 0


class StockProcess(WorkerProcess):
    """A worker of stock Faust behind a proxy of its own."""

    flush = b"\r\nEXEC\r\n"

    def __init__(self, settings: dict[str, Any], redis_port: int, directory: Path, name: str) -> None:
        super().__init__(settings, redis_port, directory, name)
        kafka = settings["kafka"]
        topics = [*kafka["predictions"]["topics"], *kafka["labels"]["topics"]]
        self._stock = (kafka["bootstrap_servers"], kafka["group_id"], topics)

    def _fork(self) -> ForkServerProcess:
        url = f"redis://127.0.0.1:{self.proxy.port}/0"
        return fork(stock_worker.serve, *self._stock, url, SESSION_S, str(self._log))


class StockWorld(World):
    """One run of stock Faust."""

    def worker(self, name: str) -> WorkerProcess:
        """A worker on these services, not yet started."""
        return StockProcess(self._settings(), self.redis.port, self._directory, name)

    def caught_up(self, ends: dict[Partition, int]) -> None:
        """Wait until the group has committed all of `ends`."""
        deadline = time.monotonic() + CATCH_UP_S
        while time.monotonic() < deadline:
            at = self._committed(ends)
            if all(at[place] >= end for place, end in ends.items()):
                return
            time.sleep(_POLL_S)
        raise NotRecovered(f"not committed in {CATCH_UP_S:.0f} s")

    def reached(self, ends: dict[Partition, int]) -> bool:
        """Whether the group comes to commit all of `ends`: what stands still is part of the comparison."""
        try:
            self.caught_up(ends)
        except NotRecovered:
            return False
        return True

    def count(self) -> Count:
        """What was counted of what is in the topics, given what is committed."""
        topics = [self.names[kind] for kind in ("predictions", "labels")]
        records: list[Any] = [record for topic in topics for record in read_last(self.link, topic, ALL)]
        places = {Partition(record.topic, record.partition) for record in records}
        with redis.Redis.from_url(self.redis.url) as client:
            found = {
                (key, field.decode()): int(amount)
                for kind in ("predictions", "labels")
                for model in MODELS
                for key in [stock_worker.count_key(kind, model)]
                for field, amount in client.hgetall(key).items()
            }
        return compared(records, self._committed(dict.fromkeys(places, 0)), found)

    def _committed(self, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        places = {place: TopicPartition(place.topic, place.number) for place in ends}
        group = f"monitor-{self._name}"
        consumer = KafkaConsumer(**self.link.client_options(), group_id=group, enable_auto_commit=False)
        try:
            consumer.assign(list(places.values()))
            return {place: consumer.committed(client) or 0 for place, client in places.items()}
        except ClientError:
            return dict.fromkeys(ends, 0)  # the brokers are away: asked again
        finally:
            consumer.close(autocommit=False)


def compared(
    records: Sequence[Any], committed: Mapping[Partition, int], found: Mapping[tuple[str, str], int]
) -> Count:
    """Lost, double and unread records.

    Args:
        records: all of the topics.
        committed: the position of the group.
        found: (key, field) → times counted.
    """
    passed: Counter[tuple[str, str]] = Counter()
    ahead: Counter[tuple[str, str]] = Counter()
    for record in records:
        if (place := stock_worker.place_of(record.value)) is None:
            continue
        side = passed if record.offset < committed[Partition(record.topic, record.partition)] else ahead
        side[place] += 1
    count = Count(records=len(records))
    for place in passed.keys() | ahead.keys() | found.keys():
        times = found.get(place, 0)
        missing = passed[place] + ahead[place] - times
        lost = max(passed[place] - times, 0)
        count.lost += lost
        count.unread += max(missing, 0) - lost
        count.double += max(-missing, 0)
    return count
