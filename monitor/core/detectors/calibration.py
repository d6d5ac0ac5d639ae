"""Scores no longer come true as often as they did, so what is estimated before labels is not to be trusted.

The guard of `monitor.core.estimation`: labelled rows are compared, cell by cell of the score, with what the
reference's labels say. A shift of the inputs that leaves the meaning of a score alone is no evidence; a
changed world or model is. Where the reference knows too little of a slice, it is learned from live labels
first and says nothing until then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from monitor.core.counters import SCORES, Counts
from monitor.core.detectors.finding import Finding, SliceName, clock, percent
from monitor.core.estimation.guard import (
    ALTERNATIVES,
    CELLS,
    REGIONS,
    SIZES,
    CellLabels,
    Known,
    log_e_values,
    regions,
    residual,
    without_burst,
)
from monitor.core.evidence import bursts
from monitor.core.evidence.design_effect import Dispersion, design_effect, follow
from monitor.core.evidence.edetector import PILOT, Flags, Floats, Ints, Tracker, advance
from monitor.core.records import AlertKind, Severity

_SUMS = 3 * REGIONS
_COLUMNS = 1 + ALTERNATIVES  # in the pilot's column, which dates a change, stands the bet that leads


@dataclass(frozen=True)
class Calibration:
    """Configuration of the detector.

    Attributes:
        min_effect: odds ratio that is tolerated at every score, above 1.
        learn_rows: labelled rows to learn a slice from, those of the reference among them.
        reference_z: standard errors by which the reference's log odds may be wrong.
        rows_min: labelled rows before anything is said.
        burst_log_e: what a bucket may say, natural log, that one request sent again and again explains.
    """

    min_effect: float = 1.25
    learn_rows: int = 2_000
    reference_z: float = 2.8
    rows_min: int = 100
    burst_log_e: float = math.log(20.0)

    name = AlertKind.CALIBRATION


@dataclass(frozen=True)
class CalibrationState:
    """Slices and their state, row by row.

    Attributes:
        slices: slice ids, int64[S].
        tracker: evidence; its sums are rows, positives and expected positives in each stretch of the scores.
        positive, negative: labelled rows of the reference by cell of the score, float64[S, 64].
        settled: the reference is complete, bool[S].
        scatter: how much more counts scatter than those of independent rows would.
    """

    slices: Ints
    tracker: Tracker
    positive: Floats
    negative: Floats
    settled: Flags
    scatter: Dispersion

    @classmethod
    def fresh(cls) -> CalibrationState:
        """No slices yet."""
        return cls(
            np.zeros(0, np.int64),
            Tracker.fresh(0, _COLUMNS, _SUMS),
            np.zeros((0, CELLS)),
            np.zeros((0, CELLS)),
            np.zeros(0, np.bool_),
            Dispersion.fresh(0),
        )

    @property
    def design_effect(self) -> Floats:
        """By what evidence is divided, float64[S]; slices lend each other what they know."""
        return design_effect(self.scatter, np.zeros(len(self.slices), np.int64))


def align(
    config: Calibration, state: CalibrationState, slices: Ints, reference: Mapping[int, Counts]
) -> CalibrationState:
    """Take in slices that appeared and drop those that are gone; the others keep their state.

    Args:
        config: of the detector.
        state: before.
        slices: what is to be tested now, int64[S]; all traffic may be among them.
        reference: slice id → `scores` array of the labelled reference, int64[1536].
    """
    at = {int(number): row for row, number in enumerate(state.slices)}
    new = [int(number) for number in slices if int(number) not in at]
    at |= {number: len(at) + row for row, number in enumerate(new)}
    rows = np.array([at[int(number)] for number in slices], np.int64)
    nothing = np.zeros(SCORES.size, np.int64)
    scores = np.array([reference.get(number, nothing) for number in new], np.int64)
    labels = CellLabels.of(scores.reshape(len(new), SCORES.size))
    settled = labels.rows.sum(axis=1) >= config.learn_rows
    return CalibrationState(
        np.asarray(slices, np.int64),
        state.tracker.extend(len(new)).take(rows),
        np.concatenate([state.positive, labels.positive])[rows],
        np.concatenate([state.negative, labels.negative])[rows],
        np.concatenate([state.settled, settled])[rows],
        state.scatter.extend(len(new)).take(rows),
    )


def step(
    config: Calibration, state: CalibrationState, scores: Counts, start_ms: int, take: Flags
) -> CalibrationState:
    """Take one closed bucket of labels.

    Args:
        config: of the detector.
        state: before the bucket.
        scores: `scores` arrays of the slices, int64[S, 1536].
        start_ms: start of the bucket, epoch ms.
        take: slices for which the bucket is mature, bool[S].
    """
    labels = CellLabels.of(scores)
    counted = labels.rows.sum(axis=1)
    some = take & (counted > 0)
    known = Known.of(CellLabels(state.positive, state.negative))
    active = some & state.settled
    beyond, variance = residual(labels, known)
    scatter = follow(state.scatter, beyond, variance, active & (variance > 0))
    state = replace(state, scatter=scatter)
    bets = log_e_values(labels, known, config.min_effect, config.reference_z)
    bets /= state.design_effect[:, None]
    loud = np.flatnonzero(bets.max(axis=1, initial=0.0) > config.burst_log_e)
    if loud.size:
        of, by = labels.take(loud), known.take(loud)
        without = log_e_values(without_burst(of, by), by, config.min_effect, config.reference_z)
        without /= state.design_effect[loud, None]
        bets[loud] = bursts.capped(bets[loud], without, config.burst_log_e)
    leading = _leading(state.tracker, bets)
    log_e = np.insert(bets, PILOT, leading, axis=1)
    sums = regions(labels, known).reshape(len(labels.rows), _SUMS)
    tracker = advance(state.tracker, log_e, sums, start_ms, active, -leading)
    learning = (some & ~state.settled)[:, None]
    positive = state.positive + np.where(learning, labels.positive, 0.0)
    negative = state.negative + np.where(learning, labels.negative, 0.0)
    settled = state.settled | ((positive + negative).sum(axis=1) >= config.learn_rows)
    return replace(state, tracker=tracker, positive=positive, negative=negative, settled=settled)


def judge(
    config: Calibration,
    state: CalibrationState,
    names: Mapping[int, SliceName],
    log_threshold: Floats,
    at_ms: Floats,
) -> tuple[CalibrationState, list[Finding]]:
    """What holds after the last bucket taken.

    Args:
        config: of the detector.
        state: after that bucket.
        names: slice id → name; a slice without one is not reported.
        log_threshold: float64[S].
        at_ms: end of the last bucket taken, float64[S], epoch ms.
    """
    tracker = state.tracker
    rows = tracker.sums[:, :REGIONS].sum(axis=1)
    alarmed = (tracker.log_evidence >= log_threshold) & (rows >= config.rows_min)
    recovered = tracker.recovered
    tracker = tracker.opened(alarmed & ~recovered)
    findings = [
        _finding(state, tracker, names[int(state.slices[i])], i, float(log_threshold[i]), int(at_ms[i]),
                 holds=not recovered[i])
        for i in np.flatnonzero(tracker.open).tolist()
        if int(state.slices[i]) in names
    ]  # fmt: skip
    return replace(state, tracker=tracker.reset(recovered)), findings


def _leading(tracker: Tracker, bets: Floats) -> Floats:
    """Log e-value of the smallest size of the shape that had the most evidence before, float64[S]."""
    held = np.delete(tracker.sr, PILOT, axis=1)
    best = held.argmax(axis=1) // len(SIZES) * len(SIZES)
    value: Floats = bets[np.arange(len(bets)), best]
    return value


def _finding(
    state: CalibrationState,
    tracker: Tracker,
    name: SliceName,
    row: int,
    threshold: float,
    at_ms: int,
    *,
    holds: bool,
) -> Finding:
    rows, positive, expected = tracker.sums[row].reshape(3, REGIONS)
    total = float(rows.sum())
    gap = positive - expected
    worst = int(np.abs(gap).argmax())
    count = max(float(rows[worst]), 1.0)
    seen, foreseen = float(positive[worst]) / count, float(expected[worst]) / count
    began_ms = int(tracker.since_ms[row])
    return Finding(
        kind=AlertKind.CALIBRATION,
        subject={"slice": name.parts},
        holds=holds,
        severity=Severity.NOTICE,
        log_evidence=float(tracker.log_evidence[row]),
        log_threshold=threshold,
        effect=float(np.abs(gap).sum()) / max(total, 1.0),
        effect_unit="difference",
        rows=int(total),
        excess=float(np.abs(gap).sum()),
        began_ms=began_ms,
        at_ms=at_ms,
        summary=f"estimates of accuracy before labels cannot be trusted: of {int(count)} rows of {name.text} "
        f"since {clock(began_ms)} whose scores stood for {percent(foreseen)} positive, "
        f"{percent(seen)} were",
        advice="Judge by labels until the scores are recalibrated: the meaning of a score has changed, by "
        "the model, by a feature it reads, or by the world it was trained in.",
        values={
            "expected_rate": foreseen,
            "observed_rate": seen,
            "rows_by_stretch": [int(n) for n in rows],
            "observed_by_stretch": [int(n) for n in positive],
            "expected_by_stretch": [round(float(n), 1) for n in expected],
            "design_effect": float(state.design_effect[row]),
        },
        features=name.features,
    )
