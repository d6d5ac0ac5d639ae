"""What the evaluator knows of a model, and the detectors that follow from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from monitor.core.alerts import AlertPolicy
from monitor.core.counters import (
    ALL_SLICE,
    CLASS_PARTS,
    CLASSES,
    DEFAULT_TIERS,
    SCORES,
    VALUES,
    Counts,
    Kind,
    Scalar,
    Tier,
)
from monitor.core.detectors.blind import Blind
from monitor.core.detectors.calibration import Calibration
from monitor.core.detectors.degradation import Degradation
from monitor.core.detectors.gibberish import Gibberish
from monitor.core.detectors.ignored_slice import IgnoredSlice
from monitor.core.detectors.mean_gap import MeanGap
from monitor.core.detectors.missing_traffic import MissingTraffic
from monitor.core.detectors.slice_gap import SliceGap
from monitor.core.detectors.stalled_partition import StalledPartition
from monitor.core.detectors.violation_rate import ViolationRate
from monitor.core.drift.layout import FeatureLayout
from monitor.core.evaluation.distributions import Distributions, LabelDrift
from monitor.core.evaluation.probes import ProbeEvaluation
from monitor.core.evaluation.reference import ReferenceCounts
from monitor.core.evaluation.silence import Silence
from monitor.core.evaluation.streams import DAY_S
from monitor.core.evaluation.watchlist import Watchlist
from monitor.core.evidence.levels import log_threshold, share_out
from monitor.core.schema import FeatureSchema
from monitor.core.schema.text_judge import boundaries
from monitor.core.tasks import Binary, Regression, Task
from monitor.core.tasks.multiclass import CLASSES_MAX

HOURLY_EFFECT: Final = 2.0
"""Odds ratio of failing, against a reference of all hours, that no hour of an ordinary day explains. Smaller
declines are told by whole days, in which every hour has its part."""

COVERAGE_EFFECT: Final = 2.0
"""Odds ratio of "the label never came" that matters, at least."""


@dataclass(frozen=True)
class ModelEvaluation:
    """What the evaluator knows of a model.

    Attributes:
        model: its name.
        prediction_topics: whose watermarks close buckets.
        label_topics: whose watermarks ripen them; empty where no labels come.
        tiers: finest first.
        tolerated: feature → tolerated violation rate; the record itself under `record`.
        features: number of features in the schema.
        schema: the feature schema itself, for proposals of how it would accept what broke it.
        named_slices: name of a named slice → features its conditions read.
        protected: features whose groups must be served alike.
        reference: counts of the labelled reference; empty to learn from live traffic.
        false_alarms_per_s: allowed over all streams, per second of event time.
        min_effect: smallest odds ratio between a slice and the rest that matters, above 1.
        label_wait_s: how long a prediction waits for its label.
        ready_at: coverage at which a cohort is judged before its wait.
        grace_s: how long a bucket waits for stragglers.
        policy: lifecycle of alerts.
        silences: times at which amount, mix and distribution of traffic say nothing.
        probes: share of decisions that may change with a protected feature alone; None: it is not probed.
        watch_partitions: this model's evaluator reports what ails the monitor itself (one model's should).
        sensitive_key: what values of sensitive features are hashed with; None tells nothing of them.
        task: what the model predicts.
        legitimate: features that may justify a difference; protected ones are counted crossed with them.
    """

    model: str
    prediction_topics: frozenset[str]
    label_topics: frozenset[str] = frozenset()
    tiers: tuple[Tier, ...] = DEFAULT_TIERS
    tolerated: Mapping[str, float] = field(default_factory=dict)
    features: int = 0
    schema: FeatureSchema | None = None
    named_slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protected: frozenset[str] = frozenset()
    reference: ReferenceCounts = field(default_factory=ReferenceCounts)
    false_alarms_per_s: float = 12 / (365.25 * 86_400)
    min_effect: float = 1.25
    label_wait_s: float = 86_400.0
    ready_at: float = 0.95
    grace_s: float = 1.0
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    silences: tuple[Silence, ...] = ()
    probes: float | None = None
    watch_partitions: bool = False
    sensitive_key: bytes | None = field(default=None, repr=False)
    task: Task = field(default_factory=Binary)
    legitimate: tuple[str, ...] = ()

    def silent(self, start_ms: int, end_ms: int) -> bool:
        """Whether traffic of [start_ms, end_ms) is not to be judged, epoch ms."""
        return any(silence.touches(start_ms, end_ms) for silence in self.silences)

    @property
    def tier(self) -> Tier:
        """In which traffic is judged."""
        return self.tiers[0]

    @cached_property
    def label_tier(self) -> Tier:
        """In which labels are judged: the finest that outlives wait and grace with a bucket to spare."""
        needed_s = self.label_wait_s + self.grace_s
        return next((t for t in self.tiers if t.keep_s > needed_s + 2 * t.bucket_s), self.tiers[-1])

    def watchlist(self, numbers: Mapping[str, int]) -> Watchlist:
        """What is tested of it; `numbers` are those of classes, by name."""
        return Watchlist.of(self.task, numbers)

    @property
    def answers(self) -> Kind | None:
        """The array, kept per slice, in which answers of its task are counted beside the scalars."""
        return {"regression": VALUES, "multiclass": CLASSES}.get(self.task.name)

    @property
    def unit(self) -> float:
        """Of a regression, what its sums count in."""
        return self.task.unit if isinstance(self.task, Regression) else 1.0

    @cached_property
    def violation_rate(self) -> ViolationRate:
        """Detector."""
        return ViolationRate(self.tolerated, self.features, self.false_alarms_per_s, self.tier.bucket_s)

    @cached_property
    def gibberish(self) -> Gibberish:
        """Detector of doubtful texts."""
        tolerated = {} if self.schema is None else boundaries(self.schema.features)
        return Gibberish(tolerated, self.features, self.false_alarms_per_s, self.tier.bucket_s)

    @cached_property
    def missing_traffic(self) -> MissingTraffic:
        """Detector."""
        return MissingTraffic(self.false_alarms_per_s, self.tier.bucket_s)

    @cached_property
    def slice_gap(self) -> SliceGap:
        """Detector of error, false negative, false positive and positive rate."""
        return SliceGap(self.min_effect)

    @cached_property
    def mean_gap(self) -> MeanGap:
        """Detector of mean values, scores and errors."""
        return MeanGap(self.min_effect)

    @cached_property
    def coverage_gap(self) -> SliceGap:
        """Detector of label coverage."""
        return SliceGap(max(self.min_effect, COVERAGE_EFFECT))

    @cached_property
    def day_tier(self) -> Tier | None:
        """Whole days, where labels are judged in shorter buckets."""
        days = [tier for tier in self.tiers if tier.bucket_s == DAY_S]
        return days[0] if days and self.label_tier.bucket_s < DAY_S else None

    @cached_property
    def curve_tier(self) -> Tier:
        """In which labelled scores are judged: the label tier, if it keeps them as long as labels take."""
        kept = SCORES.kept_s(self.label_tier) > self.label_wait_s
        return self.label_tier if kept or self.day_tier is None else self.day_tier

    @cached_property
    def calibration(self) -> Calibration:
        """Detector of scores that changed their meaning."""
        return Calibration(self.min_effect)

    @cached_property
    def degradation(self) -> Degradation:
        """Detector of metrics that decline within a day: beyond what the hour of the day does to them."""
        least = self.min_effect if self.label_tier.bucket_s >= DAY_S else max(self.min_effect, HOURLY_EFFECT)
        return Degradation(least)

    @cached_property
    def daily_degradation(self) -> Degradation:
        """Detector of metrics that decline from day to day."""
        return Degradation(self.min_effect)

    @cached_property
    def ignored_slice(self) -> IgnoredSlice:
        """Detector."""
        return IgnoredSlice(self.tier.bucket_s)

    @cached_property
    def distributions(self) -> Distributions | None:
        """Detectors of drift and changes of unit; None without a schema."""
        if self.schema is None:
            return None
        whole = self.reference.scalars.get(ALL_SLICE)
        cells = (Scalar.REQUESTS, Scalar.DECIDED, Scalar.POSITIVE)
        decisions = (0, 0, 0) if whole is None else tuple(int(whole[cell]) for cell in cells)
        return Distributions(
            self.schema,
            FeatureLayout.of(self.schema),
            self.reference.features,
            self.reference.scale,
            (decisions[0], decisions[1], decisions[2]),
            self.tier.bucket_s,
            self.false_alarms_per_s,
            self.sensitive_key,
        )

    @cached_property
    def label_drift(self) -> LabelDrift:
        """Detector of another share of positive labels."""
        whole = self.reference.scalars.get(ALL_SLICE)
        known = (0, 0) if whole is None else (int(whole[Scalar.LABELLED]), int(whole[Scalar.LABEL_POSITIVE]))
        blocks = 1 if self.distributions is None else 2 * len(self.distributions.cells.blocks) + 1
        weight = share_out("drift", [1.0] * blocks)[:1]
        bar = float(log_threshold(self.false_alarms_per_s, self.label_tier.bucket_s, weight)[0])
        return LabelDrift(known, self.label_tier.bucket_s, bar)

    @cached_property
    def probe_evaluation(self) -> ProbeEvaluation | None:
        """Detectors of what probes find; None where the model is not probed."""
        if self.probes is None:
            return None
        return ProbeEvaluation(self.probes, self.protected, self.features, self.tier, self.false_alarms_per_s)

    @cached_property
    def stalled_partition(self) -> StalledPartition:
        """Detector."""
        return StalledPartition()

    @cached_property
    def blind(self) -> Blind:
        """Detector of the monitor's own blindness."""
        return Blind()

    @cached_property
    def reference_table(self) -> tuple[Mapping[int, int], Counts] | None:
        """Slice id → row, and the rows."""
        scalars = self.reference.scalars
        if not scalars:
            return None
        ids = sorted(scalars)
        return {slice_id: row for row, slice_id in enumerate(ids)}, np.stack([scalars[i] for i in ids])

    @cached_property
    def reference_classes(self) -> Counts | None:
        """Of several classes, `classes` arrays in the rows of `reference_table`; None without them."""
        held = self.reference.classes
        if not held:
            return None
        rows = np.zeros((len(self.reference.scalars), CLASSES_MAX * CLASS_PARTS), np.int64)
        for row, slice_id in enumerate(sorted(self.reference.scalars)):
            counts = held.get(slice_id, np.zeros(0, np.int64))
            rows[row, : len(counts)] = counts
        return rows

    @cached_property
    def fingerprint(self) -> str:
        """Changes with anything that evidence about slices was measured against."""
        told = hashlib.sha256(repr((self.min_effect, sorted(self.protected), self.label_tier)).encode())
        for slice_id, counts in sorted(self.reference.scalars.items()):
            told.update(slice_id.to_bytes(8, "big") + counts.tobytes())
        for answers in (self.reference.values, self.reference.classes):
            for slice_id, counts in sorted(answers.items()):
                told.update(slice_id.to_bytes(8, "big") + counts.tobytes())
        return told.hexdigest()[:16]
