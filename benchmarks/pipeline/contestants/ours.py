"""The worker as `monitor run` runs it: from Kafka to Redis, evaluator and watch included.

Labels come when their predictions have been counted, as they do in life: they are copied to the topic the
worker reads once the predictions are done, and the CPU of both stretches is added up.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clock import arguments

from benchmarks.pipeline.traffic import TENTH_SLICES, schema_of
from monitor.app import Worker
from monitor.config import Settings

LATER = "labels-later"


async def stretch(worker: Worker, start: int, end: int) -> tuple[float, float]:
    """CPU and wall seconds a record, from the first chunk past `start` to `end`."""
    while (first := worker._ingest.progress.records) <= start:  # noqa: ASYNC110, SLF001 - looked at from outside
        await asyncio.sleep(0.005)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    while worker._ingest.progress.records < end:  # noqa: ASYNC110, SLF001
        await asyncio.sleep(0.01)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return cpu_s / (end - first), wall_s / (end - first)


async def main() -> None:
    bootstrap, topics, records, redis_url = arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "credit.yaml"
        schema_of().dump(path)
        slices = list(TENTH_SLICES)
        raw = {
            "kafka": {
                "bootstrap_servers": bootstrap,
                "predictions": {"topics": ["predictions"]},
                "labels": {"topics": [LATER]},
            },
            "redis": {"url": redis_url},
            "models": {"credit": {"task": "binary", "schema": str(path), "slices": slices}},
            "worker": {"rebalance_timeout": 3},
        }
        worker = Worker(Settings.parse(raw, env={}))
    running = asyncio.create_task(worker.run())
    predictions = records // len(topics)
    parts = [await stretch(worker, 0, predictions)]
    if len(topics) > 1:
        copy = [sys.executable, str(Path(__file__).parent / "copy_topic.py"), bootstrap, topics[1], LATER]
        copying = asyncio.create_task(
            asyncio.to_thread(subprocess.run, [*copy, str(predictions)], check=True)
        )
        parts.append(await stretch(worker, predictions, records))
        await copying
    assert not running.done()
    cpu_s, wall_s = (sum(part[i] for part in parts) * predictions for i in range(2))
    print(json.dumps({"records": records, "cpu_s": cpu_s, "wall_s": wall_s}), flush=True)
    os._exit(0)


asyncio.run(main())
