"""A running worker for tests: the real command, on real services, until it has read everything."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicSpec, ensure_topics
from monitor.edges.redis.reader import RedisReader
from tests.support.ends import true_ends
from tests.support.traffic import SLICES, YOUNG

CATCH_UP_S = 400.0


@contextmanager
def worker(settings: dict[str, Any], directory: Path, *options: str) -> Iterator[Path]:
    """`monitor run` on these settings; answers the settings file. Its log is `worker.log` beside it."""
    config = directory / "monitor.yaml"
    config.write_text(yaml.safe_dump(settings, allow_unicode=True))
    with (directory / "worker.log").open("wb") as log:
        command = [sys.executable, "-m", "monitor", "run", "--config", str(config), *options]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield config
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def settings_of(
    models: Sequence[str],
    bootstrap: str,
    redis_url: str,
    tag: str,
    topics: Sequence[str],
    slices: Sequence[Any] = (*SLICES, YOUNG),
) -> dict[str, Any]:
    """Settings of binary models over two shards that notice soon when something stands still.

    Args:
        models: their names.
        bootstrap: of the brokers.
        redis_url: of the store.
        tag: of the group and the topics that are written.
        topics: of predictions and of labels.
        slices: of every model.
    """
    model = {"task": "binary", "slices": list(slices), "labels": {"wait": "1h"}}
    return {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "group_id": f"monitor-{tag}",
            "predictions": {"topics": [topics[0]]},
            "labels": {"topics": [topics[1]]},
            "alerts": {"topic": f"alerts-{tag}"},
            "dead_letters": {"topic": f"dead-{tag}"},
        },
        "redis": {"url": redis_url, "shards": 2},
        "models": dict.fromkeys(models, model),
        "worker": {"rebalance_timeout": "3s", "stall_timeout": "20s"},
    }


def make_topics(bootstrap: str, settings: dict[str, Any], count: int = 4) -> None:
    """The topics that settings name."""
    kafka = settings["kafka"]
    names = [*kafka["predictions"]["topics"], *kafka["labels"]["topics"]]
    outputs = [kafka["alerts"]["topic"], kafka["dead_letters"]["topic"]]
    specs = [TopicSpec(name, count) for name in names] + [TopicSpec(name, 1) for name in outputs]
    ensure_topics(KafkaConnection(bootstrap), specs)


def wait_until_read(
    bootstrap: str, redis_url: str, shards: int, names: Sequence[str], directory: Path
) -> None:
    """Return when every fence stands at the end of its partition."""
    ends = true_ends(KafkaConnection(bootstrap), names)
    reader = RedisReader(redis_url, shards)
    deadline = time.monotonic() + CATCH_UP_S
    while time.monotonic() < deadline:
        states = reader.partitions()
        if all(place in states and states[place].offset >= end for place, end in ends.items()):
            reader.close()
            return
        time.sleep(0.2)
    log = (directory / "worker.log").read_text()[-4_000:]
    raise AssertionError(f"not read in {CATCH_UP_S} s: {states}\n{log}")
