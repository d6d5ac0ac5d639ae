"""Traffic has stopped or fallen to a fraction of what it usually is.

What is usual is learned from the recent past, with its scatter; buckets that look like a failure are not
learned from. Counts scatter because levels wander, or because a user's requests come together; of the two
accounts the one with less evidence is taken. Nothing is said before `buckets_min` buckets, nor while a
silence is no longer than twice the longest one that ended by itself lately.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.evidence import levels
from monitor.core.evidence.counts import Level, log_e_together, log_e_values
from monitor.core.evidence.edetector import Tracker, advance
from monitor.core.records import AlertKind, Severity

FACTORS: Final = (0.7, 0.3, 0.1, 0.001)
"""Alternatives, as fractions of the least tolerated mean."""

BURSTY: Final = 1.0
"""Below this size of the negative binomial, traffic comes in bursts with pauses between them."""

_SUMS = 3  # requests, expected requests, buckets


@dataclass(frozen=True)
class MissingTraffic:
    """Configuration of the detector.

    Attributes:
        false_alarms_per_s: of the model, all streams together.
        bucket_s: length of a bucket.
        tolerated: smallest fraction of the usual traffic that is not a failure.
        buckets_min: buckets to learn from before anything is said.
        memory_buckets: how far back "usual" reaches.
        expected_min: requests that must be expected before their absence means anything.
        adopt_buckets: a new level that lasted this long is the usual one from then on.
    """

    false_alarms_per_s: float
    bucket_s: float
    tolerated: float = 0.5
    buckets_min: int = 60
    memory_buckets: int = 300
    expected_min: float = 30.0
    adopt_buckets: int = 3_600

    name = AlertKind.MISSING_TRAFFIC

    @property
    def log_threshold(self) -> float:
        """One stream has the whole share."""
        weight = np.array([levels.SHARES["missing_traffic"]])
        return float(levels.log_threshold(self.false_alarms_per_s, self.bucket_s, weight)[0])


@dataclass(frozen=True)
class TrafficState:
    """What is usual, the evidence against it, the present silence and the longest lately, in buckets."""

    level: Level = field(default_factory=Level)
    tracker: Tracker = field(default_factory=lambda: Tracker.fresh(1, len(FACTORS), _SUMS))
    quiet: int = 0
    quiet_max: float = 0.0


def step(config: MissingTraffic, state: TrafficState, requests: int, start_ms: int) -> TrafficState:
    """Take one closed bucket; `requests` of all traffic in it."""
    level, tracker = state.level, state.tracker
    if requests and 0 < state.quiet <= 2 * state.quiet_max and level.size < BURSTY and not tracker.open[0]:
        tracker = tracker.reset(np.ones(1, np.bool_))  # such a pause is usual between bursts
    suspicious = False
    if level.buckets >= config.buckets_min and level.mean > 0:
        boundary = config.tolerated * level.mean
        fewer = boundary * np.array(FACTORS)
        log_e = log_e_values(requests, boundary, level.size, fewer)
        if level.size >= BURSTY:  # below it, pauses are judged by their length
            together = log_e_together(requests, boundary, 1.0 + level.mean / level.size, fewer)
            log_e = np.minimum(log_e, together)
        tracker = advance(
            tracker,
            log_e[None, :],
            np.array([[requests, level.mean, 1.0]]),
            start_ms,
            np.ones(1, np.bool_),
        )
        suspicious = bool(tracker.open[0]) or tracker.cusum[0] > 1.0
    if not suspicious:
        level = level.learn(requests, config.memory_buckets)
    quiet = 0 if requests else state.quiet + 1
    quiet_max = state.quiet_max * (1 - 1 / config.memory_buckets)
    if requests:
        quiet_max = max(quiet_max, state.quiet)
    return TrafficState(level, tracker, quiet, quiet_max)


def judge(config: MissingTraffic, state: TrafficState, at_ms: int) -> tuple[TrafficState, list[Finding]]:
    """Whether traffic is missing after the last bucket taken."""
    tracker = state.tracker
    seen, expected, buckets = (float(x) for x in tracker.sums[0])
    ratio = seen / expected if expected else 1.0
    longer = state.quiet == 0 or state.quiet > 2 * state.quiet_max
    alarmed = (
        float(tracker.log_evidence[0]) >= config.log_threshold
        and expected >= config.expected_min
        and ratio < config.tolerated
        and longer
    )
    adopted = bool(tracker.open[0]) and seen > 0 and buckets >= config.adopt_buckets
    recovered = adopted or bool(tracker.recovered[0])
    tracker = tracker.opened(np.array([alarmed and not recovered]))
    if not tracker.open[0]:
        return replace(state, tracker=tracker), []
    began_ms = int(tracker.since_ms[0])
    finding = Finding(
        kind=AlertKind.MISSING_TRAFFIC,
        subject={},
        holds=not recovered,
        severity=Severity.PAGE,
        log_evidence=float(tracker.log_evidence[0]),
        log_threshold=config.log_threshold,
        effect=ratio,
        effect_unit="ratio",
        rows=int(seen),
        excess=max(0.0, expected - seen),
        began_ms=began_ms,
        at_ms=at_ms,
        summary=(
            f"traffic is at {percent(ratio)} of what it usually is: {int(seen)} requests since "
            f"{clock(began_ms)} where {expected:.0f} were expected"
        ),
        advice="Check the callers and the producers of the topic; requests may be lost or going elsewhere.",
        values={
            "requests": int(seen),
            "expected": round(expected, 1),
            "seconds": buckets * config.bucket_s,
            "tolerated_ratio": config.tolerated,
        },
        notes=("the new level is taken as usual from now on",) if adopted else (),
    )
    state = replace(state, tracker=tracker.reset(np.array([recovered])))
    return (replace(state, level=Level()) if adopted else state), [finding]
