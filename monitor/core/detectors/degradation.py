"""A metric is worse than it was, for all traffic or for a slice.

Rates are failures among rows: a bucket's are compared with the reference's by the conditional e-value, whose
null is "the odds of failure are at most ψ0 times those of the reference". Areas, log loss and calibration are
compared by the standardised difference of two estimates,

    z = (harm - tolerated) / sqrt(SE² + SE_ref²),    log e_θ = θ z - θ² / 2,

θ from 2 to 4: exact for normal z, so asymptotic in rows, and said to be so. Metrics of values, whose errors
may be heavy-tailed, are compared by the same z and bounded evidence (`monitor.core.evidence.robust`): the
spread of errors is the reference's, or the bucket's where z is above 0 and that is larger. A bias declines to
either side. All feed a Shiryaev-Roberts detector.

The reference is an estimate itself, and its error does not fade however many buckets are compared with it. An
alternative gains on a harm that is more than half way from ψ0 to it, so an error of less than half the first
step does no damage; what exceeds that is added to the tolerance.

Without a reference the first buckets are it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.core.amounts import amount
from monitor.core.counters import SliceCounts
from monitor.core.detectors.degradation_measures import (
    LOSSES,
    OF_VALUES,
    RATES,
    VALUE,
    VARIANCE,
    WORDS,
    DegradationStream,
    N,
    S,
    Watched,
    measured,
)
from monitor.core.detectors.finding import Finding, SliceName, clock, percent
from monitor.core.evidence import conditional, robust
from monitor.core.evidence.design_effect import Dispersion, design_effect, observe
from monitor.core.evidence.edetector import Flags, Floats, Tracker, advance
from monitor.core.records import AlertKind, Severity

THETAS: Final = (2.0, 2.5, 3.0, 3.5, 4.0)
"""Alternatives of z, in standard errors."""

PLAIN: Final = 4.0
"""Evidence, in thresholds, at which a decline waits for no gap."""

REFERENCE_Z: Final = 2.8
"""Standard errors by which the reference may be wrong: one stream in 400."""

_AMOUNTS: Final = frozenset({Watched.MAE, Watched.RMSE, Watched.BIAS})
_NORMAL: Final = "asymptotic: the evidence takes the metric's estimate to be normal"
_NOTES: Final = dict.fromkeys(OF_VALUES, ("the spread of errors is taken from the reference",))


@dataclass(frozen=True)
class Degradation:
    """Configuration of the detector.

    Attributes:
        min_effect: smallest odds ratio of failing, against the reference, that matters, above 1. For an
            area it is that of ranking a pair wrongly, for log loss the ratio of losses, for calibration a
            tenth of its excess over 1, in points of probability.
        learn_rows: labelled rows to learn a slice from where the reference does not know it.
        rows_min: rows of the slice before anything is said.
        failures_min: failures before anything is said of a rate.
        class_min: rows of each class before a bucket's areas are read.
    """

    min_effect: float = 1.25
    learn_rows: int = 5_000
    rows_min: int = 100
    failures_min: int = 10
    class_min: int = 10

    name = AlertKind.DEGRADATION


@dataclass(frozen=True)
class DegradationState:
    """Streams and their state, row by row.

    Attributes:
        streams: what is tested.
        tracker: evidence; its sums are those of the bucket's rows since the decline began.
        reference: float64[S, 4], columns as `tracker`'s sums.
        ready: streams whose reference is complete, bool[S].
        scatter: how much more failures scatter than those of independent rows would.
    """

    streams: tuple[DegradationStream, ...]
    tracker: Tracker
    reference: Floats
    ready: Flags
    scatter: Dispersion

    @classmethod
    def fresh(cls) -> DegradationState:
        """No streams yet."""
        return cls(
            (),
            Tracker.fresh(0, len(THETAS), 4),
            np.zeros((0, 4)),
            np.zeros(0, np.bool_),
            Dispersion.fresh(0),
        )


def align(
    config: Degradation,
    state: DegradationState,
    streams: Sequence[DegradationStream],
    reference: Mapping[int, SliceCounts],
) -> DegradationState:
    """Take in streams that appeared and drop those that are gone; the others keep their state.

    Args:
        config: of the detector.
        state: before.
        streams: what is to be tested now.
        reference: slice id → counts of the labelled reference; empty to learn from live traffic.
    """
    at = {(stream.slice_id, stream.metric): row for row, stream in enumerate(state.streams)}
    new = [stream for stream in streams if (stream.slice_id, stream.metric) not in at]
    at |= {(stream.slice_id, stream.metric): len(at) + row for row, stream in enumerate(new)}
    rows = np.array([at[stream.slice_id, stream.metric] for stream in streams], np.int64)
    learned = np.concatenate([state.reference, measured(new, reference, config.class_min)])[rows]
    ready = np.concatenate([state.ready, np.zeros(len(new), np.bool_)])[rows]
    return DegradationState(
        tuple(streams),
        state.tracker.extend(len(new)).take(rows),
        learned,
        ready | _complete(config, streams, learned),
        state.scatter.extend(len(new)).take(rows),
    )


def step(
    config: Degradation,
    state: DegradationState,
    slices: Mapping[int, SliceCounts],
    start_ms: int,
    take: Flags,
) -> DegradationState:
    """Take one closed bucket.

    Args:
        config: of the detector.
        state: before the bucket.
        slices: slice id → counts of the bucket.
        start_ms: start of the bucket.
        take: streams for which the bucket is mature, bool[S].
    """
    if not state.streams:
        return state
    found = measured(state.streams, slices, config.class_min)
    rate = _are_rates(state.streams)
    shown = take & np.where(rate, found[:, N] > 0, found[:, VARIANCE] > 0)
    active = shown & state.ready
    n1, s1, n2, s2 = (x.astype(np.int64) for x in (*found[:, :2].T, *state.reference[:, :2].T))
    state = replace(state, scatter=observe(state.scatter, n1, s1, n2, s2, active & rate))
    log_e = np.zeros(state.tracker.sr.shape)
    some = np.flatnonzero(active & rate)
    psi0 = _tolerated_odds(config, state.reference)[some]
    log_e[some] = conditional.log_e_values(
        n1[some], s1[some], n2[some], s2[some], psi0, conditional.odds_ratios_above(psi0)
    )
    log_e[some] /= design_effect(state.scatter, np.arange(len(state.streams)))[some, None]
    of_values = _are_of_values(state.streams)
    some = np.flatnonzero(active & ~rate & ~of_values)
    z = _standardised(config, state, found)[some, None]
    theta = np.array(THETAS)
    log_e[some] = theta * z - theta * theta / 2
    some = np.flatnonzero(active & of_values)
    log_e[some] = _of_values(config, state, found)[some]
    tracker = advance(state.tracker, log_e, found, start_ms, active)
    learning = shown & ~state.ready
    reference = state.reference + np.where(learning[:, None], found, 0.0)
    ready = state.ready | (learning & _complete(config, state.streams, reference))
    return replace(state, tracker=tracker, reference=reference, ready=ready)


def judge(
    config: Degradation,
    state: DegradationState,
    names: Mapping[int, SliceName],
    log_threshold: Floats,
    at_ms: int,
    *,
    gap_near: bool = False,
) -> tuple[DegradationState, list[Finding]]:
    """What holds after the last bucket taken.

    Args:
        config: of the detector.
        state: after that bucket.
        names: slice id → name, all traffic among them.
        log_threshold: float64[S].
        at_ms: end of the last bucket taken.
        gap_near: a gap between a slice and the rest is about to alarm. It will say more than a decline does,
            which waits for it unless its own case is plain.
    """
    if not state.streams:
        return state, []
    tracker, rate = state.tracker, _are_rates(state.streams)
    enough = (tracker.sums[:, N] >= config.rows_min) & (~rate | (tracker.sums[:, S] >= config.failures_min))
    worse = np.where(
        rate,
        _odds_ratio(tracker.sums, state.reference) >= _tolerated_odds(config, state.reference),
        _worsened(config, state, tracker.sums),
    )
    recovered = tracker.recovered
    needed = PLAIN * log_threshold if gap_near else log_threshold
    tracker = tracker.opened((tracker.log_evidence >= needed) & enough & worse & ~recovered)
    findings = [
        _finding(config, state, tracker, names, i, float(log_threshold[i]), at_ms, holds=not recovered[i])
        for i in np.flatnonzero(tracker.open).tolist()
        if state.streams[i].slice_id in names
    ]
    return replace(state, tracker=tracker.reset(recovered)), findings


def _are_rates(streams: Sequence[DegradationStream]) -> Flags:
    return np.array([stream.metric in RATES for stream in streams], np.bool_)


def _are_of_values(streams: Sequence[DegradationStream]) -> Flags:
    return np.array([stream.metric in OF_VALUES for stream in streams], np.bool_)


def _complete(config: Degradation, streams: Sequence[DegradationStream], reference: Floats) -> Flags:
    """References that are large enough to be held to, bool[S]."""
    rate = _are_rates(streams)
    several = np.where(rate, reference[:, S] >= config.failures_min, reference[:, VARIANCE] > 0)
    complete: Flags = (reference[:, N] >= config.learn_rows) & several
    return complete


def _tolerated_odds(config: Degradation, reference: Floats) -> Floats:
    """ψ0 of each rate, float64[S]: the effect that matters, or what the reference leaves open."""
    n, s = reference[:, N], reference[:, S]
    error = REFERENCE_Z * np.sqrt(1 / (s + 0.5) + 1 / (np.maximum(n - s, 0) + 0.5))
    effect = math.log(config.min_effect)
    half_step = math.log(conditional.ODDS_FACTORS[0]) / 2
    value: Floats = np.exp(np.maximum(effect, np.hypot(effect, error) - half_step))
    return value


def _tolerated_harm(config: Degradation, state: DegradationState) -> Floats:
    """Difference of an estimate that is no decline, float64[S]."""
    value = _value(state.reference)
    odds = (1 - value) / np.maximum(value, 1e-9) * config.min_effect
    by_metric = {
        Watched.ROC_AUC: odds / (1 + odds) - (1 - value),
        Watched.PR_AUC: odds / (1 + odds) - (1 - value),
        Watched.LOG_LOSS: value * (config.min_effect - 1),
        Watched.CALIBRATION: np.full(value.shape, 0.1 * (config.min_effect - 1)),
        Watched.MACRO_F1: odds / (1 + odds) - (1 - value),
        Watched.MACRO_PRECISION: odds / (1 + odds) - (1 - value),
        Watched.MACRO_RECALL: odds / (1 + odds) - (1 - value),
        Watched.MAE: value * (config.min_effect - 1),
        Watched.RMSE: value * (config.min_effect - 1),
        Watched.BIAS: _spread(state.reference) * (config.min_effect - 1),
        Watched.R2: (1 - value) * (config.min_effect - 1),
    }
    harm = np.zeros(len(state.streams))
    for row, stream in enumerate(state.streams):
        if stream.metric in by_metric:
            harm[row] = by_metric[stream.metric][row]
    return harm


def _standardised(config: Degradation, state: DegradationState, found: Floats) -> Floats:
    harm = _harm(state.streams, found, state.reference)
    of_bucket, of_reference = _error(found), _error(state.reference)
    tolerated = _tolerated_harm(config, state)
    unsure = np.hypot(tolerated, REFERENCE_Z * of_reference) - THETAS[0] / 2 * of_bucket
    tolerated = np.maximum(tolerated, unsure)
    error = np.hypot(of_bucket, of_reference)
    z: Floats = (harm - tolerated) / np.maximum(error, 1e-12)
    return z


def _of_values(config: Degradation, state: DegradationState, found: Floats) -> Floats:
    """Log e-values of metrics of values, float64[S, Q]."""
    n = np.maximum(found[:, N], 1.0)
    of_reference = _error(state.reference)
    usual, own = _spread(state.reference) / np.sqrt(n), _error(found)
    tolerated = np.hypot(_tolerated_harm(config, state), REFERENCE_Z * of_reference)
    harm = _harm(state.streams, found, state.reference)
    sides = []
    for side in (harm, -harm):
        beyond = side - tolerated
        error = np.hypot(np.where(beyond > 0, np.maximum(usual, own), usual), of_reference)
        sides.append(robust.log_e_values(beyond / np.maximum(error, 1e-12)))
    both = np.array([stream.metric is Watched.BIAS for stream in state.streams], np.bool_)[:, None]
    value: Floats = np.where(both, np.logaddexp(*sides) - math.log(2.0), sides[0])
    return value


def _worsened(config: Degradation, state: DegradationState, sums: Floats) -> Flags:
    """Estimates that are worse than is tolerated, bool[S]; a bias to either side, if that is away from 0."""
    harm = _harm(state.streams, sums, state.reference)
    bias = np.array([stream.metric is Watched.BIAS for stream in state.streams], np.bool_)
    away = np.abs(_value(sums)) > np.abs(_value(state.reference))
    flags: Flags = np.where(bias, np.abs(harm) * away, harm) > _tolerated_harm(config, state)
    return flags


def _harm(streams: Sequence[DegradationStream], found: Floats, reference: Floats) -> Floats:
    sign = np.array([1.0 if stream.metric in LOSSES else -1.0 for stream in streams])
    harm: Floats = sign * (_value(found) - _value(reference))
    return harm


def _value(sums: Floats) -> Floats:
    value: Floats = sums[:, VALUE] / np.maximum(sums[:, N], 1.0)
    return value


def _error(sums: Floats) -> Floats:
    error: Floats = np.sqrt(sums[:, VARIANCE]) / np.maximum(sums[:, N], 1.0)
    return error


def _spread(sums: Floats) -> Floats:
    """Standard deviation that one row adds to an estimate, float64[S]."""
    spread: Floats = np.sqrt(sums[:, VARIANCE] / np.maximum(sums[:, N], 1.0))
    return spread


def _odds_ratio(sums: Floats, reference: Floats) -> Floats:
    (n1, s1), (n2, s2) = sums[:, :2].T, reference[:, :2].T
    value: Floats = (s1 + 0.5) * (n2 - s2 + 0.5) / ((s2 + 0.5) * (n1 - s1 + 0.5))
    return value


def _shown(metric: Watched, sums: Floats) -> float:
    """The metric itself from a stream's sums, float64[4]."""
    if metric not in RATES:
        return float(sums[VALUE] / max(sums[N], 1.0))
    share = 1 - float(sums[S] / max(sums[N], 1.0))
    return 2 * share / (1 + share) if metric is Watched.F1 else share


def _text(metric: Watched, value: float) -> str:
    if metric in _AMOUNTS:
        return amount(value)
    return percent(value) if metric in RATES else f"{value:.3f}"


def _finding(
    config: Degradation,
    state: DegradationState,
    tracker: Tracker,
    names: Mapping[int, SliceName],
    row: int,
    threshold: float,
    at_ms: int,
    *,
    holds: bool,
) -> Finding:
    stream, name = state.streams[row], names[state.streams[row].slice_id]
    sums, reference = tracker.sums[row], state.reference[row]
    now, before = _shown(stream.metric, sums), _shown(stream.metric, reference)
    rate = stream.metric in RATES
    n1, s1, n2, s2 = (float(x) for x in (*sums[:2], *reference[:2]))
    began_ms = int(tracker.since_ms[row])
    went = "rose" if stream.metric in LOSSES and now > before else "fell"
    text = [_text(stream.metric, x) for x in (before, now)]
    effect = float(_odds_ratio(tracker.sums, state.reference)[row]) if rate else abs(now - before)
    return Finding(
        kind=AlertKind.DEGRADATION,
        subject={"slice": name.parts, "metric": stream.metric.value},
        holds=holds,
        # A slice that is served worse than the rest pages as a gap; what declines everywhere, as all traffic.
        severity=Severity.NOTICE if name.parts else Severity.PAGE,
        log_evidence=float(tracker.log_evidence[row]),
        log_threshold=threshold,
        effect=effect,
        effect_unit="odds_ratio" if rate else "difference",
        rows=int(n1),
        excess=max(0.0, s1 - n1 * s2 / max(n2, 1.0)) if rate else None,
        began_ms=began_ms,
        at_ms=at_ms,
        summary=f"{WORDS[stream.metric]} of {name.text} {went} from {text[0]} in the reference to "
        f"{text[1]}, over {int(n1)} labelled rows since {clock(began_ms)}",
        advice="See whether inputs drifted or the world changed; if it lasts, retrain or roll back.",
        values={
            "value": now,
            "reference": before,
            "rows": int(n1),
            "reference_rows": int(n2),
            "tolerated": float(_tolerated_odds(config, state.reference)[row])
            if rate
            else float(_tolerated_harm(config, state)[row]),
        },
        notes=_NOTES.get(stream.metric, () if rate else (_NORMAL,)),
        samples=f"errors/{stream.slice_id}",
        features=name.features if name.parts else frozenset(),
    )
