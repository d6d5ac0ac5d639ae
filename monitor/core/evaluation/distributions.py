"""Distributions of one model: what the evaluator does with histograms of a bucket.

Drift within a day and from day to day, and the change of unit that may explain the former.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final
from zlib import crc32

import numpy as np

from monitor.core.counters import Counts, Scalar
from monitor.core.detectors import drift
from monitor.core.detectors.drift import Cells, Drift, Drifted, DriftState
from monitor.core.detectors.drift_words import drift_finding, scale_finding
from monitor.core.detectors.finding import Finding, SliceName, percent
from monitor.core.drift.layout import FIRST, SCALE_CELLS, Block, BlockKind, FeatureLayout
from monitor.core.drift.scale import Distribution, ScaleShift, explain
from monitor.core.evaluation.streams import DAY_S
from monitor.core.evidence.levels import log_threshold, share_out
from monitor.core.feature_cells import HIGH, LOW, TAIL_CELLS
from monitor.core.schema.feature import QUANTILE_LEVELS
from monitor.core.schema.model import FeatureSchema

DECISION: Final = "@decision"
LABEL: Final = "@label"
_ANSWERS: Final = FIRST + 2  # missing, (none), no, yes
_BEYOND_MIN: Final = 30
"""Values beyond a quantile before a slice is named as their source."""

_SCALE_ROWS: Final = 1_000
"""Live values of all features that a window of magnitudes holds before it begins anew."""


@dataclass(frozen=True)
class DistributionsState:
    """What is remembered of distributions.

    Attributes:
        fingerprint: of the layout and the reference; another one starts anew.
        hourly: drift within a day.
        daily: drift from day to day.
        pending: counts of the day so far, int64[C].
        day_s: its start, None before the first bucket.
        scale, scale_before: magnitudes of the present window and the one before, int64[numeric · cells].
        named: feature → change of unit that explains its standing drift.
        tails, rows: per slice, values beyond the reference's quantiles and requests, of the last bucket
            that was read for them, int64[slices, cells] and int64[slices].
        tail_slices: the slices, int64[slices].
    """

    fingerprint: str = ""
    hourly: DriftState = field(default_factory=DriftState.fresh)
    daily: DriftState = field(default_factory=DriftState.fresh)
    pending: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    day_s: int | None = None
    scale: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    scale_before: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    named: Mapping[str, ScaleShift] = field(default_factory=dict)
    tails: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    rows: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    tail_slices: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def wants_tails(self) -> bool:
        """Something stands whose source is to be found."""
        return bool(self.hourly.open.any())


@dataclass(frozen=True)
class Distributions:
    """Configuration.

    Attributes:
        schema: of the features.
        layout: of their cells.
        features: counts of the reference, int64[layout.size]; None takes the schema's own.
        scale: its magnitudes, or None to take them from the schema's quantiles.
        decisions: requests, decided and positive ones of the reference; zeros where it has none.
        bucket_s: length of a bucket of traffic.
        false_alarms_per_s: of the model, all streams together.
    """

    schema: FeatureSchema
    layout: FeatureLayout
    features: Counts | None
    scale: Counts | None
    decisions: tuple[int, int, int]
    bucket_s: int
    false_alarms_per_s: float

    @cached_property
    def cells(self) -> Cells:
        """Blocks of features and score, then that of the decision."""
        counts = self.layout.reference(self.schema) if self.features is None else self.features
        decision = Block(DECISION, BlockKind.BOOLEAN, self.layout.size, _ANSWERS)
        return Cells((*self.layout.blocks, decision), np.concatenate([counts, _answers(*self.decisions)]))

    @cached_property
    def fingerprint(self) -> str:
        """Changes with anything that evidence was measured against."""
        return f"{self.layout.fingerprint}:{crc32(self.cells.reference.tobytes()):x}"

    @cached_property
    def hourly(self) -> Drift:
        """Drift within a day."""
        return Drift(self.bucket_s)

    @cached_property
    def daily(self) -> Drift:
        """Drift from day to day."""
        return Drift(DAY_S, past_buckets=5, warm_pairs=0)

    @cached_property
    def thresholds(self) -> tuple[float, float]:
        """Log thresholds within a day and from day to day: all blocks alike, and the label as one more."""
        weights = share_out("drift", [1.0] * (2 * len(self.cells.blocks) + 1))[:1]
        return (
            float(log_threshold(self.false_alarms_per_s, self.bucket_s, weights)[0]),
            float(log_threshold(self.false_alarms_per_s, DAY_S, weights)[0]),
        )

    @cached_property
    def references(self) -> Mapping[str, Distribution]:
        """Numeric feature → what is known of its distribution."""
        found = {}
        for place, name in enumerate(self.layout.numeric):
            known = self.schema.features[name].reference
            if self.scale is not None:
                part = self.scale[place * SCALE_CELLS : (place + 1) * SCALE_CELLS]
                distribution = Distribution.of_cells(part)
            elif known is not None and known.quantiles is not None:
                distribution = Distribution(known.quantiles, QUANTILE_LEVELS, known.rows)
            else:
                distribution = None
            if distribution is not None:
                found[name] = distribution
        return found


@dataclass(frozen=True)
class Seen:
    """Histograms of one closed bucket.

    Attributes:
        start_s: of the bucket.
        features: int64[layout.size], empty where there was no traffic.
        scale: int64[numeric · SCALE_CELLS], empty where it is not kept.
        whole: scalars of all traffic.
        tails: int64[slices, numeric · 2], None where they were not read.
        requests: of the slices, int64[slices].
    """

    start_s: int
    features: Counts
    scale: Counts
    whole: Counts
    tails: Counts | None = None
    requests: Counts = field(default_factory=lambda: np.zeros(0, np.int64))


def align(config: Distributions, state: DistributionsState) -> DistributionsState:
    """The state, or a fresh one where the layout or the reference is another."""
    if state.fingerprint == config.fingerprint:
        return state
    return DistributionsState(
        fingerprint=config.fingerprint,
        hourly=drift.align(DriftState.fresh(), config.cells),
        daily=drift.align(DriftState.fresh(), config.cells),
        pending=np.zeros(config.cells.reference.size, np.int64),
        scale=np.zeros(SCALE_CELLS * len(config.layout.numeric), np.int64),
        scale_before=np.zeros(SCALE_CELLS * len(config.layout.numeric), np.int64),
    )


def step(
    config: Distributions, state: DistributionsState, seen: Seen, slices: Sequence[int],
    names: Mapping[int, SliceName],
) -> tuple[DistributionsState, list[Finding]]:  # fmt: skip
    """Take one closed bucket.

    Args:
        config: of the model.
        state: before, aligned.
        seen: the bucket.
        slices: ids of the rows of `seen.tails`.
        names: slice id → name.

    Returns:
        The state, and what holds within the day and, when a day has ended, from day to day.
    """
    features = seen.features if seen.features.size else np.zeros(config.layout.size, np.int64)
    whole = (int(seen.whole[cell]) for cell in (Scalar.REQUESTS, Scalar.DECIDED, Scalar.POSITIVE))
    answers = _answers(*whole) if features.any() else np.zeros(_ANSWERS, np.int64)
    counts = np.concatenate([_fitted(features, config.layout.size), answers])
    findings: list[Finding] = []
    day_s = seen.start_s - seen.start_s % DAY_S
    if state.day_s is not None and day_s != state.day_s:
        state, findings = _close_day(config, state)
    hourly = drift.step(config.hourly, state.hourly, config.cells, counts, seen.start_s * 1000)
    state = replace(state, hourly=hourly, pending=state.pending + counts, day_s=day_s)
    state = _magnitudes(config, state, seen)
    if seen.tails is not None:
        state = replace(state, tails=seen.tails, rows=seen.requests, tail_slices=np.array(slices, np.int64))
    bar = config.thresholds[0]
    bars = np.full(len(config.cells.blocks), bar)
    hourly, found = drift.judge(config.hourly, state.hourly, config.cells, bars)
    at_ms = (seen.start_s + config.bucket_s) * 1000
    state = _named(config, replace(state, hourly=hourly), found)
    for one in found:
        findings += _told(config, state, one, bar, at_ms, names)
    ended = {config.cells.blocks[one.place].name for one in found if not one.holds}
    kept = {name: shift for name, shift in state.named.items() if name not in ended}
    return replace(state, named=kept), findings


def _named(config: Distributions, state: DistributionsState, found: Sequence[Drifted]) -> DistributionsState:
    """Look for a change of unit that explains each standing drift."""
    named = dict(state.named)
    for one in found:
        name = config.cells.blocks[one.place].name
        if one.holds and name in config.references:
            shift = _explained(config, state, config.layout.numeric.index(name))
            if shift is not None:
                named[name] = shift
    return replace(state, named=named)


def _close_day(config: Distributions, state: DistributionsState) -> tuple[DistributionsState, list[Finding]]:
    assert state.day_s is not None
    daily = drift.step(config.daily, state.daily, config.cells, state.pending, state.day_s * 1000)
    bar = config.thresholds[1]
    bars = np.full(len(config.cells.blocks), bar)
    phi = state.hourly.scatter.design_effect
    daily, found = drift.judge(config.daily, daily, config.cells, bars, phi)
    at_ms = (state.day_s + DAY_S) * 1000
    findings = [
        drift_finding(config.cells.blocks[one.place], one, bar, at_ms)
        for one in found
        if not state.hourly.open[one.place]  # the same alert is told within the day already
    ]
    return replace(state, daily=daily, pending=np.zeros_like(state.pending)), findings


def _magnitudes(config: Distributions, state: DistributionsState, seen: Seen) -> DistributionsState:
    if not seen.scale.size:
        return state
    scale = state.scale + _fitted(seen.scale, state.scale.size)
    rows = int(scale.sum()) // max(len(config.layout.numeric), 1)
    if rows < _SCALE_ROWS:
        return replace(state, scale=scale)
    return replace(state, scale=np.zeros_like(scale), scale_before=scale)


def _told(
    config: Distributions, state: DistributionsState, one: Drifted, bar: float, at_ms: int,
    names: Mapping[int, SliceName],
) -> list[Finding]:  # fmt: skip
    """A drift, or the change of unit that explains it. What ends, ends under both names."""
    block = config.cells.blocks[one.place]
    numeric = block.name in config.layout.numeric
    source = source_of(state, config.layout.numeric.index(block.name), names) if numeric else ""
    shift = state.named.get(block.name)
    told = [] if shift is None else [scale_finding(block, one, shift, bar, at_ms, source)]
    if shift is None or not one.holds:
        told.append(drift_finding(block, one, bar, at_ms, source))
    return told


def _explained(config: Distributions, state: DistributionsState, place: int) -> ScaleShift | None:
    reference = config.references.get(config.layout.numeric[place])
    if reference is None:
        return None
    part = slice(place * SCALE_CELLS, (place + 1) * SCALE_CELLS)
    for live in (state.scale[part], state.scale[part] + state.scale_before[part]):
        shift = explain(reference, live)
        if shift is not None:
            return shift
    return None


@dataclass(frozen=True)
class LabelDrift:
    """Drift of the label within a day: its share of positives in mature buckets.

    Attributes:
        reference: labelled rows of the reference, and positive ones; zeros where it has none.
        bucket_s: length of a bucket of labels.
        log_threshold: per bucket.
    """

    reference: tuple[int, int]
    bucket_s: int
    log_threshold: float

    @cached_property
    def cells(self) -> Cells:
        """One block."""
        return Cells((Block(LABEL, BlockKind.BOOLEAN, 0, _ANSWERS),), _labels(*self.reference))

    def step(self, state: DriftState, whole: Counts, start_s: int) -> tuple[DriftState, list[Finding]]:
        """Take one mature bucket, by its scalars of all traffic."""
        config, cells = Drift(self.bucket_s), self.cells
        counts = _labels(int(whole[Scalar.LABELLED]), int(whole[Scalar.LABEL_POSITIVE]))
        state = drift.step(config, drift.align(state, cells), cells, counts, start_s * 1000)
        state, found = drift.judge(config, state, cells, np.array([self.log_threshold]))
        at_ms = (start_s + self.bucket_s) * 1000
        return state, [drift_finding(cells.blocks[0], one, self.log_threshold, at_ms) for one in found]


def source_of(state: DistributionsState, place: int, names: Mapping[int, SliceName]) -> str:
    """The slice whose values lie beyond the reference's quantiles, in words; "" where none stands out.

    It holds most of such values, and they are at least thrice as frequent in it as in the rest.

    Args:
        state: with the tails of a bucket.
        place: of the feature among numeric ones.
        names: slice id → name.
    """
    if not state.tails.size or state.tails.shape[1] < TAIL_CELLS * (place + 1):
        return ""
    sides = state.tails[:, [TAIL_CELLS * place + LOW, TAIL_CELLS * place + HIGH]]
    whole, requests = sides[0], int(state.rows[0])
    side = int(whole.argmax())
    total = int(whole[side])
    if total < max(_BEYOND_MIN, 0.03 * requests):  # 1 % lie there anyway
        return ""
    best, most = "", 3.0
    for row in range(1, len(sides)):
        rows, beyond = int(state.rows[row]), int(sides[row, side])
        rest_rows, rest = requests - rows, total - beyond
        slice_id = int(state.tail_slices[row])
        if min(rows, rest_rows) < 30 or beyond < 0.6 * total or slice_id not in names:
            continue
        ratio = (beyond / rows) / ((rest + 0.5) / rest_rows)
        if ratio > most:
            best, most = f"{names[slice_id].text} ({percent(beyond / max(total, 1))} of them)", ratio
    return best


def _answers(requests: int, decided: int, positive: int) -> Counts:
    return np.array([requests - decided, 0, decided - positive, positive], np.int64)


def _labels(labelled: int, positive: int) -> Counts:
    return np.array([0, 0, labelled - positive, positive], np.int64)


def _fitted(counts: Counts, size: int) -> Counts:
    """An array as long as it should be: the store's are as long as the last cell touched."""
    fitted = np.zeros(size, np.int64)
    fitted[: min(size, counts.size)] = counts[:size]
    return fitted
