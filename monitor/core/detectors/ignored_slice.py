"""A slice falls out of the traffic: its share drops to a fraction of what it was.

The share is known beforehand, from the reference or, without one, from the first rows, and is then followed
through the last hours: the mix of traffic moves with the hour of the day. The test is the known-rate e-value
below `tolerated` times the lower limit of that usual share, divided by a design effect, for users come with
all their rows. Buckets that look like a failure are not learned from, and what is usual is never less than
half of what is known, so that a slice that fades slowly is told at a quarter of its share. Where live traffic
never had the reference's share, the finding is a notice. (That its labels stop coming is a gap of coverage,
`slice_gap`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.detectors.finding import Finding, SliceName, clock, percent
from monitor.core.evidence import bernoulli, clusters
from monitor.core.evidence.clusters import Clusters
from monitor.core.evidence.edetector import Flags, Floats, Tracker, advance
from monitor.core.records import AlertKind, Severity

Ints = NDArray[np.int64]

_FACTORS: Final = (0.7, 0.4, 0.1)
_LEAST = 0.5  # of the known share that is usual at every hour
_SUSPICIOUS = 1.5  # log evidence in which nothing is learned
_SUMS = 2  # requests of all traffic, of the slice


@dataclass(frozen=True)
class IgnoredSlice:
    """Configuration of the detector.

    Attributes:
        bucket_s: length of a bucket.
        tolerated: smallest fraction of its former share that is not a failure.
        learn_rows: rows of all traffic to learn shares from, without a reference.
        learn_slice_rows: rows of the slice among them.
        expected_min: rows of the slice that must be expected before their absence means anything.
        memory_buckets: how far back a slice's present share is read.
        usual_s: how far back its usual share reaches, and never less than `learn_rows` do.
    """

    bucket_s: float
    tolerated: float = 0.5
    learn_rows: int = 5_000
    learn_slice_rows: int = 100
    expected_min: float = 50.0
    memory_buckets: int = 60
    usual_s: float = 7_200.0

    name = AlertKind.IGNORED_SLICE


@dataclass(frozen=True)
class ShareState:
    """State of S slices.

    Attributes:
        ids: slice ids, int64[S].
        tracker: evidence; its sums are requests of all traffic and of the slice.
        share: lower limit of the share that is known, float64[S]; nan while it is being learned.
        learned: requests of all traffic and of the slice so far, float64[S, 2].
        recent: the same with exponential forgetting, float64[S, 2].
        usual: the same of the last hours that looked healthy, beginning with what is known, float64[S, 2].
        clusters: how many rows come together.
        seen: the slice has had its share in live traffic, bool[S].
    """

    ids: Ints
    tracker: Tracker
    share: Floats
    learned: Floats
    recent: Floats
    usual: Floats
    clusters: Clusters
    seen: Flags

    @classmethod
    def fresh(cls) -> ShareState:
        """No slices yet."""
        pairs = np.zeros((0, _SUMS))
        return cls(
            np.zeros(0, np.int64),
            Tracker.fresh(0, len(_FACTORS), _SUMS),
            np.zeros(0),
            pairs,
            pairs,
            pairs,
            Clusters.fresh(0),
            np.zeros(0, np.bool_),
        )

    @property
    def held(self) -> Floats:
        """The usual share, at its lower limit, that slices are held to, float64[S]; nan as `share`."""
        rows, mine = np.maximum(self.usual[:, 0], 1), self.usual[:, 1]
        return np.maximum(_lower(mine / rows, rows / self.clusters.design_effect), _LEAST * self.share)


def align(
    config: IgnoredSlice, state: ShareState, ids: Ints, reference: Mapping[int, int], rows: int
) -> ShareState:
    """Take in slices that appeared, drop those that are gone.

    Args:
        config: of the detector.
        state: before.
        ids: slices to watch.
        reference: slice id → requests in the reference.
        rows: requests of the reference; 0 without one.
    """
    at = {int(slice_id): row for row, slice_id in enumerate(state.ids)}
    new = [int(slice_id) for slice_id in ids if int(slice_id) not in at]
    at |= {slice_id: len(at) + row for row, slice_id in enumerate(new)}
    order = np.array([at[int(slice_id)] for slice_id in ids], np.int64)
    told = np.array([[rows, reference.get(slice_id, 0)] for slice_id in new], np.float64).reshape(-1, _SUMS)
    return ShareState(
        np.asarray(ids, np.int64),
        state.tracker.extend(len(new)).take(order),
        np.concatenate([state.share, _known(config, told)])[order],
        np.concatenate([state.learned, told])[order],
        np.concatenate([state.recent, np.zeros((len(new), _SUMS))])[order],
        np.concatenate([state.usual, told])[order],
        state.clusters.extend(len(new)).take(order),
        np.concatenate([state.seen, np.zeros(len(new), np.bool_)])[order],
    )


def step(
    config: IgnoredSlice, state: ShareState, requests: int, of_slices: Ints, start_ms: int
) -> ShareState:
    """Take one closed bucket: requests of all traffic, and of each slice, int64[S]."""
    if not requests or not state.ids.size:
        return state
    counted = np.stack([np.full(of_slices.size, requests), np.minimum(of_slices, requests)], axis=1)
    active = ~np.isnan(state.share)
    held = np.where(active, state.held, 0.5)
    boundary = config.tolerated * held
    rates = bernoulli.rates_below(boundary, _FACTORS)
    log_e = bernoulli.log_e_values(counted[:, 0], counted[:, 1], boundary, rates)
    log_e /= state.clusters.design_effect[:, None]
    tracker = advance(state.tracker, log_e, counted.astype(np.float64), start_ms, active)
    recent = state.recent * (1 - 1 / config.memory_buckets) + counted
    least = config.tolerated * state.share
    enough = recent[:, 0] * least >= 10
    seen = state.seen | (active & enough & (recent[:, 1] >= least * recent[:, 0]))
    learned = state.learned + np.where(active[:, None], 0, counted)
    share = np.where(active, state.share, _known(config, learned))
    forgotten = min(config.bucket_s / config.usual_s, requests / config.learn_rows, 1.0)
    suspicious = tracker.open | (tracker.log_evidence > _SUSPICIOUS)
    usual = np.where(suspicious[:, None], state.usual, state.usual * (1 - forgotten) + counted)
    together = clusters.follow(state.clusters, counted[:, 0], counted[:, 1], 1 - held)
    return ShareState(state.ids, tracker, share, learned, recent, usual, together, seen)


def judge(
    config: IgnoredSlice, state: ShareState, names: Mapping[int, SliceName], log_threshold: Floats, at_ms: int
) -> tuple[ShareState, list[Finding]]:
    """What holds after the last bucket taken; `log_threshold` is float64[S]."""
    tracker = state.tracker
    rows, mine = tracker.sums.T
    expected = np.nan_to_num(state.held) * rows
    alarmed = (
        (tracker.log_evidence >= log_threshold)
        & (expected >= config.expected_min)
        & (mine < config.tolerated * expected)
    )
    recovered = tracker.recovered
    tracker = tracker.opened(alarmed & ~recovered)
    findings = [
        _finding(state, tracker, names, row, float(log_threshold[row]), at_ms, holds=not recovered[row])
        for row in np.flatnonzero(tracker.open).tolist()
        if int(state.ids[row]) in names
    ]
    return replace(state, tracker=tracker.reset(recovered)), findings


def _known(config: IgnoredSlice, counts: Floats) -> Floats:
    """Lower limit of each share, nan where too little is known."""
    rows, mine = np.maximum(counts[:, 0], 1), counts[:, 1]
    share = mine / rows
    enough = (counts[:, 0] >= config.learn_rows) & (mine >= config.learn_slice_rows) & (share < 1)
    value: Floats = np.where(enough, _lower(share, rows), np.nan)
    return value


def _lower(share: Floats, rows: Floats) -> Floats:
    """Limit that a share lies below once in a hundred."""
    value: Floats = share - 2.33 * np.sqrt(share * (1 - share) / rows)
    return value


def _finding(
    state: ShareState,
    tracker: Tracker,
    names: Mapping[int, SliceName],
    row: int,
    threshold: float,
    at_ms: int,
    *,
    holds: bool,
) -> Finding:
    name = names[int(state.ids[row])]
    rows, mine = tracker.sums[row].tolist()
    former, now = float(state.held[row]), mine / max(rows, 1)
    began_ms = int(tracker.since_ms[row])
    seen = bool(state.seen[row])
    return Finding(
        kind=AlertKind.IGNORED_SLICE,
        subject={"slice": name.parts, "metric": "requests"},
        holds=holds,
        severity=Severity.PAGE if seen else Severity.NOTICE,
        log_evidence=float(tracker.log_evidence[row]),
        log_threshold=threshold,
        effect=now / former,
        effect_unit="ratio",
        rows=int(rows),
        excess=max(0.0, former * rows - mine),
        began_ms=began_ms,
        at_ms=at_ms,
        summary=f"{name.text} makes up {percent(now)} of requests where {percent(former)} were usual: "
        f"{int(mine)} of {int(rows)} since {clock(began_ms)}",
        advice="Find out whether these requests get lost on the way, or whether these users have left.",
        values={
            "requests": int(rows),
            "slice_requests": int(mine),
            "share": now,
            "usual_share": former,
        },
        notes=() if seen else ("live traffic never had the share of the reference",),
        features=name.features,
    )
