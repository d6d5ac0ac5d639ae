"""Probes find something more often than is tolerated: what detectors of such rates share.

One stream per feature (and variant). A trial is a sampled request that was asked again with a change;
requests are sampled independently, so trials are a coin with a known tolerated rate, and `bernoulli` applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np

from monitor.core.detectors.finding import Finding
from monitor.core.evidence import bernoulli
from monitor.core.evidence.edetector import Floats, Tracker, advance

_SUMS: Final = 2  # trials, hits

ALTERNATIVES: Final = len(bernoulli.ODDS_ABOVE)


@dataclass(frozen=True, slots=True, order=True)
class RateStream:
    """What is tested: a feature, and a variant where the probe has several; "" where not."""

    feature: str
    variant: str = ""


@dataclass(frozen=True)
class Seen:
    """What one stream has to show: `trials` and `hits` since `began_ms`; the rest as in `Finding`."""

    stream: RateStream
    trials: int
    hits: int
    began_ms: int
    at_ms: int
    log_evidence: float
    log_threshold: float
    holds: bool

    @property
    def rate(self) -> float:
        """Of hits."""
        return self.hits / max(self.trials, 1)

    def finding(self, tolerated: float, hits_name: str, **words: Any) -> Finding:
        """The figures of a finding, which all detectors of rates share.

        Args:
            tolerated: rate that is no failure.
            hits_name: of the hits among `Finding.values`.
            words: the rest of a `Finding`: kind, subject, severity, summary, advice, samples, features.
        """
        return Finding(
            holds=self.holds,
            log_evidence=self.log_evidence,
            log_threshold=self.log_threshold,
            effect=self.rate,
            effect_unit="rate",
            rows=self.trials,
            excess=max(0.0, self.hits - tolerated * self.trials),
            began_ms=self.began_ms,
            at_ms=self.at_ms,
            values={"trials": self.trials, hits_name: self.hits, "rate": self.rate, "tolerated": tolerated},
            **words,
        )


class Watch(Protocol):
    """What `step` and `judge` ask of a configuration."""

    @property
    def hits_min(self) -> int:
        """Hits before anything is said."""
        ...

    @property
    def effect_min(self) -> float:
        """Observed over tolerated rate before anything is said."""
        ...

    def tolerated(self, stream: RateStream) -> float:
        """Rate that is no failure, in (0, 1)."""
        ...

    def finding(self, seen: Seen) -> Finding:
        """The words."""
        ...


@dataclass(frozen=True)
class RateState:
    """Streams seen so far: `streams[i]` is row i of `tracker`."""

    streams: tuple[RateStream, ...]
    tracker: Tracker

    @classmethod
    def fresh(cls) -> RateState:
        """Nothing has been tried."""
        return cls((), Tracker.fresh(0, ALTERNATIVES, _SUMS))


def step(
    config: Watch, state: RateState, counted: Mapping[RateStream, tuple[int, int]], start_ms: int
) -> RateState:
    """Take one closed bucket.

    Args:
        config: of the detector.
        state: before the bucket.
        counted: stream → trials and hits of the bucket; streams without trials may be left out.
        start_ms: start of the bucket, epoch ms.
    """
    known = set(state.streams)
    new = sorted(stream for stream, (trials, _) in counted.items() if trials and stream not in known)
    streams = (*state.streams, *new)
    if not streams:
        return state
    tracker = state.tracker.extend(len(new))
    trials, hits = np.array([counted.get(stream, (0, 0)) for stream in streams], np.int64).T
    boundary = _boundary(config, streams)
    log_e = bernoulli.log_e_values(trials, hits, boundary, bernoulli.rates_above(boundary))
    sums = np.stack([trials, hits], axis=1).astype(np.float64)
    return RateState(streams, advance(tracker, log_e, sums, start_ms, trials > 0))


def judge(
    config: Watch, state: RateState, log_threshold: float, at_ms: int
) -> tuple[RateState, list[Finding]]:
    """What holds after the last bucket taken, and what has recovered.

    Args:
        config: of the detector.
        state: after that bucket.
        log_threshold: of every stream.
        at_ms: end of the bucket, epoch ms.
    """
    if not state.streams:
        return state, []
    tracker = state.tracker
    trials, hits = tracker.sums.T
    log_evidence: Floats = tracker.log_evidence
    alarmed = (
        (log_evidence >= log_threshold)
        & (hits >= config.hits_min)
        & (hits >= config.effect_min * _boundary(config, state.streams) * trials)
    )
    recovered = tracker.recovered
    tracker = tracker.opened(alarmed & ~recovered)
    findings = [
        config.finding(
            Seen(
                state.streams[i], int(trials[i]), int(hits[i]), int(tracker.since_ms[i]), at_ms,
                float(log_evidence[i]), log_threshold, holds=not recovered[i],
            )
        )
        for i in np.flatnonzero(tracker.open).tolist()
    ]  # fmt: skip
    return replace(state, tracker=tracker.reset(recovered)), findings


def _boundary(config: Watch, streams: tuple[RateStream, ...]) -> Floats:
    rates = [config.tolerated(stream) for stream in streams]
    return np.clip(np.array(rates, np.float64), bernoulli.RATE_MIN, 0.999)
