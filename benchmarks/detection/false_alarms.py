"""What is said while nothing is wrong: stationary streams of five kinds, a month each.

Worlds: a constant rate; a daily cycle; a base rate and the slice's share that move together with the hour;
rows that come seven a user with correlation 0.3; bursts of 20 to 50 retries of one failing request in one
bucket of fifty.

A stream is promised one false alarm a month. Gaps and declines are judged in hours of labels (the tier that
the default label wait of a day gives), 50 rows of the slice among 1,000 an hour; declines by whole days too.
Drift is judged in buckets of ten minutes of 200 values, within the day and by days. An alarm is an alert that
opens; one that ends and opens again is counted again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from river.drift import ADWIN, KSWIN, PageHinkley
from scipy import stats

from benchmarks.detection.configuration import DAILY, GAP, HOURLY, MONTH_S
from benchmarks.detection.delay import learned
from monitor.core.counters import Scalar, SliceCounts
from monitor.core.detectors import degradation, drift, slice_gap
from monitor.core.detectors.degradation import DegradationState
from monitor.core.detectors.degradation_measures import DegradationStream, Watched
from monitor.core.detectors.drift import Cells, Drift, DriftState
from monitor.core.detectors.finding import SliceName
from monitor.core.detectors.gap_tables import Tables
from monitor.core.drift import psi
from monitor.core.drift.layout import FIRST, Block, BlockKind

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WORLDS = ("constant", "daily cycle", "mix and rate together", "clusters", "retry bursts")
HOUR_S, DAY_S, TEN_MINUTES_S = 3_600, 86_400, 600
VALUES = 200
EDGES = stats.norm.ppf(np.arange(1, 20) / 20)
SIZE = FIRST + 20


@dataclass(frozen=True)
class Hour:
    """Tables of every stream in one hour: rows and failures of slice and rest, int64[S]."""

    n1: Ints
    s1: Ints
    n2: Ints
    s2: Ints


def hours(world: str, streams: int, days: int, rng: np.random.Generator) -> Iterator[Hour]:
    """Stationary traffic of one kind."""
    for hour in range(24 * days):
        phase = math.sin(2 * math.pi * hour / 24)
        rate = 0.10 + (0.04 * phase if world in {"daily cycle", "mix and rate together"} else 0.0)
        share = 0.05 * (1 + 0.6 * phase) if world == "mix and rate together" else 0.05
        n1 = rng.binomial(1_000, share, streams)
        n2 = 1_000 - n1
        if world == "clusters":
            yield Hour(n1, _clustered(rng, n1, rate), n2, _clustered(rng, n2, rate))
            continue
        s1, s2 = rng.binomial(n1, rate), rng.binomial(n2, rate)
        if world == "retry bursts":
            burst = np.where(rng.random(streams) < 0.02, rng.integers(20, 51, streams), 0)
            mine = rng.random(streams) < 0.05
            n1, s1 = n1 + burst * mine, s1 + burst * mine
            n2, s2 = n2 + burst * ~mine, s2 + burst * ~mine
        yield Hour(n1, s1, n2, s2)


def _clustered(rng: np.random.Generator, rows: Ints, rate: float) -> Ints:
    """Failures among rows that come seven a user, correlation 0.3 within a user."""
    size = 7
    users = -(-rows // size)
    spread = (1 - 0.3) / 0.3
    width = int(users.max())
    odds = rng.beta(rate * spread, (1 - rate) * spread, (len(rows), width))
    of_user = np.clip(rows[:, None] - size * np.arange(width), 0, size)
    failures: Ints = rng.binomial(of_user, odds).sum(axis=1)
    return failures


def gaps(world: str, streams: int, days: int, seed: int) -> tuple[int, int]:
    """Alarms of gaps between a slice and the rest, and of a z-test with p < 0.05 on the same hours."""
    rng = np.random.default_rng(seed)
    state = learned(rng, streams)
    names = {i: SliceName(i, f'{{"s":"{i}"}}') for i in range(1, streams + 1)}
    bar = np.full(streams, math.log(MONTH_S / HOUR_S))
    every, standing = np.ones(streams, np.bool_), np.zeros(streams, np.bool_)
    alarms = naive = 0
    for place, h in enumerate(hours(world, streams, days, rng)):
        tables = Tables(h.n1, h.s1, h.n2, h.s2, np.zeros(streams, np.int64))
        state = slice_gap.step(GAP, state, tables, place * HOUR_S * 1000, every)
        state, _ = slice_gap.judge(GAP, state, names, bar, np.full(streams, 0.0))
        alarms += int((state.tracker.open & ~standing).sum())
        standing = state.tracker.open.copy()
        pooled = (h.s1 + h.s2) / (h.n1 + h.n2)
        error = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(h.n1, 1) + 1 / h.n2))
        naive += int((np.abs(h.s1 / np.maximum(h.n1, 1) - h.s2 / h.n2) > 1.96 * error).sum())
    return alarms, naive


def declines(world: str, streams: int, days: int, seed: int) -> int:
    """Alarms of accuracy against a reference of 20,000 rows, within days and from day to day."""
    rng = np.random.default_rng(seed)
    told = [DegradationStream(i, Watched.ACCURACY, 1.0) for i in range(streams)]
    names = {i: SliceName(i, f'{{"s":"{i}"}}') for i in range(streams)}
    wrong = rng.binomial(20_000, 0.10, streams)
    known = {i: _answered(20_000, int(wrong[i])) for i in range(streams)}
    hourly = degradation.align(HOURLY, DegradationState.fresh(), told, known)
    daily = degradation.align(DAILY, DegradationState.fresh(), told, known)
    every = np.ones(streams, np.bool_)
    bars = [np.full(streams, math.log(2 * MONTH_S / s)) for s in (HOUR_S, DAY_S)]
    standing = np.zeros((2, streams), np.bool_)
    day = np.zeros((streams, 2), np.int64)
    alarms = 0
    for place, h in enumerate(hours(world, streams, days, rng)):
        rows, failures = h.n1 + h.n2, h.s1 + h.s2
        day += np.stack([rows, failures], axis=1)
        counts = {i: _answered(int(rows[i]), int(failures[i])) for i in range(streams)}
        hourly = degradation.step(HOURLY, hourly, counts, place * HOUR_S * 1000, every)
        hourly, _ = degradation.judge(HOURLY, hourly, names, bars[0], 0)
        if place % 24 == 23:
            counts = {i: _answered(*day[i].tolist()) for i in range(streams)}
            daily = degradation.step(DAILY, daily, counts, place * HOUR_S * 1000, every)
            daily, _ = degradation.judge(DAILY, daily, names, bars[1], 0)
            day[:] = 0
        for row, state in enumerate((hourly, daily)):
            alarms += int((state.tracker.open & ~standing[row]).sum())
            standing[row] = state.tracker.open
    return alarms


def _answered(rows: int, wrong: int) -> SliceCounts:
    counts = SliceCounts.zero()
    counts.scalars[[Scalar.LABELLED, Scalar.FP, Scalar.TN]] = rows, wrong, rows - wrong
    return counts


def values(world: str, streams: int, days: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Ten minutes of a feature in every stream, float64[S, 200 or more]."""
    per_day = DAY_S // TEN_MINUTES_S
    for place in range(per_day * days):
        phase = math.sin(2 * math.pi * place / per_day)
        drawn = rng.normal(0.2 * phase if world == "daily cycle" else 0.0, 1.0, (streams, VALUES))
        if world == "mix and rate together":
            drawn += 0.5 * (rng.random((streams, VALUES)) < 0.3 * (1 + 0.5 * phase)) - 0.15
        elif world == "clusters":
            drawn = np.repeat(drawn[:, : VALUES // 7 + 1], 7, axis=1)[:, :VALUES]
        elif world == "retry bursts" and rng.random() < 0.02:
            drawn[:, : rng.integers(20, 51)] = drawn[:, :1]
        yield drawn


def drifts(world: str, streams: int, days: int, seed: int) -> dict[str, int]:
    """Alarms of drift, and of PSI over 0.2 and KS with p < 0.05 on the hours of the same streams."""
    rng = np.random.default_rng(seed)
    blocks = tuple(Block(f"f{i}", BlockKind.NUMBER, i * SIZE, SIZE, edges=EDGES) for i in range(streams))
    sample = np.concatenate([*values(world, streams, 1, rng)], axis=1)
    cells = Cells(blocks, counted(sample))
    configs = (Drift(TEN_MINUTES_S), Drift(DAY_S, past_buckets=5, warm_pairs=0))
    states = [drift.align(DriftState.fresh(), cells) for _ in configs]
    bars = [np.full(streams, math.log(2 * MONTH_S / c.bucket_s)) for c in configs]
    standing = np.zeros((2, streams), np.bool_)
    day, hour = np.zeros(streams * SIZE, np.int64), np.zeros(streams * SIZE, np.int64)
    found = {"ours": 0, "psi": 0, "ks": 0}
    per_day = DAY_S // TEN_MINUTES_S
    reference = cells.reference.reshape(streams, SIZE)
    for place, drawn in enumerate(values(world, streams, days, rng)):
        counts = counted(drawn)
        day, hour = day + counts, hour + counts
        due = [(0, counts)] + ([(1, day)] if place % per_day == per_day - 1 else [])
        for which, bucket in due:
            phi = states[0].scatter.design_effect if which else None
            states[which] = drift.step(configs[which], states[which], cells, bucket, place * 600_000)
            states[which], _ = drift.judge(configs[which], states[which], cells, bars[which], phi)
            found["ours"] += int((states[which].open & ~standing[which]).sum())
            standing[which] = states[which].open
        if len(due) > 1:
            day = np.zeros_like(day)
        if place % 6 == 5:
            for one, known in zip(hour.reshape(streams, SIZE), reference, strict=True):
                reading = psi.reading(known, one)
                found["psi"] += isinstance(reading, psi.Reading) and reading.value > 0.2
                gap = np.abs(np.cumsum(one) / one.sum() - np.cumsum(known) / known.sum()).max()
                size = one.sum() * known.sum() / (one.sum() + known.sum())
                found["ks"] += float(stats.kstwobign.sf(gap * math.sqrt(size))) < 0.05
            hour = np.zeros_like(hour)
    return found


def counted(drawn: Floats) -> Ints:
    """Histograms of every stream, one after the other."""
    bins = FIRST + np.searchsorted(EDGES, drawn, side="right") + SIZE * np.arange(len(drawn))[:, None]
    return np.bincount(bins.ravel(), minlength=SIZE * len(drawn)).astype(np.int64)


def river_alarms(world: str, rows: int, seed: int) -> dict[str, float]:
    """Alarms a stream and month of river's detectors at their defaults, read row by row from one stream.

    A month has 864,000 values; `rows` of them are read and the rest extrapolated.
    """
    makers: dict[str, Callable[[], Any]] = {
        "ADWIN": ADWIN, "KSWIN": lambda: KSWIN(seed=1), "PageHinkley": PageHinkley
    }  # fmt: skip
    found = {}
    for name, make in makers.items():
        rng = np.random.default_rng(seed)
        read = rows // 5 if name == "KSWIN" else rows
        detector, alarms = make(), 0
        drawn = np.concatenate([part[0] for part in values(world, 1, -(-read // (VALUES * 144)), rng)])[:read]
        for value in drawn.tolist():
            detector.update(value)
            alarms += detector.drift_detected
        found[name] = alarms * 864_000 / read
    return found


def run(quick: bool) -> dict[str, Any]:
    """The section of the report."""
    each, days, rows = (4, 3, 20_000) if quick else (40, 30, 200_000)
    shares = {"gap": each // 2, "decline": each // 4, "drift": each // 4}
    observed = 0
    by_world: dict[str, Any] = {}
    names = ("z-test p<0.05 hourly", "PSI 0.2 hourly", "KS p<0.05 hourly")
    peers: dict[str, float] = dict.fromkeys(names, 0.0)
    for seed, world in enumerate(track(WORLDS, "stationary streams")):
        gap, naive = gaps(world, shares["gap"], days, seed)
        decline = declines(world, shares["decline"], days, seed + 10)
        drifted = drifts(world, shares["drift"], days, seed + 20)
        by_world[world] = {"gap": gap, "decline": decline, "drift": drifted["ours"]}
        observed += gap + decline + drifted["ours"]
        months = days / 30 * len(WORLDS)
        peers["z-test p<0.05 hourly"] += naive / shares["gap"] / months
        peers["PSI 0.2 hourly"] += drifted["psi"] / shares["drift"] / months
        peers["KS p<0.05 hourly"] += drifted["ks"] / shares["drift"] / months
        for name, alarms in river_alarms(world, rows, seed).items():
            peers[f"river {name}"] = peers.get(f"river {name}", 0.0) + alarms / len(WORLDS)
    streams = len(WORLDS) * sum(shares.values())
    low = stats.chi2.ppf(0.025, 2 * observed) / 2 if observed else 0.0
    high = stats.chi2.ppf(0.975, 2 * observed + 2) / 2
    return {
        "promised": streams * days / 30,
        "observed": observed,
        "interval": [round(float(low), 2), round(float(high), 2)],
        "streams": streams,
        "days": days,
        "by_world": by_world,
        "peers_a_stream_and_month": {name: round(value, 1) for name, value in peers.items()},
    }
