"""Memory of a worker at full speed for half an hour: `python -m benchmarks.pipeline.soak [--minutes 30]`.

Apache Kafka with a retention of its own holds the topics; predictions and a label for each are sent as fast
as the worker takes them, a bounded backlog waiting. Resident memory of the worker and memory of the store are
read every second; the first sixth is warm-up. Merged into bench.json under `memory`, as `soak`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from redis import Redis
from rich.progress import Progress

from benchmarks.pipeline.live import Feed, counted, topics, worker
from benchmarks.pipeline.report import known, merge
from monitor.edges.embedded import EmbeddedRedis
from monitor.edges.redis.reader import RedisReader
from tests.chaos.processes import ApacheBroker

WAITING_MAX = 100_000
STEP = 2_000
RETENTION = {"retention.bytes": "300000000", "segment.bytes": "50000000", "retention.ms": "600000"}


def keep_little(bootstrap: str) -> None:
    """Old segments of the topics go, so that the disk does not fill."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in RETENTION.items()
    ]
    resources = [
        ConfigResource("topic", name, incremental_configs=entries) for name in ("predictions", "labels")
    ]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(30)


def resident_mb(pid: int) -> float:
    """Memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    """Run and merge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    wait_s = 60 * options.minutes
    seen: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis() as store:
        broker = ApacheBroker(Path(folder) / "kafka")
        broker.start()
        with (
            topics(broker.bootstrap) as producer,
            closing(RedisReader(store.url, 1)) as reader,
            Redis.from_url(store.url) as raw,
            Progress() as bar,
        ):
            keep_little(broker.bootstrap)
            feed = Feed(producer, random.Random(3), keep_times=False)
            task = bar.add_task("soak", total=wait_s)
            with worker(Path(folder), broker.bootstrap, store.url, labels=True) as pid:
                began_s = looked_s = time.monotonic()
                labelled = done = 0
                while (now_s := time.monotonic()) < began_s + wait_s:
                    if feed.count - done < WAITING_MAX:
                        feed.send(STEP)
                        late = max(labelled, feed.count - WAITING_MAX // 2)
                        feed.label(labelled, late)
                        labelled = late
                    else:
                        time.sleep(0.02)
                    done = sum(counted(reader))
                    if now_s - looked_s >= 1:
                        looked_s = now_s
                        held = raw.info("memory")["used_memory"] / 2**20
                        seen.append((now_s - began_s, resident_mb(pid), held))
                        bar.update(task, completed=now_s - began_s)
        broker.end()
    merge("memory", {**known().get("memory", {}), "soak": figures(seen, done, options.minutes)})


def figures(seen: list[tuple[float, float, float]], records: int, minutes: float) -> dict[str, Any]:
    """Medians of a tenth of the time: after the warm-up, and at the end."""
    tenth_s = 6 * minutes
    warm_s, end_s = 10 * minutes, 60 * minutes - tenth_s
    after = [row for row in seen if warm_s <= row[0] < warm_s + tenth_s]
    last = [row for row in seen if row[0] >= end_s]
    (rss, store), (rss_end, store_end) = (
        (statistics.median(row[1] for row in rows), statistics.median(row[2] for row in rows))
        for rows in (after, last)
    )
    return {
        "minutes": minutes,
        "predictions": records,
        "worker_mb": [round(rss, 1), round(rss_end, 1)],
        "worker_growth": round(rss_end / rss - 1, 4),
        "store_mb": [round(store, 1), round(store_end, 1)],
    }


if __name__ == "__main__":
    main()
