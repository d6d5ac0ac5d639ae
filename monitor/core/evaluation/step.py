"""One step of a model's evaluator: counts that are complete, to evidence, to transitions of alerts.

Traffic is judged in the finest tier, as soon as a bucket closes; violations within the open bucket too.
Labels are judged in the finest tier that outlives their wait, when a slice and the rest have `ready_at` of
their labels, or `wait` has passed. Every bucket is taken once, in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from monitor.core import alerts
from monitor.core.alerts import Moment, Step
from monitor.core.counters import ALL_SLICE, Counts, Kind, Scalar, SliceCounts, Tier
from monitor.core.detectors import (
    blind,
    calibration,
    degradation,
    ignored_slice,
    mean_gap,
    mean_tables,
    missing_traffic,
    slice_gap,
    stalled_partition,
    violation_rate,
)
from monitor.core.detectors.finding import Finding
from monitor.core.detectors.gap_tables import N1, N2, tables
from monitor.core.detectors.mean_gap import MeanState
from monitor.core.detectors.mean_tables import MeanStream
from monitor.core.detectors.violation_rate import ViolationState, Watch
from monitor.core.detectors.waiting import near
from monitor.core.evaluation import distributions as distribution
from monitor.core.evaluation import probes as probing
from monitor.core.evaluation.distributions import Seen
from monitor.core.evaluation.model import ModelEvaluation
from monitor.core.evaluation.plan import Plan, aged
from monitor.core.evaluation.probes import Names, ProbeBucket
from monitor.core.evaluation.state import EvaluatorState
from monitor.core.evaluation.streams import Streams
from monitor.core.event_time import PartitionView
from monitor.core.evidence.edetector import Floats
from monitor.core.own_health import OwnHealth
from monitor.core.records import AlertKind

_OF_REFERENCE: Final = (
    AlertKind.STANDING_GAP, AlertKind.GAP_CHANGE, AlertKind.IGNORED_SLICE, AlertKind.DEGRADATION
)  # fmt: skip


@dataclass(frozen=True)
class Bucket:
    """Counts of one bucket.

    Attributes:
        start_s: epoch seconds.
        scalars: int64[slices, len(Scalar)], rows as `Streams.slice_ids`; of an open bucket only the first.
        violations: int64[features × CODES], empty where there were none.
        features: histograms of features, int64[layout.size], empty where there are none.
        scale: magnitudes of numeric features, likewise.
        tails: per slice, values beyond the reference's quantiles; None where they were not read.
        scores: of labels, int64[slices, SCORES.size]; None where the tier does not keep them.
        calibration: of labels, int64[slices, CALIBRATION.size], likewise.
        values: of a regression, int64[slices, CELLS]; None where they were not read.
        classes: of several classes, int64[slices, classes * CLASS_PARTS], likewise.
    """

    start_s: int
    scalars: Counts
    violations: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    features: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    scale: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    tails: Counts | None = None
    scores: Counts | None = None
    calibration: Counts | None = None
    values: Counts | None = None
    classes: Counts | None = None

    def holding(self, kind: Kind, arrays: Counts) -> Bucket:
        """The same with the arrays of a kind that is kept per slice."""
        found: dict[str, Any] = {kind.name: arrays}
        return replace(self, **found)

    def slice_counts(self, row: int, unit: float = 1.0) -> SliceCounts:
        """All that is known of one slice; `unit` is what sums of values count in."""
        return SliceCounts(
            self.scalars[row],
            None if self.scores is None else self.scores[row],
            None if self.calibration is None else self.calibration[row],
            classes=None if self.classes is None else self.classes[row],
            values=None if self.values is None else self.values[row],
            unit=unit,
        )


@dataclass(frozen=True)
class Observed:
    """All that was read for one step.

    Attributes:
        plan: it was read for.
        streams: what is tested.
        features: feature id → name.
        partitions: every partition of the model's topics.
        traffic, open, labels, days: counts of the plan's buckets; of the latter two only those that are ripe.
        probes: closed buckets of probes.
        sets: set id → name.
        own: what the monitor knows about itself, None where it was not asked.
    """

    plan: Plan
    streams: Streams
    features: Mapping[int, str]
    partitions: Sequence[PartitionView]
    traffic: Sequence[Bucket] = ()
    open: Sequence[Bucket] = ()
    labels: Sequence[Bucket] = ()
    days: Sequence[Bucket] = ()
    probes: Sequence[ProbeBucket] = ()
    sets: Mapping[int, str] = field(default_factory=dict)
    own: OwnHealth | None = None


def evaluate(
    config: ModelEvaluation, state: EvaluatorState, seen: Observed, moment: Moment
) -> tuple[EvaluatorState, Step]:
    """Take what was read.

    Returns:
        The state after it, and what changed in alerts (`Step.book` is the state's).
    """
    run = _Run(config, state, seen, moment)
    run.align()
    for bucket in seen.traffic:
        run.traffic(bucket)
    run.open_buckets()
    for bucket in seen.labels:
        run.labels(bucket)
    for bucket in seen.days:
        run.day(bucket)
    for found in seen.probes:
        run.probes(found)
    if config.watch_partitions:
        run.partitions()
    return run.result()


def learning(config: ModelEvaluation, state: EvaluatorState) -> tuple[int, int] | None:
    """Rows learned and rows needed, while no slice can be judged; None once one can, or nothing is tested."""
    gaps, means = state.labels, state.errors
    tolerated = np.concatenate([gaps.tolerated, means.tolerated])
    if not tolerated.size or not np.isnan(tolerated).all():
        return None
    held = [
        *(gaps.reference[:, N1] + gaps.reference[:, N2]),
        *(means.reference[:, mean_tables.N1] + means.reference[:, mean_tables.N2]),
    ]
    return min(int(max(held)), config.slice_gap.learn_rows), config.slice_gap.learn_rows


class _Run:
    """One step in the making."""

    def __init__(
        self, config: ModelEvaluation, state: EvaluatorState, seen: Observed, moment: Moment
    ) -> None:
        self._config = config
        self._state = replace(state, clock=seen.plan.clock, next_s=seen.plan.next_s)
        self._seen = seen
        self._moment = moment
        self._step = Step(state.book, (), frozenset(), {})
        self._rows = {slice_id: row for row, slice_id in enumerate(seen.streams.slice_ids)}
        if state.next_s is not None and seen.plan.next_s is not None:
            lost = (seen.plan.next_s - state.next_s) // config.tier.bucket_s
            self._state = replace(self._state, skipped=state.skipped + max(0, lost))

    def align(self) -> None:
        """Take in slices that appeared, and a reference that changed."""
        config, streams, state = self._config, self._seen.streams, self._state
        if state.fingerprint != config.fingerprint:
            fresh = EvaluatorState()
            self._merge(alerts.retire(self._step.book, _OF_REFERENCE, self._moment))
            state = replace(
                state,
                fingerprint=config.fingerprint,
                labels=fresh.labels,
                coverage=fresh.coverage,
                errors=fresh.errors,
                decisions=fresh.decisions,
                values=fresh.values,
                shares=fresh.shares,
                declines=fresh.declines,
                daily=fresh.daily,
                label_drift=fresh.label_drift,
                calibration=fresh.calibration,
            )
        table, classes = config.reference_table, config.reference_classes
        gap = config.slice_gap
        if state.labels.streams != streams.labels:
            state = replace(state, labels=slice_gap.align(gap, state.labels, streams.labels, table, classes))
        if state.decisions.streams != streams.decisions:
            decisions = slice_gap.align(gap, state.decisions, streams.decisions, table, classes)
            state = replace(state, decisions=decisions)
        told, known = config.mean_gap, config.reference.slices
        if state.errors.streams != streams.errors:
            state = replace(state, errors=mean_gap.align(told, state.errors, streams.errors, known))
        if state.values.streams != streams.values:
            state = replace(state, values=mean_gap.align(told, state.values, streams.values, known))
        if state.coverage.streams != streams.coverage:
            coverage = slice_gap.align(config.coverage_gap, state.coverage, streams.coverage, None)
            state = replace(state, coverage=coverage)
        if not np.array_equal(state.calibration.slices, streams.slice_ids):
            ids = np.array(streams.slice_ids, np.int64)
            scores = config.reference.scores
            state = replace(
                state, calibration=calibration.align(config.calibration, state.calibration, ids, scores)
            )
        if state.declines.streams != streams.degradation:
            watched = streams.degradation
            declines = degradation.align(config.degradation, state.declines, watched, known)
            daily = degradation.align(config.daily_degradation, state.daily, watched, known)
            state = replace(state, declines=declines, daily=daily)
        if not np.array_equal(state.shares.ids, streams.shares):
            requests = {i: int(counts[Scalar.REQUESTS]) for i, counts in config.reference.scalars.items()}
            shares = ignored_slice.align(
                config.ignored_slice, state.shares, streams.shares, requests, requests.get(ALL_SLICE, 0)
            )
            state = replace(state, shares=shares)
        self._state = state
        self._standing_gaps()

    def traffic(self, bucket: Bucket) -> None:
        """Take a closed bucket of traffic."""
        config, streams, state = self._config, self._seen.streams, self._state
        start_ms = bucket.start_s * 1000
        at_ms = start_ms + config.tier.bucket_s * 1000
        requests = int(bucket.scalars[0, Scalar.REQUESTS])
        features = self._seen.features
        violations = violation_rate.step(
            config.violation_rate, state.violations, features, requests, bucket.violations, start_ms
        )
        violations, findings = violation_rate.judge(config.violation_rate, violations, features, at_ms)
        texts = violation_rate.step(
            config.gibberish, state.texts, features, requests, bucket.violations, start_ms
        )
        texts, found = violation_rate.judge(config.gibberish, texts, features, at_ms)
        findings += found
        traffic, shares = state.traffic, state.shares
        if not config.silent(start_ms, at_ms):
            traffic = missing_traffic.step(config.missing_traffic, traffic, requests, start_ms)
            traffic, found = missing_traffic.judge(config.missing_traffic, traffic, at_ms)
            findings += found
            rows = np.array([self._rows[int(i)] for i in streams.shares], np.int64)
            of_slices = bucket.scalars[rows, Scalar.REQUESTS]
            shares = ignored_slice.step(config.ignored_slice, shares, requests, of_slices, start_ms)
            shares, found = ignored_slice.judge(
                config.ignored_slice, shares, streams.names, streams.shares_threshold, at_ms
            )
            findings += found
        everyone = np.ones(len(streams.decisions), np.bool_)
        table = tables(streams.decisions, self._rows, bucket.scalars, bucket.classes)
        decisions = slice_gap.step(config.slice_gap, state.decisions, table, start_ms, everyone)
        ends_ms = np.full(everyone.size, float(at_ms))
        decisions, found = slice_gap.judge(
            config.slice_gap, decisions, streams.names, streams.decisions_threshold, ends_ms
        )
        findings += found
        values, found = self._means(bucket, state.values, streams.values, streams.values_threshold, at_ms)
        findings += found
        distributions = state.distributions
        if config.distributions is not None and not config.silent(start_ms, at_ms):
            told = config.distributions
            histograms = Seen(
                bucket.start_s, bucket.features, bucket.scale, bucket.scalars[0], bucket.tails,
                bucket.scalars[:, Scalar.REQUESTS],
            )  # fmt: skip
            distributions, found = distribution.step(
                told, distribution.align(told, distributions), histograms, streams.slice_ids, streams.names
            )
            findings += found
        self._state = replace(
            state,
            distributions=distributions,
            next_s=bucket.start_s + config.tier.bucket_s,
            violations=violations,
            texts=texts,
            traffic=traffic,
            decisions=decisions,
            values=values,
            shares=shares,
        )
        self._apply(findings, config.tier)

    def _means(
        self,
        bucket: Bucket,
        state: MeanState,
        streams: Sequence[MeanStream],
        threshold: Floats,
        at_ms: int,
        mature: Collection[int] | None = None,
    ) -> tuple[MeanState, list[Finding]]:
        """Take a closed bucket for gaps between means; of labels, for the slices for which it is mature."""
        if not streams:
            return state, []
        config, names = self._config.mean_gap, self._seen.streams.names
        slices = self._counts(bucket, {ALL_SLICE, *(stream.slice_id for stream in streams)})
        take = np.array([mature is None or stream.slice_id in mature for stream in streams], np.bool_)
        table = mean_tables.tables(streams, slices)
        state = mean_gap.step(config, state, table, bucket.start_s * 1000, take)
        return mean_gap.judge(config, state, names, threshold, at_ms)

    def _counts(self, bucket: Bucket, slices: Iterable[int]) -> dict[int, SliceCounts]:
        return {i: bucket.slice_counts(self._rows[i], self._config.unit) for i in slices}

    def open_buckets(self) -> None:
        """Look at violations and doubtful texts in the buckets that are still open."""
        config, state = self._config, self._state
        violations, findings = self._peek(config.violation_rate, state.violations)
        texts, found = self._peek(config.gibberish, state.texts)
        self._state = replace(state, violations=violations, texts=texts)
        if findings or found:
            self._apply([*findings, *found], config.tier)

    def _peek(self, watch: Watch, state: ViolationState) -> tuple[ViolationState, list[Finding]]:
        features, ahead = self._seen.features, state
        for bucket in self._seen.open:
            requests = int(bucket.scalars[0, Scalar.REQUESTS])
            ahead = violation_rate.step(
                watch, ahead, features, requests, bucket.violations, bucket.start_s * 1000
            )
        if not ahead.cells.size:
            return state, []
        return violation_rate.peek(watch, state, ahead, features, self._seen.plan.latest_ms)

    def labels(self, bucket: Bucket) -> None:
        """Take a ripe bucket of labels, for the slices for which it is mature."""
        config, streams, state = self._config, self._seen.streams, self._state
        tier = config.label_tier
        next_s = {i: state.label_cursor(i) for i in streams.slice_ids}
        due = {i for i, start_s in next_s.items() if start_s <= bucket.start_s}
        old = aged(config, self._seen.plan, bucket.start_s)
        # Of all traffic it is known already: that is what made the bucket ripe.
        mature = due if old else {i for i in due if i == ALL_SLICE or self._mature(bucket, i)}
        next_s |= dict.fromkeys(mature, bucket.start_s + tier.bucket_s)
        take = np.array([stream.slice_id in mature for stream in streams.labels], np.bool_)
        start_ms, at_ms = bucket.start_s * 1000, (bucket.start_s + tier.bucket_s) * 1000
        table = tables(streams.labels, self._rows, bucket.scalars, bucket.classes)
        labels = slice_gap.step(config.slice_gap, state.labels, table, start_ms, take)
        ends_ms = np.full(take.size, float(at_ms))
        labels, findings = slice_gap.judge(
            config.slice_gap, labels, streams.names, streams.labels_threshold, ends_ms
        )
        covered = np.array([stream.slice_id in mature for stream in streams.coverage], np.bool_)
        table = tables(streams.coverage, self._rows, bucket.scalars)
        nobody = np.zeros(covered.size, np.bool_)
        coverage = slice_gap.step(
            config.coverage_gap,
            state.coverage,
            table,
            start_ms,
            covered if old else nobody,
            settled=nobody if old else covered,
        )
        coverage, found = slice_gap.judge(
            config.coverage_gap, coverage, streams.names, streams.coverage_threshold, ends_ms[: covered.size]
        )
        findings += found
        errors, found = self._means(
            bucket, state.errors, streams.errors, streams.errors_threshold, at_ms, mature
        )
        findings += found
        slices = self._counts(bucket, mature)
        taken = np.array([stream.slice_id in mature for stream in streams.degradation], np.bool_)
        declines = degradation.step(config.degradation, state.declines, slices, start_ms, taken)
        declines, found = degradation.judge(
            config.degradation,
            declines,
            streams.everything,
            streams.degradation_threshold,
            at_ms,
            gap_near=near(labels.tracker, streams.labels_threshold)
            or near(errors.tracker, streams.errors_threshold),
        )
        findings += found
        label_drift = state.label_drift
        if ALL_SLICE in mature and not config.silent(start_ms, at_ms):
            label_drift, found = config.label_drift.step(label_drift, bucket.scalars[0], bucket.start_s)
            findings += found
        self._state = replace(
            state,
            labels=labels,
            errors=errors,
            coverage=coverage,
            declines=declines,
            label_drift=label_drift,
            labels_next_s=next_s,
        )
        self._apply(findings, tier)
        if config.curve_tier is tier:
            self._calibration(bucket, mature, tier)
        self._standing_gaps()

    def day(self, bucket: Bucket) -> None:
        """Take a whole day of labels, for the slices for which it is mature."""
        config, streams, state = self._config, self._seen.streams, self._state
        tier = config.day_tier
        assert tier is not None
        start_ms, at_ms = bucket.start_s * 1000, (bucket.start_s + tier.bucket_s) * 1000
        aged = at_ms + round(1000 * (config.label_wait_s + config.grace_s))
        old = aged <= self._seen.plan.reached_labels_ms
        mature = {i for i in streams.slice_ids if old or i == ALL_SLICE or self._mature(bucket, i)}
        slices = self._counts(bucket, mature)
        taken = np.array([stream.slice_id in mature for stream in streams.degradation], np.bool_)
        daily = degradation.step(config.daily_degradation, state.daily, slices, start_ms, taken)
        daily, findings = degradation.judge(
            config.daily_degradation, daily, streams.everything, streams.daily_threshold, at_ms
        )
        self._state = replace(state, daily=daily, days_next_s=bucket.start_s + tier.bucket_s)
        self._apply(findings, tier)
        if config.curve_tier is tier:
            self._calibration(bucket, mature, tier)

    def _calibration(self, bucket: Bucket, mature: Collection[int], tier: Tier) -> None:
        """Do scores still mean what they said? Only where the bucket has labelled scores."""
        config, streams, state = self._config, self._seen.streams, self._state
        if bucket.scores is None:
            return
        take = np.array([i in mature for i in streams.slice_ids], np.bool_)
        start_ms = bucket.start_s * 1000
        held = calibration.step(config.calibration, state.calibration, bucket.scores, start_ms, take)
        ends_ms = np.full(take.size, float(start_ms + tier.bucket_s * 1000))
        held, findings = calibration.judge(
            config.calibration, held, streams.everything, streams.calibration_threshold, ends_ms
        )
        self._state = replace(state, calibration=held)
        self._apply(findings, tier)

    def probes(self, bucket: ProbeBucket) -> None:
        """Take a closed bucket of probes."""
        config = self._config.probe_evaluation
        assert config is not None
        names = Names(self._seen.features, self._seen.sets, self._seen.streams.names)
        probed, findings = probing.step(config, self._state.probes, bucket, names)
        self._state = replace(self._state, probes=probed)
        if findings:
            self._apply(findings, config.tier)

    def partitions(self) -> None:
        """Look for partitions that stand still, and for whatever else keeps the monitor from seeing."""
        stalls, findings = stalled_partition.step(
            self._config.stalled_partition, self._state.stalls, self._seen.partitions, self._moment.now_ms
        )
        self._state = replace(self._state, stalls=stalls)
        if self._seen.own is not None:
            seen, found = blind.step(self._config.blind, self._state.blind, self._seen.own)
            self._state = replace(self._state, blind=seen)
            findings += found
        self._apply(findings, self._config.tier)

    def result(self) -> tuple[EvaluatorState, Step]:
        """Republish what is due and hand over."""
        window = self._seen.plan.labels
        if window:
            began_s = window[0] if self._state.labels_from_s is None else self._state.labels_from_s
            self._state = replace(self._state, labels_looked_ms=self._moment.now_ms, labels_from_s=began_s)
        self._apply([], self._config.tier)
        return replace(self._state, book=self._step.book), self._step

    def _standing_gaps(self) -> None:
        config, streams, state = self._config, self._seen.streams, self._state
        at_ms = self._seen.plan.reached_ms or self._moment.now_ms
        labels, findings = slice_gap.standing(config.slice_gap, state.labels, streams.names, at_ms)
        decisions, found = slice_gap.standing(config.slice_gap, state.decisions, streams.names, at_ms)
        findings += found
        errors, found = mean_gap.standing(config.mean_gap, state.errors, streams.names, at_ms)
        findings += found
        values, found = mean_gap.standing(config.mean_gap, state.values, streams.names, at_ms)
        findings += found
        self._state = replace(state, labels=labels, decisions=decisions, errors=errors, values=values)
        if findings:
            self._apply(findings, config.tier)

    def _mature(self, bucket: Bucket, slice_id: int) -> bool:
        whole, mine = bucket.scalars[0], bucket.scalars[self._rows[slice_id]]
        tracked, labelled = int(mine[Scalar.TRACKED]), int(mine[Scalar.LABELLED])
        rest = int(whole[Scalar.TRACKED]) - tracked
        rest_labelled = int(whole[Scalar.LABELLED]) - labelled
        ready = self._config.ready_at
        return labelled >= ready * tracked and rest_labelled >= ready * rest

    def _apply(self, findings: Sequence[Finding], tier: Tier) -> None:
        moment = replace(self._moment, bucket_ms=tier.bucket_s * 1000)
        self._merge(alerts.apply(self._config.policy, self._step.book, findings, moment))

    def _merge(self, step: Step) -> None:
        self._step = Step(
            step.book,
            (*self._step.transitions, *step.transitions),
            self._step.changed | step.changed,
            {**self._step.samples, **step.samples},
        )
