"""Figures counted anew from Kafka beside running workers, and the switch to them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.config import Settings
from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, read_last
from monitor.edges.redis import keys
from monitor.edges.redis.link import digest
from monitor.edges.redis.reader import RedisReader
from tests.chaos.proxy import Moment, Proxy, Trap
from tests.support.live import make_topics, wait_until_read, worker
from tests.support.redis_servers import Server, contents, running, valkey_binary
from tests.support.topology import counted

ROWS, LATER = 3_000, 500
BROKEN = 7
PATIENCE_S = 300.0  # of each wait by itself
NOW_MS = int(time.time() * 1000)


@pytest.fixture
def store() -> Iterator[Server]:
    with running("valkey", valkey_binary()) as made:
        yield made


def settings_of(kafka: str, url: str) -> dict[str, Any]:
    tag = uuid.uuid4().hex[:8]
    return {
        "kafka": {
            "bootstrap_servers": kafka,
            "group_id": f"rebuild-{tag}",
            "predictions": {"topics": [f"rebuild-predictions-{tag}"]},
            "labels": {"topics": [f"rebuild-labels-{tag}"]},
            "alerts": {"topic": f"rebuild-alerts-{tag}"},
            "dead_letters": {"topic": f"rebuild-dead-{tag}"},
        },
        "redis": {"url": url},
        "models": {"m": {"task": "binary", "slices": ["side"]}},
    }


def send(settings: dict[str, Any], first: int, count: int) -> None:
    rng = random.Random(first)
    predictions, labels = (settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels"))
    with TopicProducer(KafkaConnection(settings["kafka"]["bootstrap_servers"])) as producer:
        for at in range(first, first + count):
            record = {"request_id": f"r-{at}", "model": "m", "timestamp": NOW_MS - 200_000 + at * 20}
            row = {"features": {"side": rng.choice(["left", "right"])}, "score": round(rng.random(), 3)}
            producer.send(predictions, json.dumps(record | row).encode(), f"{at}".encode(), NOW_MS)
            producer.send(labels, json.dumps(record | {"label": at % 2}).encode(), f"{at}".encode(), NOW_MS)
        for _ in range(BROKEN):
            producer.send(predictions, b"no json", None, NOW_MS)


def command(config: Path, *more: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["rebuild", "-c", str(config), *more])
    assert result.exit_code == code, result.output
    return result.output


def figures(url: str) -> dict[Any, int]:
    with closing(RedisReader(url, 1)) as reader:
        found: dict[Any, int] = {}
        for tier in DEFAULT_TIERS:
            found |= {(tier.name, *cell): count for cell, count in counted(reader, ["m"], tier).items()}
        return found


def counted_of(reader: RedisReader) -> int:
    return sum(max(0, state.offset) for state in reader.partitions().values())


def letters(settings: dict[str, Any]) -> list[tuple[int, int]]:
    kafka = settings["kafka"]
    records = read_last(KafkaConnection(kafka["bootstrap_servers"]), kafka["dead_letters"]["topic"], 1_000)
    told = [json.loads(record.value or b"{}") for record in records]
    return [(letter["partition"], letter["offset"]) for letter in told]


def until_told(settings: dict[str, Any], count: int) -> list[tuple[int, int]]:
    deadline_s = time.monotonic() + PATIENCE_S
    while len(found := letters(settings)) < count:
        assert time.monotonic() < deadline_s, found
    return found


def fed(kafka: str, settings: dict[str, Any]) -> list[str]:
    """The input topics, made and filled."""
    make_topics(kafka, settings, 2)
    send(settings, 0, ROWS)
    return [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]


def rebuilt(config: Path, into: str, *more: str) -> bool:
    """Run it to its end; whether it says that it is done."""
    line = rebuilding(config, into, *more)
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr[-4_000:]
    return bool(json.loads(done.stdout)["done"])


def rebuilding(config: Path, into: str, *more: str) -> list[str]:
    program = [sys.executable, "-m", "monitor", "rebuild", "-c", str(config)]
    return [*program, "--into", into, "--yes", "--json", *more]


def killed_at_first_flush(config: Path, port: int, told: Path) -> None:
    """Begin a rebuild into the second database of a store, and kill it before it hears of its first flush.

    A rebuild of so few records is over in a second; so it is held up on its way to the store.
    """
    flushed, killed = threading.Event(), threading.Event()

    def hold() -> None:
        flushed.set()
        killed.wait()  # in the proxy's only thread: nothing else passes either

    with Proxy(port) as way, told.open("wb") as log:
        way.set(Trap(digest("flush").encode(), Moment.REPLIED, hold))
        line = rebuilding(config, f"redis://127.0.0.1:{way.port}/1")
        process = subprocess.Popen(line, stdout=log, stderr=log)
        try:
            assert flushed.wait(PATIENCE_S), told.read_text()
        finally:
            process.kill()
            process.wait(PATIENCE_S)
            killed.set()
    assert process.returncode == -signal.SIGKILL, told.read_text()


@pytest.mark.timeout(900)
def test_figures_are_rebuilt_beside_the_workers_and_taken_over(
    kafka: str, store: Server, tmp_path: Path
) -> None:
    settings = settings_of(kafka, store.url)
    into = store.url.replace("/0", "/1")
    names = fed(kafka, settings)
    with worker(settings, tmp_path) as config:
        wait_until_read(kafka, store.url, 1, names, tmp_path)
        before = figures(store.url)
        assert before
        planned = command(config, "--into", into)
        assert "Nothing was done" in planned
        assert contents(into) == b""
        plan = json.loads(command(config, "--into", into, "--json"))
        assert 0 < plan["records"] <= 2 * ROWS + BROKEN  # the end that a broker reports may lag
        assert rebuilt(config, into)
        assert figures(into) == before == figures(store.url)
        assert len(until_told(settings, BROKEN)) == BROKEN, "what the workers told is not told again"
        # The workers went on all the while; more comes before the switch.
        send(settings, ROWS, LATER)
        wait_until_read(kafka, store.url, 1, names, tmp_path)
        after = figures(store.url)
    settings["redis"]["url"] = into
    with worker(settings, tmp_path):
        wait_until_read(kafka, into, 1, names, tmp_path)
        assert figures(into) == after
        told = until_told(settings, 2 * BROKEN)
        assert len(set(told)) == 2 * BROKEN, "nothing is missed; what came meanwhile may be told twice"


@pytest.mark.timeout(900)
def test_what_the_workers_could_not_tell_is_told_after_the_switch(
    kafka: str, store: Server, tmp_path: Path
) -> None:
    settings = settings_of(kafka, store.url)
    into = store.url.replace("/0", "/1")
    make_topics(kafka, settings, 1)
    names = [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]
    outbox = keys.outbox(keys.shard_slot(0))
    client = redis.Redis.from_url(store.url)
    with closing(client), closing(redis.Redis.from_url(into)) as rebuilt_client:
        with worker(settings, tmp_path) as config:
            send(settings, 0, 50)
            until_told(settings, BROKEN)
            # The topic cannot be written from here on: as if the worker that publishes hung.
            client.set(keys.outbox_publisher(keys.shard_slot(0)), "another", px=3_600_000)
            send(settings, 50, 50)
            wait_until_read(kafka, store.url, 1, names, tmp_path)
            assert client.xlen(outbox) == BROKEN
            assert rebuilt(config, into)
            assert rebuilt_client.xlen(outbox) == BROKEN, "what was told is let go, what waits is not"
        settings["redis"]["url"] = into
        with worker(settings, tmp_path):
            told = until_told(settings, 2 * BROKEN)
    assert len(set(told)) == len(told) == 2 * BROKEN


@pytest.mark.timeout(900)
def test_a_rebuild_that_was_killed_is_gone_on_with(kafka: str, store: Server, tmp_path: Path) -> None:
    settings = settings_of(kafka, store.url) | {"worker": {"poll_records_max": 100}}
    into = store.url.replace("/0", "/1")
    names = fed(kafka, settings)
    with worker(settings, tmp_path) as config:
        wait_until_read(kafka, store.url, 1, names, tmp_path)
        killed_at_first_flush(config, store.port, tmp_path / "rebuild.log")
        with closing(RedisReader(into, 1)) as reader:
            assert 0 < counted_of(reader) < 2 * ROWS
        deadline_s = time.monotonic() + PATIENCE_S
        while "try again" in (said := " ".join(command(config, "--into", into, "--yes", code=2).split())):
            assert time.monotonic() < deadline_s
            time.sleep(1)
        assert "not empty" in said
        assert rebuilt(config, into, "--resume")
        assert figures(into) == figures(store.url)
        assert len(until_told(settings, BROKEN)) == BROKEN


@pytest.mark.timeout(900)
def test_what_would_go_wrong_is_refused(kafka: str, store: Server, tmp_path: Path) -> None:
    settings = settings_of(kafka, store.url)
    names = [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]
    make_topics(kafka, settings, 1)
    send(settings, 0, 50)
    other = store.url.replace("/0", "/2")
    with worker(settings | {"redis": {"url": other}}, tmp_path) as config:
        wait_until_read(kafka, other, 1, names, tmp_path)
        here = tmp_path / "here.yaml"
        here.write_text(config.read_text().replace(other, store.url))
        with_password = other.replace("127.0.0.1", "u:hush@127.0.0.1")
        for into, complaint in (
            (store.url.replace("127.0.0.1", "localhost"), "the workers count into"),
            (other, "a worker counts into this database already"),
            (with_password, "no user or password"),
            ("http://127.0.0.1", "expected the address"),
        ):
            said = command(here, "--into", into, "--yes", code=2)
            assert complaint in " ".join(said.split())
            assert "hush" not in said
    assert "not empty" in " ".join(command(here, "--into", other, "--yes", code=2).split())
    stopped = json.loads(command(here, "--into", other, "--resume", "--json"))
    assert stopped["resumed"]
    assert Settings.load(here).redis.url == store.url
