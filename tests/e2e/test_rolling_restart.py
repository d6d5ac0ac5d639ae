"""Workers replaced one at a time under traffic, by ones of a changed configuration: nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, read_last
from monitor.edges.redis.reader import RedisReader
from tests.support.live import make_topics, settings_of, wait_until_read
from tests.support.redis_cluster import until
from tests.support.redis_servers import redis_binary, running, valkey_binary
from tests.support.topology import counted
from tests.support.traffic import SLICES, YOUNG, Cell, Message, make_log, oracle

MODELS = ("credit", "shadow")
OLD = {"name": "old", "where": {"age": {"ge": 65}}}
OLD_KEY = '{"slice":"old"}'


class Process:
    """A worker with settings of its own."""

    def __init__(self, settings: dict[str, Any], directory: Path, name: str) -> None:
        config = directory / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "monitor", "run", "--config", str(config)]
        with (directory / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self, reader: RedisReader) -> int:
        """SIGTERM, once it has said something of itself: before that it may not handle it. The exit code."""
        mine = f"-{self._process.pid}-"
        until(
            lambda: any(mine in report.worker for report, _ in reader.own_health(MODELS).workers), "it runs"
        )
        self._process.terminate()
        return self._process.wait(300)


@pytest.mark.timeout(600)
def test_workers_are_replaced_one_at_a_time_under_traffic(kafka: str, tmp_path: Path) -> None:
    tag = str(time.time_ns())
    topics = [f"predictions-{tag}", f"labels-{tag}"]
    start_s = int(time.time()) // 60 * 60 - 3_000
    messages = make_log(41, 300, start_s=start_s, span_s=2_400)
    link = KafkaConnection(kafka)
    with ExitStack() as stack:
        server = stack.enter_context(running("store", redis_binary() or valkey_binary()))
        reader = stack.enter_context(closing(RedisReader(server.url, 2)))
        former = settings_of(MODELS, kafka, server.url, tag, topics)
        latter = settings_of(MODELS, kafka, server.url, tag, topics, [OLD, *SLICES, YOUNG])
        make_topics(kafka, former)
        workers = [Process(former, tmp_path, f"former-{number}") for number in range(2)]
        done = threading.Event()
        feed = threading.Thread(target=_feed, args=(link, messages, topics, done))
        feed.start()
        codes = []
        for number in range(2):
            until(lambda: any(state.offset for state in reader.partitions().values()), "something is counted")
            codes.append(workers[number].end(reader))
            workers[number] = Process(latter, tmp_path, f"latter-{number}")
        done.set()
        feed.join()
        wait_until_read(kafka, server.url, 2, topics, tmp_path)
        codes += [worker.end(reader) for worker in workers]
        assert codes == [0, 0, 0, 0], (tmp_path / "worker.log").read_text()[-4_000:]
        log: list[tuple[str, int, int, bytes]] = []
        for kind, name in zip(("predictions", "labels"), topics, strict=True):
            records: list[Any] = list(read_last(link, name, 1_000_000))
            log += [(kind, record.partition, record.offset, record.value) for record in records]
        assert len(log) == len(messages)
        for tier in DEFAULT_TIERS[1:3]:
            assert _of_both(counted(reader, MODELS, tier)) == dict(oracle(log, tier.bucket_s))


def _of_both(cells: dict[Cell, int]) -> dict[Cell, int]:
    """Without the slice that only the later configuration has."""
    return {cell: n for cell, n in cells.items() if cell[1] != OLD_KEY}


def _feed(
    link: KafkaConnection, messages: Sequence[Message], topics: Sequence[str], done: threading.Event
) -> None:
    """A little at a time until told that the last worker was replaced, then the rest at once."""
    at, step = 0, 40
    with TopicProducer(link) as producer:
        while at < len(messages):
            for message in messages[at : at + step]:
                name = topics[0] if message.topic == "predictions" else topics[1]
                producer.send(name, message.value, partition=message.partition)
            producer.flush()
            at += step
            done.wait(1.0)
    assert producer.failed == 0
