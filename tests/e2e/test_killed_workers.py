"""Two workers on a real broker, killed again and again, and a store that loses its last second.

`MONITOR_TEST_KILLED_ROWS` sets the number of requests of each model (default 4,000).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import (
    TopicProducer,
    TopicSpec,
    ensure_topics,
    partitions,
    read_last,
)
from monitor.edges.redis.reader import RedisReader
from tests.support.ends import true_ends
from tests.support.redis_servers import Server, free_port, redis_binary, running, valkey_binary
from tests.support.topology import counted
from tests.support.traffic import SLICES, YOUNG, make_log, oracle

ROWS = int(os.environ.get("MONITOR_TEST_KILLED_ROWS", "4000"))
KILLS = 5
MODELS = ("credit", "shadow")
QUIET_S = 120.0 + ROWS / 200


def settings(bootstrap: str, redis_url: str, predictions: str, labels: str, suffix: str) -> dict[str, object]:
    model = {"task": "binary", "slices": [*SLICES, YOUNG], "labels": {"wait": "1h"}}
    return {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "group_id": f"monitor-{suffix}",
            "predictions": {"topics": [predictions]},
            "labels": {"topics": [labels]},
            "alerts": {"topic": f"alerts-{suffix}"},
            "dead_letters": {"topic": f"dead-{suffix}"},
        },
        "redis": {"url": redis_url, "shards": 2},
        "models": dict.fromkeys(MODELS, model),
    }


class Fleet:
    """Worker processes that are killed and started again."""

    def __init__(self, config: Path, size: int, log: Path) -> None:
        self._config = config
        self._log = log.open("wb")
        self.workers = [self._start() for _ in range(size)]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "monitor", "run", "--config", str(self._config)]
        return subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def kill(self, index: int) -> None:
        """SIGKILL one and start its successor."""
        self.workers[index].send_signal(signal.SIGKILL)
        self.workers[index].wait()
        self.workers[index] = self._start()

    def revive(self) -> None:
        """Start again what ended by itself: a supervisor's part."""
        for index, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.workers[index] = self._start()

    def stop(self) -> None:
        """SIGTERM all."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(timeout=40)
            except subprocess.TimeoutExpired:
                worker.kill()
        self._log.close()


def lose_a_second(server: Server, directory: Path) -> None:
    """Kill the store and cut its append-only file back to what it was a second before."""
    current = max((directory / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    size = current.stat().st_size
    time.sleep(1.0)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    with current.open("rb+") as file:
        file.truncate(size)


@pytest.mark.timeout(3_600)
def test_killed_workers_and_a_store_that_forgets(kafka: str, kafka_is_apache: bool, tmp_path: Path) -> None:
    binary = (redis_binary() if kafka_is_apache else None) or valkey_binary()
    rng = random.Random(ROWS)
    start_s = int(time.time()) // 60 * 60 - 3_000
    messages = make_log(7, ROWS, start_s=start_s, span_s=2_400)
    suffix = tmp_path.name.replace("_", "-") + str(os.getpid())
    link = KafkaConnection(kafka)
    names = [f"predictions-{suffix}", f"labels-{suffix}"]
    ensure_topics(link, [TopicSpec(name, 4) for name in names])
    ensure_topics(link, [TopicSpec(f"alerts-{suffix}", 1), TopicSpec(f"dead-{suffix}", 1)])

    aof = ("--appendonly", "yes", "--appendfsync", "everysec")
    directory = tmp_path / "store"
    directory.mkdir()
    port = free_port()
    config = tmp_path / "monitor.yaml"
    url = f"redis://127.0.0.1:{port}/0"
    config.write_text(yaml.safe_dump(settings(kafka, url, names[0], names[1], suffix)))

    with running("store", binary, *aof, directory=directory, port=port) as server:
        fleet = Fleet(config, 2, tmp_path / "workers.log")
        try:
            feed = feeding(link, messages, names)
            victims = [0, 1] * KILLS
            rng.shuffle(victims)
            share = len(messages) // (len(victims) + 2)
            for turn, victim in enumerate(victims):
                next(feed)
                feed.send(share)
                time.sleep(rng.uniform(0.5, 3.0))
                fleet.kill(victim)
                if turn == len(victims) // 2:
                    lose_a_second(server, directory)
                    break
            remaining = victims[len(victims) // 2 + 1 :]
            with running("store", binary, *aof, directory=directory, port=port):
                for victim in remaining:
                    next(feed)
                    feed.send(share)
                    time.sleep(rng.uniform(0.5, 3.0))
                    fleet.kill(victim)
                    fleet.revive()
                next(feed)
                feed.send(len(messages))
                check(link, names, len(messages), url, fleet, tmp_path)
        finally:
            fleet.stop()


def feeding(link: KafkaConnection, messages: Sequence[object], names: Sequence[str]):  # type: ignore[no-untyped-def]
    """A generator that is sent how many messages to produce next."""
    at = 0
    with TopicProducer(link) as producer:
        while True:
            count = yield
            for message in messages[at : at + count]:
                topic = names[0] if message.topic == "predictions" else names[1]  # type: ignore[attr-defined]
                producer.send(topic, message.value, partition=message.partition)  # type: ignore[attr-defined]
            producer.flush()
            assert producer.failed == 0
            at += count
            yield


def check(
    link: KafkaConnection, names: Sequence[str], sent: int, url: str, fleet: Fleet, tmp_path: Path
) -> None:
    reader = RedisReader(url, 2)
    places = partitions(link, names)
    log: list[tuple[str, int, int, bytes]] = []
    for name in names:
        kind = "predictions" if name == names[0] else "labels"
        records: list[Any] = list(read_last(link, name, 10_000_000))
        log += [(kind, record.partition, record.offset, record.value) for record in records]
    assert len(log) == sent
    ends = true_ends(link, names)
    assert sum(ends.values()) == sent
    expected = {tier: dict(oracle(log, tier.bucket_s)) for tier in DEFAULT_TIERS[1:3]}
    quiet_until = time.monotonic() + QUIET_S
    while time.monotonic() < quiet_until:
        fleet.revive()
        states = reader.partitions()
        if all(place in states and states[place].offset >= ends[place] for place in places):
            break
        time.sleep(0.5)
    else:
        pytest.fail(f"not caught up: {(tmp_path / 'workers.log').read_text()[-4000:]}")
    for tier, cells in expected.items():
        found = counted(reader, MODELS, tier)
        wrong = {cell for cell in cells.keys() | found.keys() if cells.get(cell) != found.get(cell)}
        shown = [(cell, cells.get(cell), found.get(cell)) for cell in sorted(wrong)[:10]]
        assert not wrong, f"{tier.name}: {len(wrong)} of {len(cells)} cells differ: {shown}"
    reader.close()
    report = {
        "records": len(log),
        "cells": sum(len(cells) for cells in expected.values()),
        "kills": 2 * KILLS,
    }
    print(json.dumps(report))
