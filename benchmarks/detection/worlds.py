"""Stationary traffic of five kinds, drawn as counts; each world comes back to itself every day.

Constant: independent rows, one rate. Daily cycle: traffic moves by 50 % and a rate by 30 % with the hour (a
share of 0.30 by a fifth of its standard deviation, as far as a feature's mean). Mix and rate together: as
that, and the slice's share moves by 60 % with them (Simpson). Clusters: rows come 5 to 10 a user, all in the
slice or none; the failures of a user's rows are correlated by 0.3. Retry bursts: once in 50 hours (by chance)
one failing request comes 20 to 50 times within a bucket, each time under an identifier of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.detection.car_loans import slice_counts
from monitor.core.counters import SliceCounts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
BURST_EVERY_S: Final = 50 * HOUR_S
BURST: Final = (20, 51)
USER: Final = (5, 11)
CORRELATION: Final = 0.3
USER_ROWS: Final = (USER[0] + USER[1] - 1) / 2


@dataclass(frozen=True)
class World:
    """What moves with the hour, as parts of its mean, and how rows hang together."""

    traffic_swing: float = 0.0
    rate_swing: float = 0.0
    share_swing: float = 0.0
    users: bool = False
    retries: bool = False


WORLDS: Final = {
    "constant": World(),
    "daily cycle": World(traffic_swing=0.5, rate_swing=0.3),
    "mix and rate together": World(traffic_swing=0.5, rate_swing=0.3, share_swing=0.6),
    "clusters": World(users=True),
    "retry bursts": World(retries=True),
}


@dataclass(frozen=True)
class Table:
    """One bucket of S streams: rows and failures of slice and rest, int64[S]."""

    n1: Ints
    s1: Ints
    n2: Ints
    s2: Ints


def phase(start_s: float) -> float:
    """Where the day stands, -1 to 1."""
    return math.sin(2 * math.pi * start_s / DAY_S)


def bursts(world: World, rng: np.random.Generator, streams: int, bucket_s: int) -> Ints:
    """Retries that fall into a bucket, int64[S]; mostly none."""
    if not world.retries:
        return np.zeros(streams, np.int64)
    struck = rng.random(streams) < bucket_s / BURST_EVERY_S
    return np.where(struck, rng.integers(*BURST, streams), 0)


def draw(
    world: World,
    rng: np.random.Generator,
    streams: int,
    rows: float,
    share: float,
    rate: float,
    start_s: float,
    bucket_s: int,
    *,
    together: bool = False,
) -> Table:
    """One bucket.

    Args:
        world: of it.
        rng: source.
        streams: S.
        rows: of slice and rest, on average.
        share: of the slice, on average.
        rate: of failure, on average, the same in slice and rest.
        start_s: of the bucket.
        bucket_s: its length.
        together: the streams are counted on the same rows, as features of one request are.
    """
    now = phase(start_s)
    mean = rows * (1 + world.traffic_swing * now)
    fails, mine = rate * (1 + world.rate_swing * now), share * (1 + world.share_swing * now)
    apart = 1 if together else streams
    if world.users:
        users = rng.poisson(mean / USER_ROWS, apart)
        sizes = rng.integers(*USER, (apart, max(1, int(users.max()))))
        sizes = np.where(np.arange(sizes.shape[1]) < users[:, None], sizes, 0)
        spread = (1 - CORRELATION) / CORRELATION
        wide = (streams, sizes.shape[1])
        failures = rng.binomial(sizes, rng.beta(fails * spread, (1 - fails) * spread, wide))
        inside = rng.random(wide) < mine
        n = np.broadcast_to(sizes.sum(axis=1), streams)
        n1, s1 = (sizes * inside).sum(axis=1), (failures * inside).sum(axis=1)
        return Table(n1, s1, n - n1, failures.sum(axis=1) - s1)
    n = np.broadcast_to(rng.poisson(mean, apart), streams)
    n1 = rng.binomial(n, mine)
    s1, s2 = rng.binomial(n1, fails), rng.binomial(n - n1, fails)
    again = bursts(world, rng, streams, bucket_s)
    whole = np.broadcast_to(again.sum(), streams) if together else again
    hit = rng.random(streams) < mine
    n1, s1 = n1 + again * hit, s1 + again * hit
    return Table(n1, s1, n + whole - n1, s2 + again * ~hit)


def labelled(world: World, rng: np.random.Generator, rows: int, start_s: float, bucket_s: int) -> SliceCounts:
    """An hour of labelled rows of a calibrated model, as the product counts them.

    The logit of the score is normal with deviation 2, its mean moves by 0.3 with the hour, and decisions are
    taken at one half. A user's rows have one score; what the scores leave to chance is correlated by 0.3.
    """
    now = phase(start_s)
    n = int(rng.poisson(rows * (1 + world.traffic_swing * now)))
    centre = -1.0 + world.rate_swing * now
    if world.users:
        sizes = rng.integers(*USER, max(1, round(n / USER_ROWS)))
        logits = centre + np.repeat(rng.normal(0.0, 2.0, sizes.size), sizes)
        alike = rng.random(logits.size) < math.sqrt(CORRELATION)
        luck = np.where(alike, np.repeat(rng.random(sizes.size), sizes), rng.random(logits.size))
    else:
        logits = centre + rng.normal(0.0, 2.0, n)
        luck = rng.random(n)
    labels = luck < expit(logits)
    again = int(bursts(world, rng, 1, bucket_s)[0])
    if again:
        sure = rng.normal(0.0, 2.0)
        logits = np.append(logits, np.full(again, sure))
        labels = np.append(labels, np.full(again, sure < 0))  # a request that failed: answered wrongly
    return slice_counts(expit(logits), (logits > 0).astype(np.float64), labels.astype(np.float64))


def values(
    world: World, rng: np.random.Generator, streams: int, rows: int, start_s: float, bucket_s: int
) -> Floats:
    """One bucket of a numeric feature in S streams, float64[S, rows].

    Standard normal; its mean moves by 0.2 in a daily cycle. Where the mix moves instead, three tenths of the
    rows (0.12 to 0.48 with the hour) are half a deviation higher. All rows of a user have one value.
    """
    now = phase(start_s)
    moves = world.rate_swing > 0 and not world.share_swing
    drawn = rng.normal(0.2 * moves * now, 1.0, (streams, rows))
    if world.share_swing:
        drawn += 0.5 * (rng.random((streams, rows)) < 0.3 * (1 + world.share_swing * now))
    if world.users:
        sizes = rng.integers(*USER, rows // USER[0] + 1)
        drawn = np.repeat(drawn[:, : sizes.size], sizes, axis=1)[:, :rows]
    for stream in np.flatnonzero(again := bursts(world, rng, streams, bucket_s)):
        drawn[stream, : again[stream]] = drawn[stream, 0]
    return drawn
