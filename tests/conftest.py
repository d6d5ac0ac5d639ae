"""Services for the tests that need them: the bundled ones, or real ones named by the environment.

`MONITOR_TEST_KAFKA` (bootstrap servers) and `MONITOR_TEST_REDIS` (a URL) choose real services.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis

_KAFKA = os.environ.get("MONITOR_TEST_KAFKA")
_REDIS = os.environ.get("MONITOR_TEST_REDIS")

# A busy machine breaks no law: no example is timed. The rest is as ever: in CI every run draws the same.
settings.register_profile(
    "untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_report_header() -> str:
    return (
        f"services: Kafka {f'at {_KAFKA}' if _KAFKA else 'embedded (Tansu)'}, "
        f"Redis {f'at {_REDIS}' if _REDIS else 'embedded (Valkey)'}"
    )


@pytest.fixture(scope="session", autouse=True)
def hypothesis_is_warm() -> None:
    """Let Hypothesis read every module's constants and build its Unicode tables before a test is timed.

    It does so at the first draw; in a fresh clone that takes a second or more, and would count against the
    timeout of the first test that draws.
    """

    @settings(max_examples=1, database=None)
    @given(st.text() | st.integers() | st.floats() | st.binary())
    def draw(_: object) -> None:
        pass

    draw()


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap servers of a broker."""
    if _KAFKA:
        yield _KAFKA
        return
    with EmbeddedKafka() as broker:
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_is_apache() -> bool:
    """True when the broker under test is a real Apache Kafka."""
    return bool(_KAFKA)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis; a test uses key prefixes or models of its own."""
    if _REDIS:
        yield _REDIS
        return
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture
def make_topic(kafka: str) -> Callable[..., str]:
    """`make_topic("name", partitions=2, compacted=False)` creates a topic and answers its unique name."""
    from monitor.edges.kafka.connection import KafkaConnection
    from monitor.edges.kafka.topics import TopicSpec, ensure_topics

    def make(name: str = "topic", partitions: int = 1, compacted: bool = False) -> str:
        unique = f"{name}-{uuid.uuid4().hex[:12]}"
        ensure_topics(KafkaConnection(kafka), [TopicSpec(unique, partitions, compacted)])
        return unique

    return make
