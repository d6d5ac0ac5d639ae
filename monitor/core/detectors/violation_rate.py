"""A feature breaks the schema more often than is tolerated.

One stream per feature and code. The test is valid at every look, so the bucket that is still open is
read at every tick: a hard failure is told within two seconds. Rows of one client fail together, so evidence
is divided by a design effect; and what one request sent again explains needs two buckets. Doubts about
texts (soft codes) have boundaries of their own: `monitor.core.detectors.gibberish` gives them to the
functions here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import CODES
from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.evidence import bernoulli, bursts, clusters, levels
from monitor.core.evidence.clusters import Clusters
from monitor.core.evidence.edetector import Flags, Tracker, advance
from monitor.core.records import AlertKind, Severity
from monitor.core.schema.violations import RECORD, SOFT, Code

Ints = NDArray[np.int64]

TOLERATED_DEFAULT: Final = 0.001
_SUMS = 2  # rows, violations
_ALTERNATIVES = len(bernoulli.ODDS_ABOVE)
_STREAMS_MAX = 2_000
_KNOWN = 0.1  # weight of what is known about clusters below which it is forgotten

_WORDS: Final = {
    Code.MISSING: "is missing",
    Code.NULL: "is null",
    Code.NAN: "is NaN",
    Code.INFINITE: "is infinite",
    Code.NUMBER_AS_STRING: "is a number sent as text",
    Code.TYPE: "has another type",
    Code.OUT_OF_RANGE: "is out of range",
    Code.UNKNOWN_CATEGORY: "has an unknown category",
    Code.PATTERN: "does not match its pattern",
    Code.TOO_LONG: "is too long",
    Code.UNEXPECTED: "has features the schema does not name",
    Code.BAD_TIMESTAMP: "has a bad timestamp",
    Code.SCORE_RANGE: "has a score outside [0, 1]",
}

_ADVICE: Final = {
    Code.MISSING: "Find what stopped filling it in upstream.",
    Code.NULL: "Find what stopped filling it in upstream; if null is legal now, mark the feature nullable.",
    Code.NAN: "Look for a division by zero or a failed join in the code that computes it.",
    Code.INFINITE: "Look for a division by zero in the code that computes it.",
    Code.NUMBER_AS_STRING: "Find the client or serialiser that changed; the model may read text as missing.",
    Code.TYPE: "Find the client or serialiser that changed the type.",
    Code.OUT_OF_RANGE: "Check units and input limits upstream; if the values are right, widen the range.",
    Code.UNKNOWN_CATEGORY: "If the values are right, add them to the schema and retrain; else fix upstream.",
    Code.PATTERN: "Look at the values: a changed format upstream, or text entered by a machine.",
    Code.TOO_LONG: "Look at the values: text may be landing in the wrong field.",
    Code.UNEXPECTED: "A field was added or renamed upstream: compare the names with the schema.",
    Code.BAD_TIMESTAMP: "Check the producer's clock and its time format.",
    Code.SCORE_RANGE: "Check what the model server sends as score.",
}


HARD: Final = frozenset(Code) - SOFT
"""Codes that this detector watches."""


class Watch(Protocol):
    """What `step`, `judge` and `peek` ask of a configuration: `ViolationRate`, or `gibberish.Gibberish`."""

    @property
    def codes(self) -> frozenset[Code]:
        """Codes that are watched."""
        ...

    @property
    def log_threshold(self) -> float:
        """Of every stream."""
        ...

    @property
    def violations_min(self) -> int:
        """Violations before anything is said."""
        ...

    @property
    def effect_min(self) -> float:
        """Observed rate over boundary before anything is said."""
        ...

    @property
    def clustered(self) -> bool:
        """Whether evidence is divided by how many rows come together."""
        ...

    def boundary(self, feature: str, code: Code) -> float:
        """Rate that is tolerated, in (0, 1]."""
        ...

    def finding(self, seen: Seen) -> Finding:
        """The words."""
        ...


@dataclass(frozen=True)
class Seen:
    """What one stream has to show.

    `rows` and `hits` since `began_ms`; the fields are those of `Finding` otherwise.
    """

    feature: str
    code: Code
    rows: int
    hits: int
    began_ms: int
    at_ms: int
    log_evidence: float
    holds: bool

    @property
    def rate(self) -> float:
        """Of hits."""
        return self.hits / max(self.rows, 1)


def log_threshold(features: int, false_alarms_per_s: float, bucket_s: float) -> float:
    """All streams weigh the same: a code of a feature, soft ones too, the record counting as one feature."""
    weight = levels.SHARES["violations"] / ((features + 1) * len(Code))
    return float(levels.log_threshold(false_alarms_per_s, bucket_s, np.array([weight]))[0])


@dataclass(frozen=True)
class ViolationRate:
    """Configuration of the detector.

    Attributes:
        tolerated: feature name → tolerated rate; the record itself under `record`.
        features: number of features in the schema, for the levels.
        false_alarms_per_s: of the model, all streams together.
        bucket_s: length of a bucket.
        violations_min: violations before anything is said.
        effect_min: observed rate over tolerated rate before anything is said.
    """

    tolerated: Mapping[str, float]
    features: int
    false_alarms_per_s: float
    bucket_s: float
    violations_min: int = 10
    effect_min: float = 2.0

    name = AlertKind.VIOLATION_RATE
    clustered = True

    @property
    def codes(self) -> frozenset[Code]:
        """All that break the schema."""
        return HARD

    @property
    def log_threshold(self) -> float:
        """Of every stream."""
        return log_threshold(self.features, self.false_alarms_per_s, self.bucket_s)

    def boundary(self, feature: str, code: Code) -> float:  # noqa: ARG002 - one rate for all codes
        """Of a feature, or of the record."""
        return self.tolerated.get(feature, TOLERATED_DEFAULT)

    def finding(self, seen: Seen) -> Finding:
        """A page."""
        feature, code, rate = seen.feature, seen.code, seen.rate
        tolerated = self.boundary(feature, code)
        who = "the record" if feature == RECORD else feature
        return Finding(
            kind=AlertKind.VIOLATION_RATE,
            subject={"feature": feature, "code": code.slug},
            holds=seen.holds,
            severity=Severity.PAGE,
            log_evidence=seen.log_evidence,
            log_threshold=self.log_threshold,
            effect=rate,
            effect_unit="rate",
            rows=seen.rows,
            excess=max(0.0, seen.hits - tolerated * seen.rows),
            began_ms=seen.began_ms,
            at_ms=seen.at_ms,
            summary=f"{who} {_WORDS[code]} in {percent(rate)} of requests (tolerated {percent(tolerated)}): "
            f"{seen.hits} of {seen.rows} since {clock(seen.began_ms)}",
            advice=_ADVICE[code],
            values={"requests": seen.rows, "violations": seen.hits, "rate": rate, "tolerated": tolerated},
            samples=f"violations/{feature}/{code.slug}",
            features=frozenset() if feature == RECORD else frozenset({feature}),
        )


@dataclass(frozen=True)
class ViolationState:
    """Streams that have evidence, or that are known to cluster, row by row.

    Attributes:
        cells: features × CODES, int64[S].
        tracker: evidence; its sums are rows and violations.
        clusters: how many rows come together.
        requests: of the last bucket.
    """

    cells: Ints
    tracker: Tracker
    clusters: Clusters
    requests: int = 0

    @classmethod
    def fresh(cls) -> ViolationState:
        """Nothing has been violated."""
        return cls(np.zeros(0, np.int64), Tracker.fresh(0, _ALTERNATIVES, _SUMS), Clusters.fresh(0))

    def take(self, rows: Flags) -> ViolationState:
        """Chosen streams."""
        return ViolationState(
            self.cells[rows], self.tracker.take(rows), self.clusters.take(rows), self.requests
        )

    def admit(self, found: Ints) -> ViolationState:
        """The same streams, and those among `found` that are new."""
        new = np.setdiff1d(found, self.cells)[: max(0, _STREAMS_MAX - self.cells.size)]
        if not new.size:
            return self
        return ViolationState(
            np.concatenate([self.cells, new]),
            self.tracker.extend(new.size),
            self.clusters.extend(new.size),
            self.requests,
        )


def step(
    config: Watch, state: ViolationState, features: Mapping[int, str], requests: int, cells: Ints,
    start_ms: int,
) -> ViolationState:  # fmt: skip
    """Take the counts of one bucket, closed or open so far.

    Args:
        config: of the detector.
        state: before the bucket.
        features: feature id → name.
        requests: of all traffic.
        cells: violations, int64[features × CODES].
        start_ms: start of the bucket.
    """
    found = np.flatnonzero(cells)
    state = state.admit(found[np.isin(found % CODES, sorted(config.codes))])
    if not requests:
        return state
    if not state.cells.size:
        return replace(state, requests=requests)
    hits = (
        np.where(state.cells < cells.size, cells[np.minimum(state.cells, cells.size - 1)], 0)
        if cells.size
        else (np.zeros(state.cells.size, np.int64))
    )
    hits = np.minimum(hits, requests)
    boundary = _boundary(config, features, state.cells)
    rates = bernoulli.rates_above(boundary)
    rows = np.full(hits.shape, requests)
    again = bursts.explained(rows, hits, state.requests)
    log_e = bernoulli.log_e_values(rows, hits, boundary, rates)
    without = bernoulli.log_e_values(rows - again, hits - again, boundary, rates)
    seen = state.clusters
    if config.clustered:
        log_e, without = (each / seen.design_effect[:, None] for each in (log_e, without))
        seen = clusters.follow(seen, rows, hits, np.ones(hits.size))
    log_e = bursts.capped(log_e, without, _half(config))
    # An alert raised in an open bucket has not begun in the closed ones that are taken before it.
    begun = ~state.tracker.open | (state.tracker.since_ms <= start_ms)
    tracker = advance(
        state.tracker,
        log_e,
        np.stack([rows, hits], axis=1).astype(np.float64),
        start_ms,
        begun,
        calm=-log_e[np.arange(hits.size), _refuted(state.tracker, rates)],
    )
    keep = tracker.open | (hits > 0) | (tracker.sr.max(axis=1) > 0)
    # A quiet stream below 1 is worth less than one that starts anew; what is known of its clusters stays as
    # long as there is room.
    keep |= (seen.weight >= _KNOWN) & (state.cells.size <= _STREAMS_MAX // 2)
    return ViolationState(state.cells, tracker, seen, requests).take(keep)


def judge(
    config: Watch, state: ViolationState, features: Mapping[int, str], at_ms: int
) -> tuple[ViolationState, list[Finding]]:
    """What holds after the last closed bucket, and what has recovered."""
    recovered = state.tracker.recovered
    alarmed = _alarmed(config, state, features) & ~recovered
    state = replace(state, tracker=state.tracker.opened(alarmed))
    findings = _findings(config, state, features, at_ms, recovered)
    return replace(state, tracker=state.tracker.reset(recovered)), findings


def peek(
    config: Watch,
    state: ViolationState,
    ahead: ViolationState,
    features: Mapping[int, str],
    at_ms: int,
) -> tuple[ViolationState, list[Finding]]:
    """What holds within the buckets that are still open. They raise alerts and resolve none.

    Args:
        config: of the detector.
        state: after the last closed bucket.
        ahead: `state` with the open buckets taken on top.
        features: feature id → name.
        at_ms: event time reached.

    Returns:
        `state`, with what alarms now marked as standing, and the findings.
    """
    ahead = replace(ahead, tracker=ahead.tracker.opened(_alarmed(config, ahead, features)))
    standing = ahead.cells[ahead.tracker.open]
    state = state.admit(standing)
    tracker = state.tracker
    new = np.isin(state.cells, standing) & ~tracker.open
    began_ms = dict(zip(ahead.cells.tolist(), ahead.tracker.since_ms.tolist(), strict=True))
    fresh = new & (tracker.cusum <= 0)  # the evidence begins in the open bucket
    since_ms = np.array([began_ms.get(cell, 0) for cell in state.cells.tolist()], np.int64)
    tracker = replace(
        tracker,
        since_ms=np.where(fresh, since_ms, tracker.since_ms),
        sums=np.where(fresh[:, None], 0.0, tracker.sums),
    )
    state = replace(state, tracker=tracker.opened(new))
    nothing = np.zeros(ahead.cells.size, np.bool_)
    return state, _findings(config, ahead, features, at_ms, nothing)


def _alarmed(config: Watch, state: ViolationState, features: Mapping[int, str]) -> Flags:
    rows, hits = state.tracker.sums.T
    boundary = _boundary(config, features, state.cells)
    alarmed: Flags = (
        (state.tracker.log_evidence >= config.log_threshold)
        & (hits >= config.violations_min)
        & (hits >= config.effect_min * boundary * rows)
    )
    return alarmed


def _findings(
    config: Watch,
    state: ViolationState,
    features: Mapping[int, str],
    at_ms: int,
    recovered: Flags,
) -> list[Finding]:
    tracker, log_evidence = state.tracker, state.tracker.log_evidence
    return [
        config.finding(
            Seen(
                features.get(int(state.cells[i]) // CODES, RECORD),
                Code(int(state.cells[i]) % CODES),
                int(tracker.sums[i, 0]),
                int(tracker.sums[i, 1]),
                int(tracker.since_ms[i]),
                at_ms,
                float(log_evidence[i]),
                holds=not recovered[i],
            )
        )
        for i in np.flatnonzero(tracker.open & (tracker.sums[:, 0] > 0)).tolist()
    ]


def _half(config: Watch) -> float:
    """What one bucket may say of a burst: two that agree on an alternative reach the threshold."""
    return (config.log_threshold + math.log(_ALTERNATIVES)) / 2


def _boundary(config: Watch, features: Mapping[int, str], cells: Ints) -> NDArray[np.float64]:
    rates = [
        config.boundary(features.get(cell // CODES, RECORD), Code(cell % CODES)) for cell in cells.tolist()
    ]
    return np.clip(rates, bernoulli.RATE_MIN, 0.999)


def _refuted(tracker: Tracker, rates: NDArray[np.float64]) -> Ints:
    """Column whose refutation is recovery: a fifth of the rate seen, so that a hard failure ends soon."""
    seen = tracker.sums[:, 1] / np.maximum(tracker.sums[:, 0], 1)
    column: Ints = np.maximum((rates <= seen[:, None] / 5).sum(axis=1) - 1, 0)
    return column
