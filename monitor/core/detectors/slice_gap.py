"""A slice is served worse than the rest, and by more than it used to be.

No two real groups are equal, so equality is not the null. A gap that the reference shows already is a
`standing_gap`: reported once. A `gap_change` is evidence that the odds ratio between the slice and the
rest exceeds that of the reference by more than the effect worth acting on and what the reference leaves
open (`tolerance`).

Only the harmful side is tested: a slice that does better than the rest is no failure. Positive rate is
tested for protected slices, and whichever side it leans to. A slice that the reference hardly knows is
learned from live traffic first and says nothing until then. Quiet traffic goes on adding to a reference until
its own error is small beside the effect that matters, and no further: a slow change is not to be learned.

Label coverage is the same test on "the label never came" (kind `ignored_slice`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Counts
from monitor.core.detectors.finding import Finding, SliceName, clock, percent
from monitor.core.detectors.gap_tables import (
    N1,
    N2,
    REFERENCE,
    S1,
    S2,
    SUMS,
    GapMetric,
    GapStream,
    Tables,
    odds_ratio,
    standard_error,
    tables,
)
from monitor.core.detectors.waiting import held_back
from monitor.core.evidence import conditional
from monitor.core.evidence.design_effect import Dispersion, design_effect, observe
from monitor.core.evidence.edetector import Flags, Floats, Tracker, advance
from monitor.core.records import AlertKind, Severity

_QUIET: Final = 1.0
"""CUSUM below which a bucket may be learned from."""

_WORDS: Final = {
    GapMetric.ERROR_RATE: "error rate",
    GapMetric.FALSE_NEGATIVE_RATE: "false negative rate",
    GapMetric.FALSE_POSITIVE_RATE: "false positive rate",
    GapMetric.POSITIVE_RATE: "positive rate",
    GapMetric.COVERAGE: "share of labels that came",
    GapMetric.CLASS_RECALL: "share of {0} that was taken for something else",
    GapMetric.CLASS_RATE: "share of decisions for {0}",
}
_ADVICE: Final = {
    GapMetric.ERROR_RATE: "Compare wrong answers of this slice with right ones: features, client, version.",
    GapMetric.FALSE_NEGATIVE_RATE: "Look at positives of this slice that were refused.",
    GapMetric.FALSE_POSITIVE_RATE: "Look at negatives of this slice that were accepted.",
    GapMetric.POSITIVE_RATE: "Look for a rule, threshold or feature that treats this group differently.",
    GapMetric.CLASS_RECALL: "Look at rows of this class and slice that were taken for another class.",
    GapMetric.CLASS_RATE: "Look for a rule or feature that treats this group differently.",
    GapMetric.COVERAGE: "Find where its labels get lost; until then its metrics rest on a selection.",
}


@dataclass(frozen=True)
class SliceGap:
    """Configuration of the detector.

    Attributes:
        min_effect: smallest odds ratio that matters, above 1.
        learn_rows: rows of all traffic to learn a slice from when the reference does not know it.
        reference_z: standard errors by which the reference's log odds ratio may be wrong.
        reference_se_max: a reference less certain than this (standard error of its log odds ratio) is
            learned on.
        reference_se_goal: live traffic that shows no change is added to a reference that is less certain.
        rows_min: rows of the slice before anything is said.
        failures_min: failures of the slice before anything is said.
    """

    min_effect: float = 1.25
    learn_rows: int = 5_000
    reference_z: float = 2.8
    reference_se_max: float = 0.35
    reference_se_goal: float = 0.01
    rows_min: int = 30
    failures_min: int = 10

    name = AlertKind.GAP_CHANGE


@dataclass(frozen=True)
class GapState:
    """Streams and their state, row by row.

    Attributes:
        streams: what is tested.
        tracker: evidence; its sums are n1, s1, n2, s2, the two Mantel-Haenszel sums and invalid rows.
        reference: n1, s1, n2, s2 and the two Mantel-Haenszel sums of the reference, float64[S, 6].
        tolerated: ψ0, float64[S]; nan while the slice is being learned.
        told: streams whose reference was looked at for a standing gap, bool[S].
        scatter: how much more counts scatter than those of independent rows would.
    """

    streams: tuple[GapStream, ...]
    tracker: Tracker
    reference: Floats
    tolerated: Floats
    told: Flags
    scatter: Dispersion

    @classmethod
    def fresh(cls) -> GapState:
        """No streams yet."""
        none = np.zeros(0)
        tracker = Tracker.fresh(0, len(conditional.ODDS_FACTORS), SUMS)
        return cls((), tracker, np.zeros((0, REFERENCE)), none, none.astype(np.bool_), Dispersion.fresh(0))

    @property
    def design_effect(self) -> Floats:
        """By what evidence is divided, float64[S]; streams of one metric lend each other what they know."""
        metrics = list(GapMetric)
        groups = np.array([metrics.index(stream.metric) for stream in self.streams], np.int64)
        return design_effect(self.scatter, groups)


def align(
    config: SliceGap,
    state: GapState,
    streams: Sequence[GapStream],
    reference: tuple[Mapping[int, int], Counts] | None,
    classes: Counts | None = None,
) -> GapState:
    """Take in streams that appeared and drop those that are gone; the others keep their state.

    Args:
        config: of the detector.
        state: before.
        streams: what is to be tested now.
        reference: slice id → row, and int64[rows, len(Scalar)] of the labelled reference, or None.
        classes: of several classes, `classes` arrays of the same rows.
    """
    at = {stream.identity: row for row, stream in enumerate(state.streams)}
    new = [stream for stream in streams if stream.identity not in at]
    at |= {stream.identity: len(at) + row for row, stream in enumerate(new)}
    rows = np.array([at[stream.identity] for stream in streams], np.int64)
    learned = np.zeros((len(new), REFERENCE))
    if reference is not None:
        ids, scalars = reference
        told = [s.slice_id in ids and s.metric is not GapMetric.COVERAGE for s in new]
        found = tables([s for s, there in zip(new, told, strict=True) if there], ids, scalars, classes)
        learned[np.array(told, np.bool_)] = found.sums[:, :REFERENCE]
    known_enough = standard_error(learned) <= config.reference_se_max
    tolerated = np.where(known_enough, tolerance(config, learned), np.nan)
    return GapState(
        tuple(streams),
        state.tracker.extend(len(new)).take(rows),
        np.concatenate([state.reference, learned])[rows],
        np.concatenate([state.tolerated, tolerated])[rows],
        np.concatenate([state.told, np.zeros(len(new), np.bool_)])[rows],
        state.scatter.extend(len(new)).take(rows),
    )


def step(
    config: SliceGap, state: GapState, bucket: Tables, start_ms: int, take: NDArray[np.bool_],
    settled: NDArray[np.bool_] | None = None,
) -> GapState:  # fmt: skip
    """Take one closed bucket.

    Args:
        config: of the detector.
        state: before the bucket.
        bucket: its tables.
        start_ms: start of the bucket.
        take: streams for which the bucket is mature, bool[S].
        settled: streams whose slice is known to be well in this bucket, bool[S]: counts as recovery.
    """
    learning = np.isnan(state.tolerated)
    informative = take & (bucket.n1 > 0) & (bucket.n2 > 0)
    psi0 = np.where(learning, config.min_effect, state.tolerated)
    active = informative & ~learning
    scatter = observe(state.scatter, bucket.n1, bucket.s1, bucket.n2, bucket.s2, informative)
    state = replace(state, scatter=scatter)
    log_e = np.zeros(state.tracker.sr.shape)
    some = np.flatnonzero(active)
    log_e[some] = conditional.log_e_values(
        bucket.n1[some], bucket.s1[some], bucket.n2[some], bucket.s2[some], psi0[some],
        conditional.odds_ratios_above(psi0[some]),
    )  # fmt: skip
    log_e /= state.design_effect[:, None]
    counted = bucket.sums
    calm = -log_e[:, 0]
    if settled is not None:
        active = active | (settled & ~learning)
        calm = np.where(settled, 1.0, calm)
        counted = np.where(settled[:, None], 0.0, counted)
    tracker = advance(state.tracker, log_e, counted, start_ms, active, calm)
    refining = (
        ~learning
        & informative
        & ~state.tracker.open
        & (state.tracker.cusum <= _QUIET)
        & (standard_error(state.reference) > config.reference_se_goal)
    )
    taken = (learning & informative) | refining
    reference = state.reference + np.where(taken[:, None], counted[:, :REFERENCE], 0.0)
    rows = reference[:, N1] + reference[:, N2]
    ready = (
        learning & take & (rows >= config.learn_rows) & (standard_error(reference) <= config.reference_se_max)
    )
    tolerated = np.where(ready | refining, tolerance(config, reference), state.tolerated)
    return replace(state, tracker=tracker, reference=reference, tolerated=tolerated)


def judge(
    config: SliceGap, state: GapState, names: Mapping[int, SliceName], log_threshold: Floats, at_ms: Floats
) -> tuple[GapState, list[Finding]]:
    """What holds after the last bucket taken.

    Args:
        config: of the detector.
        state: after that bucket.
        names: slice id → name.
        log_threshold: float64[S].
        at_ms: end of the last bucket taken, float64[S], epoch ms.
    """
    tracker = state.tracker
    n1, s1 = tracker.sums[:, N1], tracker.sums[:, S1]
    alarmed = (
        (tracker.log_evidence >= log_threshold)
        & (n1 >= config.rows_min)
        & (s1 >= config.failures_min)
        & (odds_ratio(tracker.sums) >= state.tolerated)
    )
    for row in np.flatnonzero(alarmed & ~tracker.open).tolist():
        alarmed[row] = not held_back(state.streams, tracker, names, row, log_threshold)
    recovered = tracker.recovered
    tracker = tracker.opened(alarmed & ~recovered)
    findings = [
        _finding(state, tracker, names, i, float(log_threshold[i]), int(at_ms[i]), holds=not recovered[i])
        for i in np.flatnonzero(tracker.open).tolist()
        if state.streams[i].slice_id in names
    ]
    return replace(state, tracker=tracker.reset(recovered)), findings


def standing(
    config: SliceGap, state: GapState, names: Mapping[int, SliceName], at_ms: int
) -> tuple[GapState, list[Finding]]:
    """Gaps that references settled since the last call show, once each.

    One look at each reference, taken as one table: its conditional e-value against 20 per stream.
    """
    settled = ~np.isnan(state.tolerated) & ~state.told
    fresh = np.flatnonzero(settled)
    if not fresh.size:
        return state, []
    reference = state.reference[fresh]
    psi0 = np.full(fresh.size, config.min_effect)
    n1, s1, n2, s2 = np.rint(reference[:, : S2 + 1]).astype(np.int64).T
    log_e = conditional.log_e_values(n1, s1, n2, s2, psi0, conditional.odds_ratios_above(psi0))
    evidence = np.logaddexp.reduce(log_e, axis=1) - math.log(log_e.shape[1])
    threshold = math.log(20.0 * len(state.streams))
    found = []
    for at in np.flatnonzero(evidence >= threshold).tolist():
        stream = state.streams[fresh[at]]
        if stream.slice_id in names and stream.metric is not GapMetric.COVERAGE:
            name = names[stream.slice_id]
            found.append(_standing(stream, name, reference[at], float(evidence[at]), threshold, at_ms))
    return replace(state, told=state.told | settled), found


def tolerance(config: SliceGap, reference: Floats) -> Floats:
    """ψ0 of each stream, float64[S], from the sums of its reference, float64[S, 6].

        ln ψ0 = max(0, ln OR) + sqrt(ln² min_effect + (z · SE)²)

    The effect that matters and what the reference cannot tell add up like independent errors: a large
    reference leaves `min_effect` alone, a small one is not held to more than it knows.
    """
    known = np.maximum(np.log(odds_ratio(reference)), 0.0)
    unsure = config.reference_z * standard_error(reference)
    value: Floats = np.exp(known + np.hypot(math.log(config.min_effect), unsure))
    return value


def _finding(
    state: GapState,
    tracker: Tracker,
    names: Mapping[int, SliceName],
    row: int,
    threshold: float,
    at_ms: int,
    *,
    holds: bool,
) -> Finding:
    stream = state.streams[row]
    name = names[stream.slice_id]
    n1, s1, n2, s2, _, _, invalid = tracker.sums[row].tolist()
    effect = float(odds_ratio(tracker.sums[row : row + 1])[0])
    before = float(odds_ratio(state.reference[row : row + 1])[0])
    began_ms = int(tracker.since_ms[row])
    rate, rest = _shown(stream, n1, s1), _shown(stream, n2, s2)
    hits = n1 - s1 if stream.low else s1
    coverage = stream.metric is GapMetric.COVERAGE
    return Finding(
        kind=AlertKind.IGNORED_SLICE if coverage else AlertKind.GAP_CHANGE,
        subject={"slice": name.parts, **stream.subject},
        holds=holds,
        severity=Severity.PAGE,
        log_evidence=float(tracker.log_evidence[row]),
        log_threshold=threshold,
        effect=effect,
        effect_unit="odds_ratio",
        rows=int(n1),
        excess=max(0.0, s1 - n1 * s2 / max(n2, 1)),
        began_ms=began_ms,
        at_ms=at_ms,
        summary=f"{_words(stream)} of {name.text} is {percent(rate)} against {percent(rest)} in the "
        f"rest: {int(hits)} of {int(n1)} since {clock(began_ms)}; odds differ by a factor of {effect:.2g} "
        f"({before:.2g} in the reference)",
        advice=_ADVICE[stream.metric],
        values={
            "slice_rate": rate,
            "rest_rate": rest,
            "slice_rows": int(n1),
            "rest_rows": int(n2),
            "odds_ratio": effect,
            "reference_odds_ratio": before,
            "tolerated_odds_ratio": float(state.tolerated[row]),
            "design_effect": float(state.design_effect[row]),
            "side": "lower" if stream.low else "higher",
        },
        samples=f"errors/{stream.slice_id}",
        features=name.features,
        invalid_rows=int(invalid),
    )


def _standing(
    stream: GapStream, name: SliceName, reference: Floats, evidence: float, threshold: float, at_ms: int
) -> Finding:
    n1, s1, n2, s2 = reference[: S2 + 1].tolist()
    effect = float(odds_ratio(reference[None, :])[0])
    rate, rest = _shown(stream, n1, s1), _shown(stream, n2, s2)
    return Finding(
        kind=AlertKind.STANDING_GAP,
        subject={"slice": name.parts, **stream.subject},
        holds=True,
        severity=Severity.NOTICE,
        log_evidence=evidence,
        log_threshold=threshold,
        effect=effect,
        effect_unit="odds_ratio",
        rows=int(n1),
        excess=max(0.0, s1 - n1 * s2 / max(n2, 1)),
        began_ms=at_ms,
        at_ms=at_ms,
        summary=f"{_words(stream)} of {name.text} is {percent(rate)} against {percent(rest)} in the "
        "rest, and was so in the reference",
        advice="Decide whether this gap is acceptable. Only its growth will page.",
        values={
            "slice_rate": rate,
            "rest_rate": rest,
            "slice_rows": int(n1),
            "rest_rows": int(n2),
            "odds_ratio": effect,
            "side": "lower" if stream.low else "higher",
        },
        acknowledged=True,
        features=name.features,
    )


def _words(stream: GapStream) -> str:
    return _WORDS[stream.metric].format(stream.class_name)


def _shown(stream: GapStream, rows: float, failures: float) -> float:
    """The metric itself, from rows and failures of the stream."""
    rate = failures / max(rows, 1.0)
    return 1.0 - rate if stream.low else rate
