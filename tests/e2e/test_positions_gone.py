"""What positions are of is gone: Redis was emptied, or a topic was made anew under a worker that reads it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaAdminClient

from monitor.core.counters import DEFAULT_TIERS, SCALARS, CellKey, Scalar
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, TopicSpec, ensure_topics
from monitor.edges.redis.reader import RedisReader
from monitor.ports import Partition
from tests.support.live import make_topics, settings_of, worker
from tests.support.redis_cluster import until
from tests.support.redis_servers import redis_binary, running, valkey_binary


def _settings(kafka: str, redis_url: str) -> tuple[dict[str, Any], str]:
    tag = str(time.time_ns())
    names = [f"predictions-{tag}", f"labels-{tag}"]
    settings = settings_of(["credit"], kafka, redis_url, tag, names, slices=())
    make_topics(kafka, settings, 1)
    return settings, names[0]


def _feed(kafka: str, topic: str, first: int, count: int) -> None:
    with TopicProducer(KafkaConnection(kafka)) as producer:
        for number in range(first, first + count):
            record = {"request_id": f"r{number}", "model": "credit", "timestamp": time.time(), "score": 0.3}
            producer.send(topic, json.dumps(record).encode())


def _counted(reader: RedisReader) -> int:
    day = DEFAULT_TIERS[-1]
    ends = set(reader.buckets("credit", day.name) or ())  # one day, or two where the test met midnight
    found = reader.read([CellKey(SCALARS, day, at, "credit") for at in ends])
    return sum(int(cells[Scalar.REQUESTS]) for cells in found if cells is not None)


def _offset(reader: RedisReader, topic: str) -> int:
    state = reader.partitions().get(Partition(topic, 0))
    return -1 if state is None else state.offset


@pytest.mark.timeout(600)
def test_after_redis_was_emptied_counting_goes_on_where_it_had_got_to(kafka: str, tmp_path: Path) -> None:
    with running("store", redis_binary() or valkey_binary()) as server:
        settings, topic = _settings(kafka, server.url)
        for source in ("predictions", "labels"):
            settings["kafka"][source]["start"] = "latest"
        _feed(kafka, topic, 0, 50)  # came before the first start: never counted
        reader = RedisReader(server.url, 2)
        with worker(settings, tmp_path):
            until(lambda: _offset(reader, topic) == 50, "the first start is at the end")
            _feed(kafka, topic, 50, 100)
            until(lambda: _offset(reader, topic) == 150, "what came is counted")
        with redis.Redis.from_url(server.url) as raw:
            raw.flushall()
        _feed(kafka, topic, 150, 70)
        with worker(settings, tmp_path):
            until(lambda: _offset(reader, topic) == 220, "what came while no worker ran is read")
            assert _counted(reader) == 70
        reader.close()


@pytest.mark.timeout(600)
def test_a_topic_made_anew_while_it_is_read_is_refused(
    kafka: str, kafka_is_apache: bool, tmp_path: Path
) -> None:
    if not kafka_is_apache:
        pytest.skip("needs Apache Kafka: the bundled broker's topics have no ids of their own")
    with running("store", redis_binary() or valkey_binary()) as server:
        settings, topic = _settings(kafka, server.url)
        reader = RedisReader(server.url, 2)
        with worker(settings, tmp_path):
            _feed(kafka, topic, 0, 50)
            until(lambda: _offset(reader, topic) == 50, "the first topic is read")
            admin = KafkaAdminClient(bootstrap_servers=kafka)
            admin.delete_topics([topic])
            until(lambda: topic not in admin.list_topics(), "it is gone")
            admin.close()
            ensure_topics(KafkaConnection(kafka), [TopicSpec(topic, 1)])
            _feed(kafka, topic, 50, 200)  # beyond the fence: fetching goes on as if nothing had happened
            log = tmp_path / "worker.log"
            until(lambda: "the worker failed" in log.read_text(), "the worker notices")
            assert f"topic {topic} is not the one the stored positions are of" in log.read_text()
        reader.close()
