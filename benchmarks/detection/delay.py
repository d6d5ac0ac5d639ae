"""Rows of a slice until its failure is told: 5 % of traffic, 50 slice rows a bucket, error 0.10 before."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from benchmarks.detection.configuration import GAP, MONTH_S, STREAMS
from monitor.core.detectors import slice_gap
from monitor.core.detectors.finding import SliceName
from monitor.core.detectors.gap_tables import GapMetric, GapStream, Tables
from monitor.core.detectors.slice_gap import GapState
from monitor.core.evidence import conditional
from monitor.core.evidence.edetector import Tracker, advance

SLICE_ROWS, REST_ROWS, BASE = 50, 950, 0.10
BUCKET_S = 60.0
REFERENCE_ROWS = 20_000


def algorithm(error: float, streams: int = 400, seed: int = 1) -> float:
    """Median slice rows: exact null, level 1e-4, evidence from the change on."""
    rng = np.random.default_rng(seed)
    n1, n2 = np.full(streams, SLICE_ROWS), np.full(streams, REST_ROWS)
    tracker = Tracker.fresh(streams, len(conditional.ODDS_FACTORS), 1)
    one = np.ones(streams)
    taken = np.full(streams, np.inf)
    for bucket in range(1, 200):
        s1, s2 = rng.binomial(n1, error), rng.binomial(n2, BASE)
        log_e = conditional.log_e_values(n1, s1, n2, s2, one, conditional.odds_ratios_above(one))
        tracker = advance(tracker, log_e, np.zeros((streams, 1)), bucket, one > 0)
        taken[(tracker.log_evidence >= math.log(1e4)) & np.isinf(taken)] = bucket * SLICE_ROWS
    return float(np.median(taken))


def product(error: float, streams: int = 100, quiet_days: int = 30, seed: int = 2) -> float:
    """Median slice rows of the detector as it is: tolerance, a reference, 30 quiet days before the change.

    The threshold is that of one of 100 streams that share one false alarm a month. Buckets are mature when
    they are judged, so the wait for labels adds time and no rows.
    """
    rng = np.random.default_rng(seed)
    state = learned(rng, streams)
    names = {i: SliceName(i, f'{{"s":"{i}"}}') for i in range(1, streams + 1)}
    bar = np.full(streams, math.log(MONTH_S / BUCKET_S * STREAMS))
    taken = np.full(streams, np.inf)
    quiet = round(quiet_days * 86_400 / BUCKET_S)
    every = np.ones(streams, np.bool_)
    failing = 0
    for bucket in range(quiet + 400):
        rate = error if bucket >= quiet else BASE
        state = slice_gap.step(GAP, state, table(rng, streams, rate), bucket * 60_000, every)
        state, findings = slice_gap.judge(GAP, state, names, bar, np.full(streams, (bucket + 1) * 60_000.0))
        if bucket >= quiet:
            failing += 1
            told = {finding.subject["slice"]["s"] for finding in findings if finding.holds}
            hit = np.array([str(i) in told for i in range(1, streams + 1)])
            taken[hit & np.isinf(taken)] = failing * SLICE_ROWS
    return float(np.median(taken))


def table(rng: np.random.Generator, streams: int, error: float) -> Tables:
    """One bucket of every stream."""
    n1, n2 = np.full(streams, SLICE_ROWS), np.full(streams, REST_ROWS)
    return Tables(n1, rng.binomial(n1, error), n2, rng.binomial(n2, BASE), np.zeros(streams, np.int64))


def learned(rng: np.random.Generator, streams: int) -> GapState:
    """Detectors that know a reference of 20,000 rows."""
    told = tuple(GapStream(i, GapMetric.ERROR_RATE, False, 1.0) for i in range(1, streams + 1))
    state = slice_gap.align(GAP, GapState.fresh(), told, None)
    n1 = np.full(streams, REFERENCE_ROWS // 20)
    n2 = np.full(streams, REFERENCE_ROWS - REFERENCE_ROWS // 20)
    sums = Tables(n1, rng.binomial(n1, BASE), n2, rng.binomial(n2, BASE), np.zeros(streams, np.int64)).sums[
        :, :6
    ]
    return replace(
        state, reference=sums, tolerated=slice_gap.tolerance(GAP, sums), told=np.ones(streams, np.bool_)
    )


def run(quick: bool) -> dict[str, float]:
    """The section of the report."""
    streams, days = (40, 1) if quick else (100, 30)
    return {
        "0.15 algorithm": algorithm(0.15),
        "0.20 algorithm": algorithm(0.20),
        "0.15 product": product(0.15, streams, days),
        "0.20 product": product(0.20, streams, days),
    }
