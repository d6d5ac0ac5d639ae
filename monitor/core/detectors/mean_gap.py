"""The mean of a slice is apart from that of the rest, and further than it used to be.

A credit limit that is 20 times lower for women; errors half as large again for new users.

Means of amounts have no odds. Where amounts have one sign it is the ratio of the two means that is held
against the reference's, otherwise their difference; both are linear in the means, so per bucket

    z = (x̄_upper - ρ0 x̄_lower - δ0) / sqrt(φ (v_upper / n_upper + ρ0² v_lower / n_lower))

has a mean of at most 0 while the gap is tolerated. ρ0 is 1 for differences, δ0 is 0 for ratios. A level
that moves with the hour moves both means: it is no evidence. Variances v of a row are the reference's,
because those of a few heavy-tailed rows are small whenever their mean is; where z is above 0 the bucket's own
are used if they are larger, and φ is a design effect, seen in how z scatters between buckets. The evidence is
`monitor.core.evidence.robust`: bounded, so that one row of a billion is not an alarm.

What is tolerated, learned, standing or too little known is as for rates (`slice_gap`). For a ratio the effect
that matters is `min_effect`, four fifths the other way round; for a difference so much of the mean size, that
is `min_effect - 1` times it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.core.counters import SliceCounts
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.detectors.mean_tables import (
    A1,
    A2,
    N1,
    N2,
    REFERENCE,
    SUMS,
    MeanMetric,
    MeanStream,
    means,
    of_one_sign,
    tables,
    variances,
)
from monitor.core.detectors.mean_words import finding_of
from monitor.core.detectors.waiting import held_back
from monitor.core.evidence import robust
from monitor.core.evidence.design_effect import Dispersion, design_effect, follow
from monitor.core.evidence.edetector import Flags, Floats, Tracker, advance
from monitor.core.records import AlertKind

_QUIET: Final = 1.0
"""CUSUM below which a bucket may be learned from."""

_THETAS: Final = (2.0, 3.0, 4.0)
"""Alternatives, in standard errors, of the one look at a reference."""


@dataclass(frozen=True)
class MeanGap:
    """Configuration of the detector.

    Attributes:
        min_effect: smallest ratio of two means that matters, above 1.
        learn_rows: rows of all traffic to learn a slice from when the reference does not know it.
        reference_z: standard errors by which the reference's gap may be wrong.
        reference_se_max: a reference less certain than this (standard error of its log ratio, or of the
            difference in mean sizes) is learned on.
        reference_se_goal: live traffic that shows no change is added to a reference that is less certain.
        reference_rows_min: rows of either side that a reference needs: variances come from them.
        rows_min: rows of the slice before anything is said.
    """

    min_effect: float = 1.25
    learn_rows: int = 5_000
    reference_z: float = 2.8
    reference_se_max: float = 0.35
    reference_se_goal: float = 0.01
    reference_rows_min: int = 200
    rows_min: int = 30

    name = AlertKind.GAP_CHANGE


@dataclass(frozen=True)
class MeanState:
    """Streams and their state, row by row.

    Attributes:
        streams: what is tested.
        tracker: evidence; its sums are the columns of `mean_tables`.
        reference: float64[S, 8], the same columns.
        ratio: streams whose means are compared by ratio, bool[S].
        tolerated: ρ0 or δ0, float64[S]; nan while the slice is being learned.
        told: streams whose reference was looked at for a standing gap, bool[S].
        scatter: how much more contrasts scatter than those of independent rows would.
    """

    streams: tuple[MeanStream, ...]
    tracker: Tracker
    reference: Floats
    ratio: Flags
    tolerated: Floats
    told: Flags
    scatter: Dispersion

    @classmethod
    def fresh(cls) -> MeanState:
        """No streams yet."""
        none = np.zeros(0)
        tracker = Tracker.fresh(0, len(robust.LAMBDAS), SUMS)
        flags = none.astype(np.bool_)
        return cls((), tracker, np.zeros((0, REFERENCE)), flags, none, flags, Dispersion.fresh(0))

    @property
    def design_effect(self) -> Floats:
        """By what variances are multiplied, float64[S]; streams of one metric lend each other theirs."""
        metrics = list(MeanMetric)
        groups = np.array([metrics.index(stream.metric) for stream in self.streams], np.int64)
        return design_effect(self.scatter, groups)

    @property
    def low(self) -> Flags:
        """Streams that look for a lower mean, bool[S]."""
        return np.array([stream.low for stream in self.streams], np.bool_)


def align(
    config: MeanGap, state: MeanState, streams: Sequence[MeanStream], reference: Mapping[int, SliceCounts]
) -> MeanState:
    """Take in streams that appeared and drop those that are gone; the others keep their state.

    Args:
        config: of the detector.
        state: before.
        streams: what is to be tested now.
        reference: slice id → counts of the labelled reference; empty to learn from live traffic.
    """
    at = {stream.identity: row for row, stream in enumerate(state.streams)}
    new = [stream for stream in streams if stream.identity not in at]
    at |= {stream.identity: len(at) + row for row, stream in enumerate(new)}
    rows = np.array([at[stream.identity] for stream in streams], np.int64)
    learned = tables(new, reference)[:, :REFERENCE]
    grown = MeanState(
        (*state.streams, *new),
        state.tracker.extend(len(new)),
        np.concatenate([state.reference, learned]),
        np.concatenate([state.ratio, of_one_sign(learned)]),
        np.concatenate([state.tolerated, np.full(len(new), np.nan)]),
        np.concatenate([state.told, np.zeros(len(new), np.bool_)]),
        state.scatter.extend(len(new)),
    )
    ready = np.isnan(grown.tolerated) & _known(config, grown.reference, grown.ratio)
    tolerated = np.where(ready, tolerance(config, grown), grown.tolerated)
    return MeanState(
        tuple(streams),
        grown.tracker.take(rows),
        grown.reference[rows],
        grown.ratio[rows],
        tolerated[rows],
        grown.told[rows],
        grown.scatter.take(rows),
    )


def step(config: MeanGap, state: MeanState, bucket: Floats, start_ms: int, take: Flags) -> MeanState:
    """Take one closed bucket.

    Args:
        config: of the detector.
        state: before the bucket.
        bucket: its sums, float64[S, 9] (`mean_tables.tables`).
        start_ms: start of the bucket.
        take: streams for which the bucket is mature, bool[S].
    """
    if not state.streams:
        return state
    learning = np.isnan(state.tolerated)
    informative = take & (bucket[:, N1] > 0) & (bucket[:, N2] > 0)
    active = informative & ~learning
    factor, shift = _plain(state)
    now = standardised(state, bucket, factor, shift, np.ones(len(take)))
    scatter = follow(state.scatter, now, np.ones(len(take)), active & np.isfinite(now))
    state = replace(state, scatter=scatter)
    factor, shift = _boundary(state)
    z = standardised(state, bucket, factor, shift, state.design_effect)
    active &= np.isfinite(z)
    log_e = np.where(active[:, None], robust.log_e_values(np.where(active, z, 0.0)), 0.0)
    tracker = advance(state.tracker, log_e, bucket, start_ms, active)
    refining = (
        active
        & ~state.tracker.open
        & (state.tracker.cusum <= _QUIET)
        & (standard_error(state.reference, state.ratio) > config.reference_se_goal)
    )
    taken = (learning & informative) | refining
    reference = state.reference + np.where(taken[:, None], bucket[:, :REFERENCE], 0.0)
    ratio = np.where(learning, of_one_sign(reference), state.ratio)
    state = replace(state, tracker=tracker, reference=reference, ratio=ratio)
    enough = reference[:, N1] + reference[:, N2] >= config.learn_rows
    ready = learning & take & enough & _known(config, reference, ratio)
    return replace(state, tolerated=np.where(ready | refining, tolerance(config, state), state.tolerated))


def judge(
    config: MeanGap, state: MeanState, names: Mapping[int, SliceName], log_threshold: Floats, at_ms: int
) -> tuple[MeanState, list[Finding]]:
    """What holds after the last bucket taken.

    Args:
        config: of the detector.
        state: after that bucket.
        names: slice id → name.
        log_threshold: float64[S].
        at_ms: end of the last bucket taken, epoch ms.
    """
    if not state.streams:
        return state, []
    tracker = state.tracker
    alarmed = (
        (tracker.log_evidence >= log_threshold)
        & (tracker.sums[:, N1] >= config.rows_min)
        & _beyond(state, tracker.sums)
    )
    for row in np.flatnonzero(alarmed & ~tracker.open).tolist():
        alarmed[row] = not held_back(state.streams, tracker, names, row, log_threshold)
    recovered = tracker.recovered
    tracker = tracker.opened(alarmed & ~recovered)
    findings = [
        replace(
            finding_of(
                state.streams[i], names, tracker.sums[i], state.reference[i], ratio=bool(state.ratio[i]),
                began_ms=int(tracker.since_ms[i]), at_ms=at_ms, tolerated=float(state.tolerated[i]),
            ),
            holds=not recovered[i],
            log_evidence=float(tracker.log_evidence[i]),
            log_threshold=float(log_threshold[i]),
        )
        for i in np.flatnonzero(tracker.open).tolist()
        if state.streams[i].slice_id in names
    ]  # fmt: skip
    return replace(state, tracker=tracker.reset(recovered)), findings


def standing(
    config: MeanGap, state: MeanState, names: Mapping[int, SliceName], at_ms: int
) -> tuple[MeanState, list[Finding]]:
    """Gaps that references settled since the last call show, once each.

    One look at each reference, whose means are taken to be normal, against 20 per stream.
    """
    settled = ~np.isnan(state.tolerated) & ~state.told
    fresh = np.flatnonzero(settled)
    if not fresh.size:
        return state, []
    factor = np.where(state.ratio, config.min_effect, 1.0)
    shift = np.where(state.ratio, 0.0, (config.min_effect - 1) * _size(state.reference))
    z = standardised(state, _padded(state.reference), factor, shift, np.ones(len(state.streams)))
    thetas = np.array(_THETAS)
    log_e = thetas * z[:, None] - thetas * thetas / 2
    evidence = np.logaddexp.reduce(log_e, axis=1) - math.log(len(thetas))
    threshold = math.log(20.0 * len(state.streams))
    worse = _harmful(state, state.reference)
    found = [
        replace(
            finding_of(
                state.streams[at], names, None, state.reference[at], ratio=bool(state.ratio[at]),
                began_ms=at_ms, at_ms=at_ms, tolerated=float(factor[at] if state.ratio[at] else shift[at]),
            ),
            log_evidence=float(evidence[at]),
            log_threshold=threshold,
        )
        for at in fresh.tolist()
        if evidence[at] >= threshold and worse[at] and state.streams[at].slice_id in names
    ]  # fmt: skip
    return replace(state, told=state.told | settled), found


def tolerance(config: MeanGap, state: MeanState) -> Floats:
    """ρ0 of each ratio, δ0 of each difference, float64[S], from the reference.

    ln ρ0 = max(0, ln ratio) + sqrt(ln² min_effect + (z · SE)²)
    δ0 = max(0, difference) + mean size · sqrt((min_effect - 1)² + (z · SE)²)
    """
    unsure = config.reference_z * standard_error(state.reference, state.ratio)
    upper, lower = _sides(means(state.reference), state.low)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        known = np.maximum(np.log(upper / lower), 0.0)
        ratios = np.exp(known + np.hypot(math.log(config.min_effect), unsure))
        beyond = _size(state.reference) * np.hypot(config.min_effect - 1, unsure)
    value: Floats = np.where(state.ratio, ratios, np.maximum(upper - lower, 0.0) + beyond)
    return value


def standard_error(sums: Floats, ratio: Flags) -> Floats:
    """Standard error of the log of the ratio of two means, or of their difference in mean sizes.

    float64[S]; inf where there are too few rows.
    """
    (x1, x2), (v1, v2) = means(sums), variances(sums)
    n1, n2 = sums[:, N1], sums[:, N2]
    size = _size(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = v1 / n1, v2 / n2
        error = np.where(ratio, np.sqrt(one / x1**2 + two / x2**2), np.sqrt(one + two) / size)
    value: Floats = np.where((n1 > 1) & (n2 > 1) & np.isfinite(error), error, np.inf)
    return value


def standardised(state: MeanState, bucket: Floats, factor: Floats, shift: Floats, effect: Floats) -> Floats:
    """Z of each stream, float64[S]; nan where the bucket says nothing.

    Args:
        state: whose reference gives the variances.
        bucket: sums, float64[S, 9].
        factor: ρ0, float64[S].
        shift: δ0, float64[S].
        effect: φ, float64[S].
    """
    upper, lower = _sides(means(bucket), state.low)
    n_upper, n_lower = _sides((bucket[:, N1], bucket[:, N2]), state.low)
    beyond = upper - factor * lower - shift
    above = beyond > 0
    known, own = (_sides(variances(sums), state.low) for sums in (state.reference, bucket))
    v_upper, v_lower = (
        np.where(above, np.maximum(of_reference, of_bucket), of_reference)
        for of_reference, of_bucket in zip(known, own, strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(effect * (v_upper / n_upper + factor**2 * v_lower / n_lower))
        value: Floats = np.where(error > 0, beyond / error, np.nan)
    return value


def _sides(pair: tuple[Floats, Floats], low: Flags) -> tuple[Floats, Floats]:
    """Slice and rest as upper and lower side; the slice is the lower one where a lower mean is looked for."""
    one, rest = pair
    return np.where(low, rest, one), np.where(low, one, rest)


def _boundary(state: MeanState) -> tuple[Floats, Floats]:
    """ρ0 and δ0 of what is tolerated."""
    return np.where(state.ratio, state.tolerated, 1.0), np.where(state.ratio, 0.0, state.tolerated)


def _plain(state: MeanState) -> tuple[Floats, Floats]:
    """ρ and δ of the reference itself."""
    upper, lower = _sides(means(state.reference), state.low)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(state.ratio, upper / lower, 1.0), np.where(state.ratio, 0.0, upper - lower)


def _beyond(state: MeanState, sums: Floats) -> Flags:
    """Streams whose gap exceeds what is tolerated, and harms, bool[S]."""
    factor, shift = _boundary(state)
    upper, lower = _sides(means(sums), state.low)
    flags: Flags = (upper > factor * lower + shift) & _harmful(state, sums)
    return flags


def _harmful(state: MeanState, sums: Floats) -> Flags:
    """A bias harms the side that is further from 0; the other metrics know one side, or no harmful one."""
    one, rest = means(sums)
    bias = np.array([stream.metric is MeanMetric.BIAS for stream in state.streams], np.bool_)
    flags: Flags = ~bias | (np.abs(one) > np.abs(rest))
    return flags


def _size(sums: Floats) -> Floats:
    """Mean absolute amount of all rows, float64[S]."""
    value: Floats = (sums[:, A1] + sums[:, A2]) / np.maximum(sums[:, N1] + sums[:, N2], 1.0)
    return value


def _known(config: MeanGap, reference: Floats, ratio: Flags) -> Flags:
    """References that a slice can be held to, bool[S]."""
    rows = np.minimum(reference[:, N1], reference[:, N2])
    some = sum(variances(reference)) > 0
    known: Flags = (
        (rows >= config.reference_rows_min)
        & (standard_error(reference, ratio) <= config.reference_se_max)
        & some
    )
    return known


def _padded(reference: Floats) -> Floats:
    return np.concatenate([reference, np.zeros((len(reference), SUMS - REFERENCE))], axis=1)
