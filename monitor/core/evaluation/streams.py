"""Which slices are tested on what, and how high each one's evidence must climb."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import ALL_SLICE
from monitor.core.detectors.degradation_measures import DegradationStream
from monitor.core.detectors.finding import NAMED, SliceName
from monitor.core.detectors.gap_tables import OF_CLASSES, GapMetric, GapStream
from monitor.core.detectors.mean_tables import MeanMetric, MeanStream
from monitor.core.evaluation.watchlist import Watchlist
from monitor.core.evidence.edetector import Floats
from monitor.core.evidence.levels import log_threshold, share_out
from monitor.core.slices.spec import CATCH_ALL

DAY_S: Final = 86_400
VERSION: Final = "model_version"


@dataclass(frozen=True)
class Streams:
    """All that is tested of the slices of a model, with log thresholds.

    Attributes:
        names: slice id → name; all traffic is not among them.
        labels: error, false negative and false positive rate of each slice.
        coverage: label coverage of each slice.
        errors: mean absolute error and bias of each slice.
        decisions: positive rate of protected slices.
        values: mean value or mean score of protected slices.
        degradation: metrics of all traffic and of each slice.
        shares: ids of slices whose share of traffic is watched, int64[S].
    """

    names: Mapping[int, SliceName]
    labels: tuple[GapStream, ...]
    coverage: tuple[GapStream, ...]
    errors: tuple[MeanStream, ...]
    decisions: tuple[GapStream, ...]
    values: tuple[MeanStream, ...]
    degradation: tuple[DegradationStream, ...]
    shares: NDArray[np.int64]
    labels_threshold: Floats
    errors_threshold: Floats
    coverage_threshold: Floats
    decisions_threshold: Floats
    values_threshold: Floats
    degradation_threshold: Floats
    daily_threshold: Floats
    calibration_threshold: Floats
    shares_threshold: Floats

    @property
    def everything(self) -> dict[int, SliceName]:
        """Slice id → name, all traffic first."""
        return {ALL_SLICE: SliceName(ALL_SLICE, "{}"), **self.names}

    @property
    def slice_ids(self) -> tuple[int, ...]:
        """All traffic first, then every slice."""
        return (ALL_SLICE, *self.names)


def streams_of(
    names: Sequence[SliceName],
    protected: frozenset[str],
    false_alarms_per_s: float,
    bucket_s: float,
    label_bucket_s: float,
    curve_bucket_s: float | None = None,
    watchlist: Watchlist | None = None,
) -> Streams:
    """Lay out the tests.

    A single feature weighs 1, a crossing and a model version a half. A feature of two values is one
    comparison, so its values weigh a half each; their two harmful sides are its two sides. Positive rate and
    mean value have no harmful side of their own: lower is tested for every protected slice, higher where
    that is not the lower side of another one. A bias harms to either side. Of what declines of metrics are
    allowed, half is for all traffic.

    Args:
        names: slices of the registry.
        protected: features whose groups must be served alike.
        false_alarms_per_s: of the model, all streams together.
        bucket_s: bucket in which traffic is judged.
        label_bucket_s: bucket in which labels are judged.
        curve_bucket_s: bucket in which labelled scores are; the same where left out.
        watchlist: what is tested of the model's task; a binary model's where left out.
    """
    told = Watchlist() if watchlist is None else watchlist
    curve_bucket_s = label_bucket_s if curve_bucket_s is None else curve_bucket_s
    named = {name.id: name for name in names if name.parts}
    kinds = Counter(
        frozenset(name.parts) for name in named.values() if not CATCH_ALL & set(name.parts.values())
    )
    pairs = {keys for keys, count in kinds.items() if count == 2 and len(keys) == 1 and NAMED not in keys}
    weight = {slice_id: _weight(name, pairs) for slice_id, name in named.items()}
    labels = tuple(
        stream
        for slice_id in named
        for metric in told.labels
        for stream in _of_classes(GapStream(slice_id, metric, False, weight[slice_id]), told)
    )
    errors = tuple(
        MeanStream(slice_id, metric, low, weight[slice_id])
        for slice_id in named
        for metric in told.errors
        for low in ((False, True) if metric is MeanMetric.BIAS else (False,))
    )
    coverage = tuple(GapStream(slice_id, GapMetric.COVERAGE, True, weight[slice_id]) for slice_id in named)
    sides = [
        (slice_id, low)
        for slice_id, name in named.items()
        if name.features <= protected
        for low in ((True,) if frozenset(name.parts) in pairs else (True, False))
    ]
    decisions = tuple(
        stream
        for slice_id, low in sides
        for metric in told.decisions
        for stream in _of_classes(GapStream(slice_id, metric, low, weight[slice_id]), told)
    )
    values = tuple(
        MeanStream(slice_id, metric, low, weight[slice_id])
        for slice_id, low in sides
        for metric in told.values
    )
    everywhere = {ALL_SLICE: sum(weight.values(), start=1.0)} | weight
    degradation = tuple(
        DegradationStream(slice_id, metric, w, told.classes)
        for slice_id, w in everywhere.items()
        for metric in told.metrics
    )
    shares = [
        slice_id
        for slice_id, name in named.items()
        if VERSION not in name.parts and not CATCH_ALL & set(name.parts.values())
    ]

    def threshold(family: str, weights: Sequence[float], length_s: float) -> Floats:
        return log_threshold(false_alarms_per_s, length_s, share_out(family, weights))

    weights = [s.weight for s in labels] + [s.weight for s in errors]
    judged = threshold("gaps_of_labels", weights, label_bucket_s)
    weights = [s.weight for s in decisions] + [s.weight for s in values]
    seen = threshold("gaps_of_decisions", weights, bucket_s)
    return Streams(
        names=named,
        labels=labels,
        errors=errors,
        coverage=coverage,
        decisions=decisions,
        values=values,
        degradation=degradation,
        shares=np.array(shares, np.int64),
        labels_threshold=judged[: len(labels)],
        errors_threshold=judged[len(labels) :],
        coverage_threshold=threshold("share_of_labels", [s.weight for s in coverage], label_bucket_s),
        decisions_threshold=seen[: len(decisions)],
        values_threshold=seen[len(decisions) :],
        degradation_threshold=threshold("degradation", [s.weight for s in degradation], label_bucket_s),
        calibration_threshold=threshold("calibration", list(everywhere.values()), curve_bucket_s),
        daily_threshold=threshold("daily_degradation", [s.weight for s in degradation], DAY_S),
        shares_threshold=threshold("share_of_traffic", [weight[i] for i in shares], bucket_s),
    )


def _of_classes(stream: GapStream, told: Watchlist) -> list[GapStream]:
    """The stream itself, or one for each class, which share its weight."""
    if stream.metric not in OF_CLASSES:
        return [stream]
    weight = stream.weight / max(len(told.numbers), 1)
    return [
        replace(stream, weight=weight, class_number=number, class_name=name)
        for name, number in told.numbers.items()
    ]


def _weight(name: SliceName, pairs: set[frozenset[str]]) -> float:
    if VERSION in name.parts or len(name.parts) > 1:
        return 0.5
    return 0.5 if frozenset(name.parts) in pairs else 1.0
