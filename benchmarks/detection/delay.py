"""Rows of a slice until its failure is told: 5 % of traffic, 50 slice rows a bucket, error 0.10 before.

`algorithm` is the conditional test against equal rates at level 1e-4, with evidence from the change on.
`product` is the detector as it is: odds that differ by 1.25 tolerated, a reference of 20,000 rows, 30 quiet
days in buckets of a minute before the change, and the threshold of one of 100 streams that share one false
alarm a month. Buckets are mature when they are judged: the wait for labels adds time and no rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks.detection.configuration import GAP, MONTH_S, STREAMS
from monitor.core.detectors import slice_gap
from monitor.core.detectors.finding import SliceName
from monitor.core.detectors.gap_tables import GapMetric, GapStream, Tables
from monitor.core.detectors.slice_gap import GapState
from monitor.core.evidence import conditional
from monitor.core.evidence.edetector import Tracker, advance

Floats = NDArray[np.float64]

SLICE_ROWS, REST_ROWS, BASE = 50, 950, 0.10
BUCKET_S: Final = 60
REFERENCE_ROWS: Final = 20_000
BUCKETS_MAX: Final = 400
"""A failure that is not told after so many buckets counts as missed: infinitely many rows."""


def algorithm(error: float, streams: int = 400, seed: int = 1) -> Floats:
    """Slice rows of each stream, float64[streams]."""
    rng = np.random.default_rng(seed)
    n1, n2 = np.full(streams, SLICE_ROWS), np.full(streams, REST_ROWS)
    tracker = Tracker.fresh(streams, len(conditional.ODDS_FACTORS), 1)
    one = np.ones(streams)
    taken = np.full(streams, np.inf)
    for bucket in range(1, BUCKETS_MAX):
        s1, s2 = rng.binomial(n1, error), rng.binomial(n2, BASE)
        log_e = conditional.log_e_values(n1, s1, n2, s2, one, conditional.odds_ratios_above(one))
        tracker = advance(tracker, log_e, np.zeros((streams, 1)), bucket, one > 0)
        taken[(tracker.log_evidence >= math.log(1e4)) & np.isinf(taken)] = bucket * SLICE_ROWS
    return taken


def product(
    errors: Sequence[float], streams: int = 200, quiet_days: int = 30, seed: int = 2
) -> Mapping[float, Floats]:
    """Slice rows of each stream by error rate after the change, float64[streams].

    A stream that alarms before the change has its alert standing when it comes; such a stream counts as
    missed, since nobody would be told anew.
    """
    rng = np.random.default_rng(seed)
    state = learned(rng, streams)
    quiet = round(quiet_days * 86_400 / BUCKET_S)
    with Progress(console=Console(stderr=True)) as progress:
        for bucket in progress.track(range(quiet), description="quiet days"):
            state = _judged(_stepped(state, rng, BASE, bucket), bucket)
    standing = state.tracker.open
    found = {}
    for error in errors:
        now, taken = state, np.full(streams, np.inf)
        for bucket in range(quiet, quiet + BUCKETS_MAX):
            now = _judged(_stepped(now, rng, error, bucket), bucket)
            new = now.tracker.open & ~standing & np.isinf(taken)
            taken[new] = (bucket - quiet + 1) * SLICE_ROWS
            if not np.isinf(taken).any():
                break
        found[error] = taken
    return found


def _stepped(state: GapState, rng: np.random.Generator, error: float, bucket: int) -> GapState:
    streams = len(state.streams)
    n1, n2 = np.full(streams, SLICE_ROWS), np.full(streams, REST_ROWS)
    table = Tables(n1, rng.binomial(n1, error), n2, rng.binomial(n2, BASE), np.zeros(streams, np.int64))
    return slice_gap.step(GAP, state, table, bucket * BUCKET_S * 1000, np.ones(streams, np.bool_))


def _judged(state: GapState, bucket: int) -> GapState:
    streams = len(state.streams)
    names = {i: SliceName(i, f'{{"s":"{i}"}}') for i in range(1, streams + 1)}
    bar = np.full(streams, math.log(MONTH_S / BUCKET_S * STREAMS))
    ends_ms = np.full(streams, 1000.0 * BUCKET_S * (bucket + 1))
    return slice_gap.judge(GAP, state, names, bar, ends_ms)[0]


def learned(rng: np.random.Generator, streams: int, rate: float = BASE) -> GapState:
    """Detectors of slices 1 to S that know a reference of 20,000 rows, a twentieth of them in the slice."""
    told = tuple(GapStream(i, GapMetric.ERROR_RATE, False, 1.0) for i in range(1, streams + 1))
    state = slice_gap.align(GAP, GapState.fresh(), told, None)
    n1 = np.full(streams, REFERENCE_ROWS // 20)
    n2 = np.full(streams, REFERENCE_ROWS - REFERENCE_ROWS // 20)
    table = Tables(n1, rng.binomial(n1, rate), n2, rng.binomial(n2, rate), np.zeros(streams, np.int64))
    sums = table.sums[:, :6]
    return replace(
        state, reference=sums, tolerated=slice_gap.tolerance(GAP, sums), told=np.ones(streams, np.bool_)
    )


def summary(taken: Floats) -> dict[str, Any]:
    """Median, its 95 % interval by order statistics, the 95 % quantile, and how often it was missed."""
    rows = np.sort(taken)
    reach = 1.96 * math.sqrt(rows.size) / 2
    low, high = math.floor(rows.size / 2 - reach), math.ceil(rows.size / 2 + reach)
    found = {
        "median": np.median(rows),
        "low": rows[max(low, 0)],
        "high": rows[min(high, rows.size - 1)],
        "p95": np.quantile(rows, 0.95, method="higher"),
    }
    told = {name: float(value) if np.isfinite(value) else None for name, value in found.items()}
    return told | {"missed": int(np.isinf(rows).sum()), "streams": rows.size}


def run(quick: bool) -> dict[str, dict[str, Any]]:
    """The section of the report, by name of the figure."""
    streams, days = (40, 1) if quick else (200, 30)
    errors = (0.15, 0.20)
    found = product(errors, streams, days)
    return {
        **{f"{error:.2f} algorithm": summary(algorithm(error)) for error in errors},
        **{f"{error:.2f} product": summary(found[error]) for error in errors},
    }
