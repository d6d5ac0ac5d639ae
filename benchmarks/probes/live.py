"""Probing live: is the budget kept by several workers, and what does probing cost ingest?

Budget: three `monitor run` processes on a bundled broker and store, probing as hard as they may; the model's
server says when it was asked for how many rows. Ingest: the worker's loop over records in memory into a
bundled store, as `benchmarks.pipeline.alone` has it, with a prober beside it that works and rests in turns.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.probes.server import score
from monitor.config import Settings
from monitor.core.batch import PredictionBatch
from monitor.core.counters import DEFAULT_TIERS
from monitor.core.probes import Answer, FeatureSpace
from monitor.core.probes.endpoint import Endpoint
from monitor.core.schema.inference import infer
from monitor.core.schema.text import write_yaml
from monitor.demo.worker import WorkerProcess
from monitor.edges.clock import SystemClock
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis
from monitor.edges.kafka.topics import TopicProducer, ensure_topics
from monitor.edges.model import open_client
from monitor.edges.prepare import until_answered
from monitor.edges.probe_budget import ProbeBudget
from monitor.edges.prober import ProbedModel, Prober
from monitor.edges.redis.store import RedisStore
from monitor.ports import ModelClient, Partition
from monitor.wiring import connection, topic_specs
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import Message

WORKERS: Final = 3
ALLOWED: Final = 50.0
BURST: Final = 25
MODEL: Final = "credit"
START_S: Final = 1_700_000_000 // 3_600 * 3_600
CHUNK_ROWS: Final = 5_000
PHASE_CHUNKS: Final = 4
PHASES: Final = 8


def applicant(rng: random.Random) -> dict[str, Any]:
    return {
        "age": rng.randrange(18, 90),
        "income": rng.randrange(1_000, 9_000),
        "debt": round(rng.random(), 3),
        "sex": rng.choice(["Female", "Male"]),
        "device": rng.choice(["iPhone", "Android"]),
    }


def record(rng: random.Random, number: int, at_ms: int) -> bytes:
    row = applicant(rng)
    body = {
        "request_id": f"r-{number}", "model": MODEL, "model_version": "1", "timestamp": at_ms,
        "features": row, "score": score(row),
    }  # fmt: skip
    return json.dumps(body).encode()


@contextmanager
def model_server() -> Iterator[str]:
    """Address of a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.probes.server"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.stdout.close()


def most_in_a_second(arrivals: Sequence[tuple[float, int]]) -> int:
    """Most rows in any window of one second, wherever it begins.

    >>> most_in_a_second([(0.0, 5), (0.9, 5), (1.0, 7), (5.0, 9)])
    12
    """
    return max(
        (sum(rows for at_s, rows in arrivals if from_s <= at_s < from_s + 1) for from_s, _ in arrivals),
        default=0,
    )


def budget(seconds: float) -> dict[str, Any]:
    """Three workers, all traffic in the sample, a budget of 50 rows a second."""
    rng = random.Random(1)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="monitor-bench-")))
        url = running.enter_context(model_server())
        broker = running.enter_context(EmbeddedKafka())
        store = running.enter_context(EmbeddedRedis())
        infer([applicant(rng) for _ in range(5_000)]).dump(folder / "schema.yaml")
        document = {
            "kafka": {
                "bootstrap_servers": broker.bootstrap_servers, "predictions": {"topics": ["predictions"]},
                "labels": {"topics": ["labels"]},
            },
            "redis": {"url": store.url},
            "worker": {"rebalance_timeout": "3s"},
            "models": {
                MODEL: {
                    "schema": "schema.yaml", "slices": ["sex", "device"], "protected": ["sex"],
                    "probes": {
                        "endpoint": f"{url}/predict", "sample": "100%",
                        "budget_rows_per_s": ALLOWED, "burst": BURST,
                    },
                }
            },
        }  # fmt: skip
        path = folder / "monitor.yaml"
        path.write_text(write_yaml(document), encoding="utf-8")
        settings = Settings.load(path, {})
        ensure_topics(connection(settings), topic_specs(settings, 6))
        workers = []
        for number in range(WORKERS):
            home = folder / str(number)
            home.mkdir()
            workers.append(running.enter_context(WorkerProcess(path, home)))
        workers[-1].wait_ready()
        producer = TopicProducer(connection(settings), linger_ms=50)
        running.callback(producer.close)
        began_s, sent = time.monotonic(), 0
        while (passed_s := time.monotonic() - began_s) < seconds:
            while sent < passed_s * 300:
                at_ms = time.time_ns() // 1_000_000
                producer.send("predictions", record(rng, sent, at_ms), str(sent).encode(), at_ms)
                sent += 1
            time.sleep(0.05)
        for worker in workers:
            worker.check()
        with urllib.request.urlopen(f"{url}/arrivals", timeout=10) as answer:
            arrivals = [(at_s, rows) for at_s, rows in json.load(answer)]
    lasted_s = arrivals[-1][0] - arrivals[0][0]
    return {
        "allowed": ALLOWED,
        "burst": BURST,
        "workers": WORKERS,
        "max_in_a_second": most_in_a_second(arrivals),
        "seconds": round(lasted_s),
        "rows": sum(rows for _, rows in arrivals),
        "rows_per_s": round(sum(rows for _, rows in arrivals) / lasted_s, 1),
        "calls": len(arrivals),
    }


class Switch:
    """A model's client and the tap of its prober that both rest while they are off."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self._on = asyncio.Event()
        self.prober: Prober | None = None

    def turn(self, on: bool) -> None:
        if on:
            self._on.set()
        else:
            self._on.clear()

    def offer(self, batch: PredictionBatch, members: Any) -> None:
        if self._on.is_set() and self.prober is not None:
            self.prober.offer(batch, members)

    def returned(self, rows: int) -> None:
        raise AssertionError(f"{rows} rows of probes in a log that holds none")

    async def ask(self, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        await self._on.wait()
        return await self._client.ask(rows)

    async def close(self) -> None:
        await self._client.close()


def ingest(runs: int) -> dict[str, Any]:
    """Throughput while a prober works over that while it rests, in turns: the median of pairs.

    A turn is short, under a second, and the bucket fills while the prober rests: a turn of work may ask more
    rows a second than the budget holds in the long run.
    """
    rng = random.Random(2)
    messages = [
        Message("predictions", at % 4, record(rng, at, (START_S + at // 1_000) * 1_000))
        for at in range(PHASES * PHASE_CHUNKS * CHUNK_ROWS)
    ]
    log = Log(messages, (START_S + len(messages)) * 1_000)
    space = FeatureSpace.of(infer([applicant(rng) for _ in range(5_000)]))
    wall: list[float] = []
    cpu: list[float] = []
    asked = 0
    with model_server() as url:
        for number in range(runs + 1):
            phases, rows = asyncio.run(_run(log, space, f"{url}/predict", bool(number % 2)))
            if number == 0:
                continue  # imports, caches, the first connection
            asked += rows
            for one, other in zip(phases[::2], phases[1::2], strict=True):
                off, on = (one, other) if other[0] else (other, one)
                wall.append(off[1] / on[1])
                cpu.append(off[2] / on[2])
    low, _, high = statistics.quantiles(wall, n=4)
    return {
        "ingest_ratio": round(statistics.median(wall), 4),
        "ingest": {
            "ratio_cpu": round(statistics.median(cpu), 4),
            "ratio_quartiles": [round(low, 4), round(high, 4)],
            "pairs": len(wall),
            "records_a_phase": PHASE_CHUNKS * CHUNK_ROWS,
            "rows_asked": asked,
            "budget_rows_per_s": ALLOWED,
            "sample": 0.01,
        },
    }


async def _run(
    log: Log, space: FeatureSpace, endpoint: str, on_first: bool
) -> tuple[list[tuple[bool, float, float]], int]:
    """Per phase: whether the prober worked, wall and CPU seconds of this process; and all rows asked."""
    with EmbeddedRedis() as server:
        store, clock = RedisStore(server.url, 1, {MODEL: 3_600}), SystemClock()
        await store.open()

        async def answered(call: Any) -> Any:
            return await until_answered(call, clock, lambda: None)

        spent = ProbeBudget(store, MODEL, ALLOWED, BURST, clock, answered)
        switch = Switch(open_client(Endpoint(endpoint, rows_max=spent.rows_max), spent.spend))
        model = ProbedModel(MODEL, space, 0.5, DEFAULT_TIERS)
        switch.prober = Prober(model, store, switch, clock, "bench")
        probing = asyncio.create_task(switch.prober.run())
        worker = Worker(store, log, {MODEL: plan(MODEL)}, taps={MODEL: switch})
        partitions = [Partition("predictions", number) for number in range(4)]
        await worker.take(partitions)
        phases = []
        for phase in range(PHASES):
            on = on_first == (phase % 2 == 0)
            switch.turn(on)
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            for chunk in range(PHASE_CHUNKS):
                assert await worker.step(partitions[chunk % 4], CHUNK_ROWS)
            phases.append((on, time.perf_counter() - wall_s, time.process_time() - cpu_s))
        probing.cancel()
        with suppress(asyncio.CancelledError):
            await probing
        await switch.close()
        await store.close()
    return phases, spent.rows
