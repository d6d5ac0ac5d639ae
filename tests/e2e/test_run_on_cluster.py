"""The whole command on a Redis Cluster: counts, alerts, dead letters, readers, and a primary that fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.edges.kafka.alert_stream import AlertStream
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, read_last
from monitor.edges.redis import keys
from tests.support.live import make_topics, settings_of, wait_until_read, worker
from tests.support.redis_cluster import Cluster, running_cluster, until
from tests.support.redis_servers import redis_binary, valkey_binary

SHARDS, PARTITIONS = 16, 4
MODEL = "credit"
RATE_PER_S, HALF_S = 20, 300
SCHEMA = """\
version: 1
features:
  age: {type: integer, minimum: 0, maximum: 120}
  income: {type: number, minimum: 0}
  sex: {type: category, categories: [F, M]}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(redis_binary() or valkey_binary(), tmp_path) as made:
        yield made


def feed(link: KafkaConnection, topic: str, first: int, start_s: int, broken: str) -> int:
    """Half of the traffic: sound for two thirds of it, then with a feature broken in every other record."""
    rows = RATE_PER_S * HALF_S
    with TopicProducer(link) as producer:
        for i in range(first, first + rows):
            features: dict[str, Any] = {"age": 20 + i % 60, "income": 1_000 + i % 700, "sex": "FM"[i % 2]}
            if i % 2 and i - first > rows * 2 // 3:
                features[broken] = -1
            body = {
                "request_id": f"r-{i}", "model": MODEL, "timestamp": start_s + i / RATE_PER_S,
                "features": features, "score": (i * 7 % 100) / 100,
            }  # fmt: skip
            producer.send(topic, json.dumps(body).encode(), partition=i % PARTITIONS)
        for number in range(PARTITIONS):
            producer.send(topic, b"{", partition=number)
        producer.flush()
    assert producer.failed == 0
    return rows


@pytest.mark.timeout(600)
def test_the_whole_command_on_a_cluster_whose_primary_fails(
    kafka: str, cluster: Cluster, tmp_path: Path
) -> None:
    tag = str(time.time_ns())
    topics = [f"predictions-{tag}", f"labels-{tag}"]
    settings = settings_of([MODEL], kafka, cluster.url, tag, topics, ["sex"])
    (tmp_path / "credit.yaml").write_text(SCHEMA)
    settings["redis"]["shards"] = SHARDS
    settings["models"][MODEL] |= {"schema": str(tmp_path / "credit.yaml")}
    make_topics(kafka, settings, PARTITIONS)
    link = KafkaConnection(kafka)
    start_s = int(time.time()) // 60 * 60 - 2 * HALF_S - 60

    alerts = AlertStream(kafka, f"alerts-{tag}", from_beginning=True, timeout_s=240)

    def await_alert(feature: str) -> None:
        told = []
        for alert in alerts:
            told.append(alert.subject)
            if alert.subject.get("feature") == feature:
                return
        raise AssertionError(f"{feature} is not among {told}")

    def letters() -> set[tuple[int, int]]:
        """What was read again after the failure may be published again."""
        records = [json.loads(record.value or b"") for record in read_last(link, f"dead-{tag}", 1_000)]
        return {(letter["partition"], letter["offset"]) for letter in records}

    with alerts, worker(settings, tmp_path) as config:
        rows = feed(link, topics[0], 0, start_s, "age")
        await_alert("age")
        # The node that holds the evaluator's lease, its detectors' state and the alerts on their way.
        lost = cluster.primary_of(keys.evaluator_slot(MODEL))
        cluster.bury(lost)
        rows += feed(link, topics[0], rows, start_s, "income")
        wait_until_read(kafka, cluster.url, SHARDS, topics[:1], tmp_path)
        await_alert("income")
        window = ["--from", str(start_s), "--to", str(start_s + 2 * HALF_S)]
        command = [
            sys.executable,
            "-m",
            "monitor",
            "slices",
            MODEL,
            "--config",
            str(config),
            "--json",
            *window,
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = {json.dumps(report["slice"]): report for report in json.loads(done.stdout)}
        assert found["{}"]["requests"] == rows
        until(lambda: len(letters()) == 2 * PARTITIONS, "the dead letters")
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
