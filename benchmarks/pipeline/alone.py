"""Our worker without a broker: chunks from memory into a bundled store; CPU seconds, and a profile.

python -m benchmarks.pipeline.alone [--requests 100000] [--labels] [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import time
from bisect import bisect_right
from contextlib import nullcontext
from dataclasses import dataclass

from benchmarks.pipeline.traffic import START_S, Shape, Traffic, make, plans
from monitor.edges.collector import pace_collector
from monitor.edges.embedded import EmbeddedRedis
from monitor.edges.pieces import parts
from monitor.edges.redis.store import RedisStore
from monitor.ports import Flush, FlushResult, Partition
from tests.support.topology import Log, Worker
from tests.support.traffic import Message

CHUNK_ROWS = 5_000
"""For one model on one shard."""

PREDICTIONS, LABELS = Partition("predictions", 0), Partition("labels", 0)


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        records: predictions, and labels where there are any.
        cpu_s: of the worker.
        wall_s: from the first chunk to the last.
        store_cpu_s: of the server.
        cells: counters that flushes touched, summed over the flushes.
    """

    records: int
    cpu_s: float
    wall_s: float
    store_cpu_s: float
    cells: int


def log_of(traffic: Traffic, labels: bool) -> Log:
    """Both topics, one partition each."""
    messages = [Message("predictions", 0, value) for value in traffic.predictions]
    if labels:
        messages += [Message("labels", 0, value) for value in traffic.labels]
    return Log(messages, int(traffic.end_s * 1_000))


class CountingStore(RedisStore):
    """Adds up the cells that flushes touch."""

    cells = 0

    async def flush(self, flush: Flush) -> FlushResult:
        """Count and pass on."""
        self.cells += sum(len(increment.cells) for increment in flush.increments)
        return await super().flush(flush)


async def run(
    traffic: Traffic,
    labels: bool,
    shards: int = 1,
    profile: cProfile.Profile | None = None,
    url: str | None = None,
) -> Cost:
    """Count everything once, into the store at `url` or one of its own."""
    log = log_of(traffic, labels)
    with EmbeddedRedis() if url is None else nullcontext() as server:
        address = url or server.url
        store = CountingStore(address, shards, dict.fromkeys(traffic.models, 7 * 86_400))
        await store.open()
        worker = Worker(store, log, plans(traffic))
        await worker.take(list(log.partitions))
        pace_collector()
        chunk_rows = CHUNK_ROWS * parts(shards, len(traffic.models))
        used = await _server_cpu_s(store)
        if profile is not None:
            profile.enable()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        while await worker.step(PREDICTIONS, chunk_rows):
            if labels:  # those that came until now, by whole chunks
                now_s = START_S + worker.positions[PREDICTIONS] / traffic.shape.rate_per_s
                while bisect_right(traffic.known_s, now_s) >= worker.positions[LABELS] + chunk_rows:
                    if not await worker.step(LABELS, chunk_rows):
                        break
        while labels and await worker.step(LABELS, chunk_rows):
            pass
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        if profile is not None:
            profile.disable()
        used = await _server_cpu_s(store) - used
        await store.close()
    return Cost(worker.ingest.progress.records, cpu_s, wall_s, used, store.cells)


async def _server_cpu_s(store: RedisStore) -> float:
    info = await store._link.call("INFO", "cpu")  # noqa: SLF001 - a figure no other caller needs
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--labels", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    traffic = make(options.requests, Shape())
    if options.profile:
        profile = cProfile.Profile()
        asyncio.run(run(traffic, options.labels, profile=profile))
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return
    for _ in range(options.repeats):
        cost = asyncio.run(run(traffic, options.labels))
        each_us, store_us = (s / options.requests * 1e6 for s in (cost.cpu_s, cost.store_cpu_s))
        print(
            f"{1e6 / each_us:,.0f} predictions a CPU second, {each_us:.2f} µs each (store {store_us:.2f}); "
            f"{options.requests / cost.wall_s:,.0f} a second"
        )


if __name__ == "__main__":
    main()
