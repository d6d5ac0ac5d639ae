"""Decode, join, count and flush: records per CPU second of a worker, without the broker.

Predictions of one model with six slices and a label for each, 5 % repeated, 2 % corrected, from memory into
a bundled store. Labels after seconds touch a few buckets; labels spread over 40 minutes touch hundreds.

    python -m benchmarks.ingest [--requests 40000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

from monitor.edges.embedded import EmbeddedRedis
from monitor.edges.redis.store import RedisStore
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import make_log

REPORT = Path(__file__).parent / "reports" / "ingest.json"
START_S = 1_700_000_000 // 3_600 * 3_600
REPEATS = 5


async def run(log: Log) -> tuple[int, float, float]:
    """Records, CPU seconds of the worker and wall seconds."""
    with EmbeddedRedis() as server:
        store = RedisStore(server.url, 1, {"credit": 3_600})
        await store.open()
        worker = Worker(store, log, {"credit": plan("credit")})
        await worker.take(list(log.partitions))
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        moving = True
        while moving:
            moving = False
            for partition in list(worker.positions):
                moving |= await worker.step(partition, 5_000)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        await store.close()
    return worker.ingest.progress.records, cpu_s, wall_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=40_000)
    options = parser.parse_args()
    logs = {
        name: Log(
            make_log(1, options.requests, start_s=START_S, span_s=span_s, models=("credit",)),
            (START_S + 4_000) * 1_000,
        )
        for name, span_s in (("labels after seconds", 20), ("labels over 40 minutes", 2_400))
    }
    runs: dict[str, list[tuple[int, float, float]]] = {name: [] for name in logs}
    for _ in range(REPEATS):
        for name, log in logs.items():  # interleaved: the machine's speed drifts
            runs[name].append(asyncio.run(run(log)))
    report = {
        name: {
            "records_per_cpu_s": round(statistics.median(n / cpu_s for n, cpu_s, _ in found)),
            "records_per_wall_s": round(statistics.median(n / wall_s for n, _, wall_s in found)),
        }
        for name, found in runs.items()
    }
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
