"""What a step of the evaluator reads of the counters: the buckets that are due, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.core.counters import (
    ALL_SLICE,
    CALIBRATION,
    CLASS_PARTS,
    CLASSES,
    FEATURES,
    PROBE_SETS,
    PROBE_TRIALS,
    PROBE_TYPES,
    SCALARS,
    SCALE,
    SCORES,
    TAILS,
    VALUES,
    VIOLATIONS,
    CellKey,
    Counts,
    Kind,
    Tier,
)
from monitor.core.drift.layout import FAMILY
from monitor.core.evaluation import (
    Bucket,
    EvaluatorState,
    ModelEvaluation,
    Observed,
    Plan,
    Streams,
    ripe,
    ripe_days,
)
from monitor.core.evaluation.probes import ProbeBucket, slices_to_read
from monitor.core.event_time import PartitionView
from monitor.core.feature_cells import TAIL_CELLS
from monitor.core.own_health import OwnHealth
from monitor.core.probes.results import SETS_FAMILY
from monitor.core.tasks.moments import CELLS
from monitor.core.tasks.multiclass import CLASSES_MAX
from monitor.ports import EvaluatorStore

_WIDTHS: Final = {VALUES: CELLS, CLASSES: CLASSES_MAX * CLASS_PARTS}
"""Cells of arrays whose kind leaves that to the task."""

_NO_SCHEMA = -1


class CounterReads:
    """Reads for a step.

    Args:
        store: counters.
    """

    def __init__(self, store: EvaluatorStore) -> None:
        self._store = store

    def observed(
        self,
        config: ModelEvaluation,
        state: EvaluatorState,
        looked: Plan,
        streams: Streams,
        partitions: Sequence[PartitionView],
        now_ms: int,
        own: OwnHealth | None,
    ) -> Observed:
        """All that a step of a model judges by.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        names = self._store.registry(config.model, "features")
        sets = self._store.registry(config.model, SETS_FAMILY) if config.probes is not None else {}
        return Observed(
            plan=looked,
            streams=streams,
            features={feature_id: name for name, feature_id in names.items()},
            partitions=partitions,
            traffic=self._with_histograms(config, state, streams, self._traffic(config, looked, streams)),
            open=self.scalars(config, looked.open, (ALL_SLICE,), config.tier, violations=True),
            labels=self._labels(config, state, looked, streams),
            days=self._days(config, looked, streams),
            probes=self._probes(config, state, streams, now_ms),
            sets={i: name for name, i in sets.items()},
            own=own,
        )

    def scalars(
        self,
        config: ModelEvaluation,
        starts: Sequence[int],
        slice_ids: Sequence[int],
        tier: Tier,
        *,
        violations: bool = False,
    ) -> list[Bucket]:
        """The same slices of each bucket."""
        return self._buckets(
            config, dict.fromkeys(starts, slice_ids), len(slice_ids), tier, violations=violations
        )

    def _buckets(
        self,
        config: ModelEvaluation,
        wanted: Mapping[int, Sequence[int]],
        rows: int,
        tier: Tier,
        *,
        places: Mapping[int, int] | None = None,
        violations: bool = False,
    ) -> list[Bucket]:
        """Buckets of the slices asked for, in one read; the others are zero."""

        def key(kind: Kind, start_s: int, slice_id: int = ALL_SLICE) -> CellKey:
            return CellKey(kind, tier, start_s, config.model, slice_id)

        keys = [key(SCALARS, start_s, i) for start_s, ids in wanted.items() for i in ids]
        keys += [key(VIOLATIONS, start_s) for start_s in wanted] if violations else []
        found = iter(self._store.read(keys) if keys else ())
        buckets = []
        for start_s, ids in wanted.items():
            scalars = np.zeros((rows, SCALARS.size), np.int64)
            for place, slice_id in enumerate(ids):
                counts = next(found)
                if counts is not None:
                    scalars[place if places is None else places[slice_id]] = counts
            buckets.append(Bucket(start_s, scalars))
        if violations:
            buckets = [replace(bucket, violations=_filled(next(found))) for bucket in buckets]
        return buckets

    def _with_histograms(
        self, config: ModelEvaluation, state: EvaluatorState, streams: Streams, buckets: Sequence[Bucket]
    ) -> list[Bucket]:
        """The same buckets with histograms of features; with the tails of slices while something drifts."""
        layout = config.distributions.layout if config.distributions is not None else None
        if layout is None or not buckets:
            return list(buckets)
        schema_id = self._store.registry(config.model, FAMILY).get(layout.fingerprint, _NO_SCHEMA)
        slices = streams.slice_ids if state.distributions.wants_tails else ()
        keys = [
            CellKey(kind, config.tier, bucket.start_s, config.model, schema_id)
            for bucket in buckets
            for kind in (FEATURES, SCALE)
        ]
        keys += [
            CellKey(TAILS, config.tier, bucket.start_s, config.model, i) for bucket in buckets for i in slices
        ]
        found = iter(self._store.read(keys))
        buckets = [
            replace(bucket, features=_filled(next(found)), scale=_filled(next(found))) for bucket in buckets
        ]
        if not slices:
            return buckets
        width = TAIL_CELLS * len(layout.numeric)
        filled = []
        for bucket in buckets:
            tails = np.zeros((len(slices), width), np.int64)
            for row in range(len(slices)):
                counts = next(found)
                if counts is not None:
                    tails[row, : len(counts)] = counts[:width]
            filled.append(replace(bucket, tails=tails))
        return filled

    def _labels(
        self, config: ModelEvaluation, state: EvaluatorState, looked: Plan, streams: Streams
    ) -> list[Bucket]:
        tier = config.label_tier
        whole = [bucket.scalars[0] for bucket in self.scalars(config, looked.labels, (ALL_SLICE,), tier)]
        wanted = ripe(config, state, looked, whole, streams)
        places = {slice_id: row for row, slice_id in enumerate(streams.slice_ids)}
        # All traffic is read again together with its slices, so that a slice is not ahead of the whole.
        asked = {start_s: (*(i for i in ids if i != ALL_SLICE), ALL_SLICE) for start_s, ids in wanted.items()}
        buckets = self._buckets(config, asked, len(places), tier, places=places)
        for kind in self._kinds(config):
            if kind.kept_s(tier) > config.label_wait_s:
                buckets = self._with_arrays(config, tier, buckets, asked, kind, places)
        return buckets

    def _traffic(self, config: ModelEvaluation, looked: Plan, streams: Streams) -> list[Bucket]:
        """Closed buckets of traffic; answers of the slices whose means are compared."""
        ids, tier = streams.slice_ids, config.tier
        buckets = self.scalars(config, looked.traffic, ids, tier, violations=True)
        slices = {s.slice_id for s in streams.decisions} | {s.slice_id for s in streams.values}
        if config.answers is None or not slices:
            return buckets
        asked = dict.fromkeys(looked.traffic, (*sorted(slices), ALL_SLICE))
        places = {slice_id: row for row, slice_id in enumerate(ids)}
        return self._with_arrays(config, tier, buckets, asked, config.answers, places)

    @staticmethod
    def _kinds(config: ModelEvaluation) -> list[Kind]:
        """Arrays of slices that labels are judged by, beside the scalars."""
        return [SCORES, CALIBRATION, *([config.answers] if config.answers else [])]

    def _probes(
        self, config: ModelEvaluation, state: EvaluatorState, streams: Streams, now_ms: int
    ) -> list[ProbeBucket]:
        """Closed buckets of probes; of slices only where there is something to compare."""
        probed = config.probe_evaluation
        starts = () if probed is None else probed.closed(state.probes, now_ms)
        if probed is None or not starts:
            return []

        def key(kind: Kind, start_s: int, slice_id: int = ALL_SLICE) -> CellKey:
            return CellKey(kind, probed.tier, start_s, config.model, slice_id)

        kinds = (PROBE_TRIALS, PROBE_TYPES, PROBE_SETS)
        found = iter(self._store.read([key(kind, start_s) for start_s in starts for kind in kinds]))
        whole = {start_s: (next(found), next(found), next(found)) for start_s in starts}
        slices = {s: slices_to_read(list(streams.names), trials) for s, (trials, _, _) in whole.items()}
        keys = [key(PROBE_TRIALS, start_s, i) for start_s, ids in slices.items() for i in ids]
        more = iter(self._store.read(keys) if keys else ())
        return [
            ProbeBucket(
                start_s,
                {ALL_SLICE: _filled(trials)} | {i: _filled(next(more)) for i in slices[start_s]},
                _filled(types),
                _filled(sets),
            )
            for start_s, (trials, types, sets) in whole.items()
        ]

    def _days(self, config: ModelEvaluation, looked: Plan, streams: Streams) -> list[Bucket]:
        tier = config.day_tier
        if tier is None or not looked.days:
            return []
        whole = [bucket.scalars[0] for bucket in self.scalars(config, looked.days, (ALL_SLICE,), tier)]
        asked = dict.fromkeys(ripe_days(config, looked, whole), streams.slice_ids)
        places = {slice_id: row for row, slice_id in enumerate(streams.slice_ids)}
        buckets = self._buckets(config, asked, len(places), tier, places=places)
        for kind in self._kinds(config):
            buckets = self._with_arrays(config, tier, buckets, asked, kind, places)
        return buckets

    def _with_arrays(
        self,
        config: ModelEvaluation,
        tier: Tier,
        buckets: Sequence[Bucket],
        asked: Mapping[int, Sequence[int]],
        kind: Kind,
        places: Mapping[int, int],
    ) -> list[Bucket]:
        """The same buckets with the arrays of a kind, of the slices asked for."""
        keys = [CellKey(kind, tier, start_s, config.model, i) for start_s, ids in asked.items() for i in ids]
        found = iter(self._store.read(keys) if keys else ())
        filled = []
        for bucket in buckets:
            arrays = np.zeros((len(places), _WIDTHS.get(kind, kind.size)), np.int64)
            for slice_id in asked[bucket.start_s]:
                counts = next(found)
                if counts is not None:
                    arrays[places[slice_id], : len(counts)] = counts
            filled.append(bucket.holding(kind, arrays))
        return filled


def _filled(counts: Counts | None) -> Counts:
    return np.zeros(0, np.int64) if counts is None else counts
