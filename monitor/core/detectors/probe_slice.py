"""Decisions in a slice flip at smaller changes than in the rest.

The failure of a trial is a flip within a quarter of an interquartile range of one feature. A slice is
compared with the rest of the same bucket by the conditional e-value, so a model that becomes fragile
everywhere alarms nobody here; the null is "odds ratio at most `tolerated`", since no two slices lie equally
close to the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.core.detectors.finding import Finding, SliceName, clock, percent
from monitor.core.evidence import conditional
from monitor.core.evidence.edetector import Floats, Tracker, advance
from monitor.core.records import AlertKind, Severity

_SUMS: Final = 4  # trials and near flips of the slice, of the rest


@dataclass(frozen=True)
class ProbeSlice:
    """Configuration of the detector.

    Attributes:
        tolerated: odds ratio that is no failure, at least 1.
        trials_min: trials of the slice before anything is said.
        hits_min: near flips of the slice before anything is said.
    """

    tolerated: float = 1.5
    trials_min: int = 30
    hits_min: int = 10

    name = AlertKind.ROBUSTNESS_GAP


@dataclass(frozen=True)
class ProbeSliceState:
    """Slices tested: `slice_ids[i]` is row i of `tracker`."""

    slice_ids: tuple[int, ...]
    tracker: Tracker

    @classmethod
    def fresh(cls) -> ProbeSliceState:
        """No slices yet."""
        return cls((), Tracker.fresh(0, len(conditional.ODDS_FACTORS), _SUMS))


def align(state: ProbeSliceState, slice_ids: Sequence[int]) -> ProbeSliceState:
    """Take in slices that appeared and drop those that are gone; the others keep their state."""
    new = [i for i in slice_ids if i not in state.slice_ids]
    at = {slice_id: row for row, slice_id in enumerate((*state.slice_ids, *new))}
    rows = np.array([at[i] for i in slice_ids], np.int64)
    return ProbeSliceState(tuple(slice_ids), state.tracker.extend(len(new)).take(rows))


def step(
    config: ProbeSlice, state: ProbeSliceState, counted: Mapping[int, tuple[int, int]],
    everything: tuple[int, int], start_ms: int,
) -> ProbeSliceState:  # fmt: skip
    """Take one closed bucket.

    Args:
        config: of the detector.
        state: before the bucket, aligned.
        counted: slice id → trials and near flips.
        everything: the same of all traffic.
        start_ms: start of the bucket, epoch ms.
    """
    if not state.slice_ids:
        return state
    mine = np.array([counted.get(i, (0, 0)) for i in state.slice_ids], np.int64)
    rest = np.maximum(np.array(everything, np.int64) - mine, 0)
    n1, s1, n2, s2 = mine[:, 0], mine[:, 1], rest[:, 0], np.minimum(rest[:, 1], rest[:, 0])
    psi0 = np.full(n1.shape, config.tolerated)
    log_e = conditional.log_e_values(n1, s1, n2, s2, psi0, conditional.odds_ratios_above(psi0))
    sums = np.stack([n1, s1, n2, s2], axis=1).astype(np.float64)
    tracker = advance(state.tracker, log_e, sums, start_ms, (n1 > 0) & (n2 > 0))
    return replace(state, tracker=tracker)


def judge(
    config: ProbeSlice,
    state: ProbeSliceState,
    names: Mapping[int, SliceName],
    log_threshold: Floats,
    at_ms: int,
) -> tuple[ProbeSliceState, list[Finding]]:
    """What holds after the last bucket taken, and what has recovered.

    Args:
        config: of the detector.
        state: after that bucket.
        names: slice id → name.
        log_threshold: float64[S].
        at_ms: end of the bucket, epoch ms.
    """
    tracker = state.tracker
    n1, s1 = tracker.sums[:, 0], tracker.sums[:, 1]
    alarmed = (
        (tracker.log_evidence >= log_threshold)
        & (n1 >= config.trials_min)
        & (s1 >= config.hits_min)
        & (odds_ratio(tracker.sums) >= config.tolerated)
    )
    recovered = tracker.recovered
    tracker = tracker.opened(alarmed & ~recovered)
    findings = [
        _finding(config, tracker, names[state.slice_ids[i]], i, float(log_threshold[i]), at_ms,
                 holds=not recovered[i])
        for i in np.flatnonzero(tracker.open).tolist()
        if state.slice_ids[i] in names
    ]  # fmt: skip
    return replace(state, tracker=tracker.reset(recovered)), findings


def odds_ratio(sums: Floats) -> Floats:
    """Of rows (n1, s1, n2, s2), float64[S, 4], half a row added to each cell (Haldane 1956)."""
    n1, s1, n2, s2 = sums.T
    value: Floats = (s1 + 0.5) * (n2 - s2 + 0.5) / ((n1 - s1 + 0.5) * (s2 + 0.5))
    return value


def _finding(
    config: ProbeSlice,
    tracker: Tracker,
    name: SliceName,
    row: int,
    threshold: float,
    at_ms: int,
    *,
    holds: bool,
) -> Finding:
    n1, s1, n2, s2 = tracker.sums[row].tolist()
    effect = float(odds_ratio(tracker.sums[row : row + 1])[0])
    rate, rest = s1 / max(n1, 1), s2 / max(n2, 1)
    began_ms = int(tracker.since_ms[row])
    return Finding(
        kind=AlertKind.ROBUSTNESS_GAP,
        subject={"slice": name.parts},
        holds=holds,
        severity=Severity.NOTICE,
        log_evidence=float(tracker.log_evidence[row]),
        log_threshold=threshold,
        effect=effect,
        effect_unit="odds_ratio",
        rows=int(n1),
        excess=max(0.0, s1 - n1 * rest),
        began_ms=began_ms,
        at_ms=at_ms,
        summary=f"a small change of one feature flips {percent(rate)} of decisions on {name.text} against "
        f"{percent(rest)} in the rest: {int(s1)} of {int(n1)} probed requests since {clock(began_ms)}",
        advice="Look at the cases: which feature flips them, and how many like them it learned from.",
        values={
            "slice_rate": rate, "rest_rate": rest, "slice_trials": int(n1), "rest_trials": int(n2),
            "odds_ratio": effect, "tolerated_odds_ratio": config.tolerated,
        },
        samples="probes/single_feature",
        features=name.features,
    )  # fmt: skip
