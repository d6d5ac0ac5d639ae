"""How long a reader waits: 100 slices over 24 hours, and a page of the dashboard.

A day of traffic is laid into a Redis of its own, in the arrays that workers write. The figures are merged
into `benchmarks/reports/bench.json` under `reader_ms`.

    python -m benchmarks.reading
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import redis

from benchmarks.pipeline.report import merge
from monitor.core.counters import (
    CALIBRATION,
    DEFAULT_TIERS,
    SCALARS,
    SCORES,
    CellKey,
    Kind,
    Scalar,
    Tier,
    fixed,
    score_bin,
)
from monitor.core.slices.spec import slice_key
from monitor.edges.embedded import EmbeddedRedis
from monitor.edges.reader import MetricsReader
from monitor.edges.redis import keys
from monitor.edges.redis.payload import array
from monitor.edges.redis.reader import RedisReader
from monitor.edges.web.dashboard import html
from monitor.edges.web.page_data import page

SLICES = 100
ROWS_PER_SECOND = 4
SPAN_S = 86_400 + 3_600


def lay(raw: Any, now_s: int, seed: int = 7) -> None:
    """A day of traffic until now, in every tier; fine buckets add up to coarse ones, or they were lost."""
    first_s = now_s - SPAN_S
    rng = np.random.default_rng(seed)
    for number in range(SLICES):
        name = slice_key({"city": f"c{number}"})
        raw.hset(keys.ids(0, "m", "slices"), name, f"{number + 1}:x")
    spans: dict[Tier, set[int]] = {tier: set() for tier in DEFAULT_TIERS}
    with raw.pipeline(transaction=False) as pipe:
        for tier in DEFAULT_TIERS:
            begin_s = max(first_s, now_s - tier.keep_s) // tier.bucket_s * tier.bucket_s
            for at_s in range(begin_s, now_s, tier.bucket_s):
                spans[tier].add(at_s)
                rows = ROWS_PER_SECOND * (min(at_s + tier.bucket_s, now_s) - max(at_s, first_s))
                for number in range(SLICES + 1):
                    n = rows * SLICES if number == 0 else rows
                    write(pipe, SCALARS, tier, at_s, number, scalars(n))
                    if tier.bucket_s >= 3_600:
                        write(pipe, SCORES, tier, at_s, number, curve(rng, n))
                        write(pipe, CALIBRATION, tier, at_s, number, np.full(CALIBRATION.size, n))
                if len(pipe) > 5_000:
                    pipe.execute()
        for tier, starts in spans.items():
            pipe.zadd(keys.buckets(0, "m", tier.name), {str(at_s): at_s for at_s in starts})
        pipe.execute()


def scalars(n: int) -> Any:
    """Cells of n rows, all labelled, a tenth of them wrong."""
    cells = np.zeros(SCALARS.size, np.int64)
    for cell in (Scalar.REQUESTS, Scalar.TRACKED, Scalar.SCORED, Scalar.DECIDED, Scalar.LABELLED):
        cells[cell] = n
    cells[Scalar.TP], cells[Scalar.TN] = n - n // 2 - n // 20, n // 2 - n // 20
    cells[Scalar.FP] = cells[Scalar.FN] = n // 20
    cells[Scalar.POSITIVE] = cells[Scalar.LABEL_POSITIVE] = n - n // 2
    cells[Scalar.LOG_LOSS_SUM] = int(fixed(np.array([0.4]))[0]) * n
    return cells


def curve(rng: np.random.Generator, n: int) -> Any:
    """Score histograms of n rows."""
    bins = score_bin(1 / (1 + np.exp(-rng.normal(0, 2, 500))))
    parts = np.zeros((512, 3), np.int64)
    for part, share in ((0, 1.0), (1, 0.5), (2, 0.5)):
        parts[:, part] = np.bincount(bins, minlength=512) * round(n * share) // 500
    parts[256, 0] += n - parts[:, 0].sum()
    return parts.reshape(-1)


def write(pipe: Any, kind: Kind, tier: Tier, at_s: int, number: int, cells: Any) -> None:
    """An array as a flush leaves it: big-endian, up to the last touched cell."""
    width = ">u4" if kind.width_bits(tier) == 32 else ">i8"
    last = int(np.flatnonzero(cells)[-1]) + 1
    pipe.set(array(0, CellKey(kind, tier, at_s, "m", number)), cells[:last].astype(width).tobytes())


def timed(call: Callable[[], object], times: int = 9) -> float:
    """Median milliseconds, after one call that warms up."""
    call()
    took = []
    for _ in range(times):
        began_s = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - began_s))
    return round(statistics.median(took), 1)


def main() -> None:
    """Measure and merge."""
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as raw:
        lay(raw, int(time.time()))
        reader = RedisReader(server.url, 1)
        metrics = MetricsReader(reader)
        reports = metrics.slices("m", since="24h", estimates=False)
        assert len(reports) == SLICES + 1
        quick = metrics.quick_metrics("m")

        def drawn(window: str) -> str:
            return html(page(reader, metrics, {"m": None}, {"m": 86_400}, "m", window))

        _, (window,) = metrics._windows.cut(  # noqa: SLF001 - to say what was read
            question := metrics._windows.question("m", "24h", None, None),  # noqa: SLF001
            [question.span],
        )
        figures = {
            "slices": SLICES,
            "buckets": len(window.parts),
            "slices_24h_scalars": timed(lambda: metrics.slices("m", "24h", metrics=quick, estimates=False)),
            "slices_24h_all_metrics": timed(lambda: metrics.slices("m", "24h", estimates=False)),
            "dashboard_page_24h": timed(lambda: drawn("24h")),
            "dashboard_page_1h": timed(lambda: drawn("1h")),
        }
        reader.close()
    merge("reader_ms", figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
