"""One model's rows of one chunk, from columns to what a flush changes: the pure half of the worker.

`prepare` does what does not depend on the store; `count_*` takes what was read of one shard and may be
called again after a conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from monitor.core.aggregate import Target, fold_cells, fold_effects, fold_joins, fold_wide
from monitor.core.batch import LabelBatch, PredictionBatch
from monitor.core.contributions import Cells, Wide, violation_cells
from monitor.core.counters import ALL_SLICE, JUDGED, VIOLATIONS, Increment, Join, Rows
from monitor.core.feature_cells import FeatureCells, fold_features
from monitor.core.join import EffectColumns, JoinCount, Joined, JoinTally, join_labels, join_predictions
from monitor.core.plan import ModelPlan
from monitor.core.schema.violations import SOFT, Code
from monitor.core.stubs import Packed, pack_predictions
from monitor.core.tasks.answers import Task

Ints = NDArray[np.int64]

EVIDENCE_PER_CHUNK: Final = 3
"""Samples kept of each kind of failure from one chunk; the store keeps the newest few of all."""


@dataclass(frozen=True)
class Violations:
    """Violations of a batch: row, feature id (0 is the record itself) and code, int64[k] each."""

    rows: Ints
    features: Ints
    codes: Ints
    names: tuple[str, ...]  # by entry: the feature's name
    received: tuple[str, ...]  # by entry: what came, for samples; empty text where it was not made


@dataclass(frozen=True)
class Prepared:
    """Predictions of one model with everything that does not depend on the store.

    `members` is int64[n, m]: slice ids, all traffic first. `watermarks_ms` is int64[n], the running
    maximum of event time. `cells` is where the
    values of features are counted, if they are; `judge` the id of the schema they were judged by, 0 for none.
    """

    batch: PredictionBatch
    members: Ints
    stubs: Packed
    violations: Violations
    watermarks_ms: Ints
    cells: FeatureCells | None
    judge: int = 0

    def since(self, watermark_ms: int) -> Prepared:
        """With the running maximum going on from that of the records before."""
        return replace(self, watermarks_ms=np.maximum(self.watermarks_ms, watermark_ms))


@dataclass(frozen=True)
class Counted:
    """What one model's rows change in one shard.

    `signals` is what early hints are drawn from: name → values in [0, 1], one a row.
    """

    joined: Joined
    increments: list[Increment]
    rankings: list[Rows]
    evidence: Mapping[str, Sequence[bytes]]
    signals: Mapping[str, NDArray[np.float64]]


def prepare(
    batch: PredictionBatch,
    members: Ints,
    violations: Violations,
    watermarks_ms: Ints,
    cells: FeatureCells | None = None,
    judge: int = 0,
) -> Prepared:
    """Stubs of a batch whose slices are known.

    Args:
        batch: the predictions.
        members: int64[n, d], slice ids per declaration, -1 for none.
        violations: of the features and of the records.
        watermarks_ms: int64[n], the partition's running maximum of event time at each row.
        cells: where the values of features are counted.
        judge: id of the schema the features were judged by; 0 for none.
    """
    answers = batch.answers
    stubs = pack_predictions(
        batch.times_ms, batch.own_time, answers.numbers, answers.decisions, members, answers.extras
    )
    everyone = np.full((len(batch), 1), ALL_SLICE, np.int64)
    return Prepared(
        batch, np.concatenate([everyone, members], 1), stubs, violations, watermarks_ms, cells, judge
    )


def count_predictions(
    plan: ModelPlan, prepared: Prepared, rows: Ints, seen: Mapping[bytes, bytes]
) -> Counted:
    """Join and count some rows of a batch.

    Args:
        plan: the model.
        prepared: the batch.
        rows: int64[r], the rows of one shard above its fence, in offset order.
        seen: stub key → stored stub, of these rows.
    """
    batch = prepared.batch
    joined = join_predictions(
        batch.keys if len(rows) == len(batch) else [batch.keys[i] for i in rows.tolist()],
        prepared.stubs.take(rows),
        seen,
        batch.tracked[rows].tolist(),
    )
    counted = rows[joined.counted]
    fresh = np.zeros(len(batch), np.bool_)
    fresh[counted] = True
    invalid = np.zeros(len(batch), np.bool_)
    invalid[prepared.violations.rows[~np.isin(prepared.violations.codes, sorted(SOFT))]] = True
    target = Target(plan.name, plan.tiers, create=True)
    task, answers = plan.reading.task, batch.answers.take(counted)
    wide = Wide(
        batch.times_ms[counted],
        prepared.watermarks_ms[counted],
        prepared.members[counted],
        task.predicted(answers, invalid[counted], batch.tracked[counted]),
    )
    increments = fold_wide(wide, target)
    for kind, of_kind in task.predicted_cells(wide, answers):
        increments += fold_cells(of_kind, kind, target)
    if prepared.judge:
        nothing = np.zeros(len(counted), np.int64)
        judged = Cells(wide.times_ms, nothing, nothing + prepared.judge, nothing + 1, wide.watermarks_ms)
        increments += fold_cells(judged, JUDGED, target)
    if prepared.cells is not None:
        increments += fold_features(
            prepared.cells, counted, batch.times_ms, prepared.watermarks_ms, prepared.members, target
        )
    entries = np.flatnonzero(fresh[prepared.violations.rows])
    if len(entries):
        everyone = Wide(batch.times_ms, prepared.watermarks_ms, prepared.members, np.zeros((0, 0), np.int64))
        v = prepared.violations
        cells = violation_cells(everyone, v.rows[entries], v.features[entries], v.codes[entries])
        increments += fold_cells(cells, VIOLATIONS, target)
    clamped = counted[batch.clamped[counted]]
    joined.counts += [
        JoinCount(Join.CLAMPED_TIMESTAMPS, time_ms, create=True)
        for time_ms in batch.times_ms[clamped].tolist()
    ]
    watermark_ms = int(prepared.watermarks_ms.max(initial=0))
    increments += fold_joins(joined, watermark_ms, target)
    labelled, rankings = fold_effects(joined, prepared.watermarks_ms[rows], plan.name, plan.tiers, task)
    scores = batch.scores[counted]
    signals = {
        "invalid_share": invalid[counted].astype(np.float64),
        "mean_score": scores[~np.isnan(scores)],
        "positive_share": task.shares(answers.decisions),
    }
    evidence = _violation_evidence(prepared, entries)
    return Counted(joined, increments + labelled, rankings, evidence, signals)


def count_labels(
    plan: ModelPlan,
    batch: LabelBatch,
    source: int,
    watermark_ms: int,
    judged_s: int,
    rows: Ints,
    seen: Mapping[bytes, bytes],
) -> Counted:
    """Join and count some labels.

    Args:
        plan: the model.
        batch: the labels.
        source: number of the topic and partition, part of the order of labels.
        watermark_ms: of the label partition, for the booking of parked labels.
        judged_s: event time before which the evaluator has taken its buckets: a label for them moves metrics
            and no evidence, which is counted.
        rows: int64[r], the rows of one shard above its fence, in offset order.
        seen: stub key → stored stub, of these rows.
    """
    joined = join_labels(
        [batch.keys[i] for i in rows.tolist()],
        batch.values[rows],
        batch.times_ms[rows],
        source,
        batch.offsets[rows],
        seen,
        batch.tracked[rows].tolist(),
    )
    one_by_one = EffectColumns.of([effect for effect in joined.effects if not effect.retracted])
    applied = EffectColumns.joined([one_by_one, *joined.columns])
    revised = applied.times_ms[applied.times_ms < judged_s * 1000]
    joined.tallies.append(JoinTally(Join.REVISED_AFTER_EVIDENCE, revised, create=False))
    task = plan.reading.task
    increments, rankings = fold_effects(joined, np.zeros(len(rows), np.int64), plan.name, plan.tiers, task)
    increments += fold_joins(joined, watermark_ms, Target(plan.name, plan.tiers, create=True))
    decided = applied.decisions >= 0
    wrong = applied.decisions[decided] != applied.values[decided]
    signals = {"label_share": task.shares(applied.values), "error_share": wrong.astype(np.float64)}
    evidence = _error_evidence(batch, rows, applied, task)
    return Counted(joined, increments, rankings, evidence, signals)


def _violation_evidence(prepared: Prepared, entries: Ints) -> dict[str, list[bytes]]:
    """A few samples per feature and code: `violations/FEATURE/CODE`."""
    found: dict[str, list[bytes]] = {}
    v, batch = prepared.violations, prepared.batch
    for entry in entries.tolist():
        if not v.received[entry]:
            continue
        row, code = int(v.rows[entry]), Code(int(v.codes[entry]))
        samples = found.setdefault(f"violations/{v.names[entry]}/{code.slug}", [])
        if len(samples) < EVIDENCE_PER_CHUNK:
            samples.append(
                _sample(batch.request_ids[row], int(batch.times_ms[row]), received=v.received[entry])
            )
    return found


def _error_evidence(
    batch: LabelBatch, rows: Ints, applied: EffectColumns, task: Task
) -> dict[str, list[bytes]]:
    """A few requests per slice that were answered wrongly: `errors/SLICE_ID`."""
    found: dict[str, list[bytes]] = {}
    wrong = np.flatnonzero((applied.decisions >= 0) & (applied.decisions != applied.values))
    members = np.concatenate([np.full((len(wrong), 1), ALL_SLICE), applied.slices[wrong]], axis=1)
    for slice_id in np.unique(members[members >= 0]).tolist():
        for at in wrong[(members == slice_id).any(axis=1)][:EVIDENCE_PER_CHUNK].tolist():
            found.setdefault(f"errors/{slice_id}", []).append(
                _sample(
                    batch.request_ids[rows[applied.rows[at]]],
                    int(applied.times_ms[at]),
                    decision=task.said(int(applied.decisions[at])),
                    label=task.said(float(applied.values[at])),
                )
            )
    return found


def _sample(request_id: str, ts_ms: int, **what: Any) -> bytes:
    packed: bytes = msgpack.packb({"request_id": request_id, "ts_ms": ts_ms, **what})
    return packed
