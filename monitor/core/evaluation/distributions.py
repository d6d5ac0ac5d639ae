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
from monitor.core.detectors import drift, drift_week
from monitor.core.detectors.drift import Cells, Drift, Drifted, DriftState
from monitor.core.detectors.drift_week import HOUR_S, WeekDrift, WeekState
from monitor.core.detectors.drift_words import drift_finding, scale_finding, subject_of
from monitor.core.detectors.finding import Finding, SliceName, percent
from monitor.core.drift.layout import FIRST, SCALE_CELLS, Block, BlockKind, FeatureLayout
from monitor.core.drift.magnitudes import Magnitudes
from monitor.core.drift.scale import Distribution, ScaleShift
from monitor.core.evaluation.streams import DAY_S
from monitor.core.evaluation.unit_change import LastValues, unit_change
from monitor.core.evidence.levels import log_threshold, share_out
from monitor.core.feature_cells import HIGH, LOW, TAIL_CELLS
from monitor.core.masking import Masking
from monitor.core.records import AlertKind
from monitor.core.schema.feature import QUANTILE_LEVELS
from monitor.core.schema.model import FeatureSchema

DECISION: Final = "@decision"
LABEL: Final = "@label"
_ANSWERS: Final = FIRST + 2  # missing, (none), no, yes
_BEYOND_MIN: Final = 30
"""Values beyond a quantile before a slice is named as their source."""


@dataclass(frozen=True)
class DistributionsState:
    """What is remembered of distributions.

    Attributes:
        fingerprint: of the layout and the reference; another one starts anew.
        hourly: drift within a day.
        daily: drift from day to day.
        pending: counts of the day so far, int64[C].
        day_s: its start, None before the first bucket.
        weekly: drift against the same hour of earlier weeks.
        magnitudes: of the last values.
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
    weekly: WeekState = field(default_factory=WeekState.fresh)
    magnitudes: Magnitudes = field(default_factory=Magnitudes.fresh)
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
        sensitive_key: what values of sensitive features are hashed with.
    """

    schema: FeatureSchema
    layout: FeatureLayout
    features: Counts | None
    scale: Counts | None
    decisions: tuple[int, int, int]
    bucket_s: int
    false_alarms_per_s: float
    sensitive_key: bytes | None = field(default=None, repr=False)

    @cached_property
    def masking(self) -> Masking:
        """How values of sensitive features are told."""
        return Masking.of(self.schema.features, self.sensitive_key)

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
    def thresholds(self) -> tuple[float, float, float]:
        """Log thresholds within a day, from day to day and by hour of the week.

        All blocks weigh alike, and the label as one more.
        """
        weights = share_out("drift", [1.0] * (3 * len(self.cells.blocks) + 1))[:1]
        within, days, hours = (
            float(log_threshold(self.false_alarms_per_s, look_s, weights)[0])
            for look_s in (self.bucket_s, DAY_S, HOUR_S)
        )
        return within, days, hours

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
        weekly=drift_week.align(WeekState.fresh(), config.cells),
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
    state, same_hour = _same_hour(config, state, counts, seen.start_s)
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
    findings = [one for one in (*findings, *same_hour) if one.holds or not _stands(config, state, one)]
    ended = {config.cells.blocks[one.place].name for one in found if not one.holds}
    kept = {name: shift for name, shift in state.named.items() if name not in ended}
    return replace(state, named=kept), findings


def _same_hour(
    config: Distributions, state: DistributionsState, counts: Counts, start_s: int
) -> tuple[DistributionsState, list[Finding]]:
    """Hold the bucket against the same hour of earlier weeks; but tell nothing twice."""
    if HOUR_S % config.bucket_s:
        return state, []
    weekly = drift_week.step(WeekDrift(), state.weekly, config.cells, counts, start_s * 1000)
    bar, at_ms = config.thresholds[2], (start_s + config.bucket_s) * 1000
    bars, phi = np.full(len(config.cells.blocks), bar), state.hourly.scatter.design_effect
    weekly, found = drift_week.judge(WeekDrift(), weekly, config.cells, bars, phi, at_ms)
    told = [
        drift_finding(config.cells.blocks[one.place], one, bar, at_ms, masking=config.masking)
        for one in found
        if not state.hourly.open[one.place]
    ]
    return replace(state, weekly=weekly), told


def _stands(config: Distributions, state: DistributionsState, finding: Finding) -> bool:
    """The drift that a finding says is over stands by another comparison."""
    if finding.kind is not AlertKind.DRIFT:
        return False
    subjects = [subject_of(block) for block in config.cells.blocks]
    place = subjects.index(finding.subject)
    return bool(state.hourly.open[place] or state.daily.open[place] or state.weekly.open[place])


def _named(config: Distributions, state: DistributionsState, found: Sequence[Drifted]) -> DistributionsState:
    """Look for a change of unit that explains each standing drift."""
    named = dict(state.named)
    values = LastValues(config.references, config.layout.numeric, state.magnitudes)
    for one in found:
        name = config.cells.blocks[one.place].name
        if one.holds and name in config.references:
            shift = unit_change(values, name, one.since_ms, named.get(name))
            if shift is not None:
                before = int(one.live.sum()) - shift.rows if shift.since_ms > one.since_ms else 0
                named[name] = replace(shift, rows_before=max(before, 0))
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
        drift_finding(config.cells.blocks[one.place], one, bar, at_ms, masking=config.masking)
        for one in found
        if not state.hourly.open[one.place]  # the same alert is told within the day already
    ]
    return replace(state, daily=daily, pending=np.zeros_like(state.pending)), findings


def _magnitudes(config: Distributions, state: DistributionsState, seen: Seen) -> DistributionsState:
    numeric = len(config.layout.numeric)
    if not seen.scale.size or not numeric:
        return state
    counts = _fitted(seen.scale, numeric * SCALE_CELLS)
    return replace(state, magnitudes=state.magnitudes.take(counts, numeric, seen.start_s * 1000))


def _told(
    config: Distributions, state: DistributionsState, one: Drifted, bar: float, at_ms: int,
    names: Mapping[int, SliceName],
) -> list[Finding]:  # fmt: skip
    """A drift, or the change of unit that explains it. What ends, ends under both names."""
    block = config.cells.blocks[one.place]
    numeric = block.name in config.layout.numeric
    others = {i: name for i, name in names.items() if block.name not in name.features}
    source = source_of(state, config.layout.numeric.index(block.name), others) if numeric else ""
    shift = state.named.get(block.name)
    told = [] if shift is None else [scale_finding(block, one, shift, bar, at_ms, source)]
    if shift is None or not one.holds:
        told.append(drift_finding(block, one, bar, at_ms, source, config.masking))
    return told


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
        names: slice id → name, of slices that the feature itself does not decide: those hold what is large
            because it is large.
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
