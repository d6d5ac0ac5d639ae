"""How the price of a prediction moves with the work: features, slices, violations, models, labels, shards.

    python -m benchmarks.pipeline.grid [--requests 40000] [--repeats 3]

Chunks from memory into a bundled store, one thing changed at a time from 8 features, 10 slices, no violation,
one model and one shard; interleaved rounds, medians. Predictions of a whole week in one chunk are a backfill;
the difference to the row with labels is the price of labels that come a week late. Merged into bench.json
under `grid`, with what the store holds of it afterwards under `memory`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from rich.progress import track

from benchmarks.pipeline.alone import Cost, run
from benchmarks.pipeline.report import known, merge
from benchmarks.pipeline.traffic import Shape, make
from monitor.edges.embedded import EmbeddedRedis

WEEK_S = 7 * 86_400.0


@dataclass(frozen=True)
class Case:
    """One point of the grid.

    Attributes:
        shape: of the traffic; its rate is what `span_s` makes it, where that is given.
        labels: one for each prediction.
        shards: of the store.
        span_s: event time from first to last prediction.
        share: of the requests.
    """

    shape: Shape = field(default_factory=Shape)
    labels: bool = False
    shards: int = 1
    span_s: float | None = None
    share: float = 1.0


CASES = {
    "8 features, 10 slices": Case(),
    "50 features": Case(Shape(features=50)),
    "100 slices": Case(Shape(slices=100)),
    "1 % violating": Case(Shape(violating=0.01)),
    "50 % violating": Case(Shape(violating=0.5)),
    "20 models": Case(Shape(models=20)),
    "4 shards": Case(shards=4),
    "16 shards": Case(shards=16),
    "labels after seconds": Case(labels=True),
    "labels after seconds, 100 slices": Case(Shape(slices=100), labels=True),
    "predictions of a whole week": Case(span_s=WEEK_S, share=0.1),
    "predictions of a whole week, labels spread over it": Case(
        Shape(label_wait_s=WEEK_S), labels=True, span_s=WEEK_S, share=0.1
    ),
}


def shaped(case: Case, requests: int) -> Shape:
    """The case's traffic, stretched over its span."""
    shape = case.shape
    if case.span_s is None:
        return shape
    return Shape(
        shape.features,
        shape.slices,
        shape.violating,
        shape.models,
        requests / case.span_s,
        shape.label_wait_s,
    )


def figures(costs: list[Cost], requests: int) -> dict[str, Any]:
    """Medians, a prediction."""
    cpu_s, wall_s, store_s = (
        statistics.median(getattr(cost, name) for cost in costs)
        for name in ("cpu_s", "wall_s", "store_cpu_s")
    )
    return {
        "per_cpu_s": round(requests / cpu_s),
        "per_s": round(requests / wall_s),
        "store_us": round(store_s / requests * 1e6, 2),
        "cells": round(statistics.median(cost.cells for cost in costs) / requests, 2),
    }


def held(url: str) -> dict[str, tuple[int, int]]:
    """Family of keys → how many, and their bytes: what `MEMORY USAGE` says of each."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    with Redis.from_url(url) as raw:
        names = list(raw.scan_iter(count=10_000))
        with raw.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.execute_command("MEMORY USAGE", name, "SAMPLES", 0)
            sizes = pipe.execute()
        for name, size in zip(names, sizes, strict=True):
            parts = name.decode().split("}:")[-1].split(":")
            # {mon:0}:c:MODEL:TIER:BUCKET:KIND:SLICE
            family = f"{parts[4]} {parts[2]}" if parts[0] == "c" else parts[0]
            rows = raw.hlen(name) if parts[0] == "stubs" else 1
            found[family][0] += int(rows)
            found[family][1] += int(size)
    return {family: (count, size) for family, (count, size) in sorted(found.items())}


def memory(requests: int) -> dict[str, Any]:
    """Bytes of a prediction that waits for its label, and of a slice's bucket by kind and tier."""
    with EmbeddedRedis() as server:
        asyncio.run(run(make(requests), labels=False, url=server.url))
        waiting = held(server.url)
    with EmbeddedRedis() as server:
        asyncio.run(run(make(requests), labels=True, url=server.url))
        labelled = held(server.url)
    buckets = {family: round(size / count) for family, (count, size) in labelled.items() if " " in family}
    return {
        "bytes_per_pending_prediction": round(waiting["stubs"][1] / waiting["stubs"][0], 1),
        "bytes_per_labelled_prediction": round(labelled["stubs"][1] / labelled["stubs"][0], 1),
        "bytes_per_slice_bucket": buckets,
    }


def main() -> None:
    """Measure and merge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    sizes = {name: int(case.share * options.requests) for name, case in CASES.items()}
    traffic = {name: make(sizes[name], shaped(case, sizes[name])) for name, case in CASES.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in CASES}
    rounds = [name for _ in range(options.repeats) for name in CASES]  # interleaved: the machine drifts
    for name in track(rounds, "grid"):
        case = CASES[name]
        costs[name].append(asyncio.run(run(traffic[name], case.labels, case.shards)))
    grid = {name: figures(found, sizes[name]) for name, found in costs.items()}
    merge("grid", grid)
    merge("memory", {**known().get("memory", {}), **memory(options.requests)})
    for name, row in grid.items():
        print(name, row)


if __name__ == "__main__":
    main()
