"""What more processes and more shards add: `python -m benchmarks.pipeline.processes [--requests 200000]`.

A backlog on four partitions, counted by 1, 2 and 4 processes of `monitor run --processes N`, and by a worker
over 1, 4 and 16 shards: predictions a second, and what the workers and the store pay for each in CPU. On two
cores more processes than cores cannot be faster; what must not grow is the price. Merged into bench.json
under `scale`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.pipeline.live import Feed, counted, topics, worker
from benchmarks.pipeline.report import merge
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis
from monitor.edges.redis.reader import RedisReader

CASES = {
    "1 process": (1, 1),
    "2 processes": (2, 1),
    "4 processes": (4, 1),
    "4 shards": (1, 4),
    "16 shards": (1, 16),
}
TICKS_A_SECOND = 100
MARKS = (0.25, 0.9)
"""Measured between these parts of the backlog: all processes have joined, none has run dry."""


def family(pid: int) -> Iterator[int]:
    """A process and those it started."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))


def cpu_s(pid: int) -> float:
    """Seconds of CPU of a process and those it started."""
    found = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        found += int(fields[11]) + int(fields[12])
    return found / TICKS_A_SECOND


def store_cpu_s(raw: Any) -> float:
    """Seconds of CPU of the store."""
    info = raw.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def run(requests: int, processes: int, shards: int) -> dict[str, float]:
    """One run."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka() as broker, EmbeddedRedis() as store:
        bootstrap = broker.bootstrap_servers
        with (
            topics(bootstrap) as producer,
            closing(RedisReader(store.url, shards)) as reader,
            Redis.from_url(store.url) as raw,
        ):
            Feed(producer, random.Random(3), keep_times=False).send(requests)
            producer.flush(60)
            with worker(Path(folder), bootstrap, store.url, processes, shards=shards) as pid:
                marks = []
                for share in MARKS:
                    while (count := sum(counted(reader))) < share * requests:
                        time.sleep(0.01)
                    marks.append((count, time.perf_counter(), cpu_s(pid), store_cpu_s(raw)))
    rows, wall_s, worker_s, server_s = (last - first for first, last in zip(*marks, strict=True))
    return {"per_s": rows / wall_s, "worker_us": worker_s / rows * 1e6, "store_us": server_s / rows * 1e6}


def main() -> None:
    """Measure and merge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    for _ in range(options.repeats):
        for name, (processes, shards) in CASES.items():
            runs[name].append(run(options.requests, processes, shards))
            print(name, {key: round(value, 1) for key, value in runs[name][-1].items()}, flush=True)
    merge(
        "scale",
        {name: {key: round(statistics.median(one[key] for one in found), 1) for key in found[0]}
         for name, found in runs.items()},
    )  # fmt: skip


if __name__ == "__main__":
    main()
