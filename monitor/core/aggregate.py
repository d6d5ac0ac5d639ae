"""Rows to increments: sums per (kind, tier, bucket, slice, cell), and nothing but sums.

Scalars are summed once at the finest tier and folded upwards; rows so late that they miss a fine tier take
a path of their own, tier by tier.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.contributions import Cells, Wide
from monitor.core.counters import (
    ALL_SLICE,
    JOIN,
    RANKING,
    RANKING_BINS,
    RANKING_POSITIVE,
    RANKING_RETRACTED,
    RANKING_ROW,
    SCALARS,
    CellKey,
    Increment,
    Kind,
    Rows,
    Tier,
    ranking_rows_max,
    score_bin,
)
from monitor.core.join import EffectColumns, Joined
from monitor.core.slices.assign import OUTSIDE
from monitor.core.tasks.answers import Answers, Task

Ints = NDArray[np.int64]

_DENSE_MAX: Final = 1 << 22
"""Cells that are summed in an array of all of them; past it they are sorted."""

_TTL_SLACK_S: Final = 120
"""A key outlives its retention by this much, so that a reader at the edge finds whole buckets."""


@dataclass(frozen=True)
class Target:
    """Where contributions go.

    `create` is False for what a label adds: the bucket of its prediction may have expired and must not
    come back half empty.
    """

    model: str
    tiers: tuple[Tier, ...]
    create: bool
    retracted: bool = False


def fold_wide(wide: Wide, target: Target) -> list[Increment]:
    """Scalar increments of all tiers."""
    if len(wide.times_ms) == 0:
        return []
    in_all = np.ones(len(wide.times_ms), np.bool_)
    masks = {}
    for tier in target.tiers:
        masks[tier] = kept(wide.times_ms, wide.watermarks_ms, tier, SCALARS)
        in_all &= masks[tier]
    result: list[Increment] = []
    groups: _Groups | None = None
    finest_first = sorted(target.tiers, key=lambda tier: tier.bucket_s)
    nested = all(
        coarse.bucket_s % fine.bucket_s == 0
        for fine, coarse in zip(finest_first[:-1], finest_first[1:], strict=True)
    )
    for tier in finest_first:
        if groups is None or not nested:
            groups = _group(_take(wide, in_all), tier.bucket_s)
        else:
            groups = _coarsen(groups, tier.bucket_s)
        merged = groups
        late = masks[tier] & ~in_all
        if late.any():
            merged = _combine(groups, _group(_take(wide, late), tier.bucket_s))
        result.extend(_increments(merged, tier, target))
    return result


def fold_cells(cells: Cells, kind: Kind, target: Target) -> list[Increment]:
    """Increments of a sparse kind in every tier that keeps it."""
    result: list[Increment] = []
    if len(cells.times_ms) == 0:
        return result
    width = int(cells.cells.max()) + 1
    places = cells.slices * width + cells.cells
    merged: _Sums | None = None
    for tier in sorted(target.tiers, key=lambda tier: tier.bucket_s):
        keep_s = kind.kept_s(tier)
        if not keep_s:
            continue
        inside = kept(cells.times_ms, cells.watermarks_ms, tier, kind)
        if not inside.any():
            continue
        whole = inside.all()
        if whole and merged is not None and tier.bucket_s % merged.bucket_s == 0:
            found = _summed(merged.buckets // tier.bucket_s * tier.bucket_s, merged.places, merged.amounts)
        else:
            buckets = cells.times_ms // (tier.bucket_s * 1000) * tier.bucket_s
            part = slice(None) if whole else inside
            found = _summed(buckets[part], places[part], cells.amounts[part])
        if whole:
            merged = _Sums(tier.bucket_s, *found)
        result += _arrays(*found, width, _Tiered(kind, tier, keep_s, target), cells.watermarks_ms)
    return result


@dataclass(frozen=True)
class _Sums:
    bucket_s: int
    buckets: Ints
    places: Ints
    amounts: Ints


@dataclass(frozen=True)
class _Tiered:
    """A kind in one of the tiers that keep it, and where its increments go."""

    kind: Kind
    tier: Tier
    keep_s: int
    target: Target


def _summed(buckets: Ints, places: Ints, amounts: Ints) -> tuple[Ints, Ints, Ints]:
    """Sums per (bucket, place), in that order: buckets, places and amounts, int64[k] each."""
    starts, bucket = np.unique(buckets, return_inverse=True)
    span = int(places.max()) + 1
    codes = bucket * span + places
    if len(starts) * span <= _DENSE_MAX:
        # float64 adds these integers exactly: a chunk's sum stays far below 2**53.
        sums = np.bincount(codes, amounts)
        found = np.flatnonzero(sums)
        sums = sums[found]
    else:
        found, index = np.unique(codes, return_inverse=True)
        sums = np.bincount(index, amounts)
    return starts[found // span], found % span, sums.astype(np.int64)


def _arrays(
    buckets: Ints, places: Ints, amounts: Ints, width: int, where: _Tiered, watermarks_ms: Ints
) -> list[Increment]:
    """Increments of each (bucket, slice), from sums in their order."""
    slices = places // width
    cells = places - slices * width
    firsts = np.flatnonzero((np.diff(buckets, prepend=-1) != 0) | (np.diff(slices, prepend=-1) != 0))
    lives = ttls(buckets[firsts], where.tier, where.keep_s, watermarks_ms)
    starts = firsts.tolist()
    target = where.target
    return [
        Increment(
            CellKey(where.kind, where.tier, bucket, target.model, slice_id, target.retracted),
            cells[start:end],
            amounts[start:end],
            target.create,
            ttl_s,
        )
        for start, end, bucket, slice_id, ttl_s in zip(
            starts,
            [*starts[1:], len(buckets)],
            buckets[firsts].tolist(),
            slices[firsts].tolist(),
            lives,
            strict=True,
        )
    ]


def fold_ranking(
    wide: Wide, scores: NDArray[np.float64], labels: NDArray[np.float64], target: Target
) -> list[Rows]:
    """Labelled scores row by row, for slices that are still small."""
    rated = np.flatnonzero(~np.isnan(scores))
    if len(rated) == 0:
        return []
    flags = (labels[rated] > 0.5) * RANKING_POSITIVE + target.retracted * RANKING_RETRACTED
    rows = np.zeros(len(scores), RANKING_ROW)
    rows[rated] = score_bin(scores[rated], RANKING_BINS) << 2 | flags
    at, columns = np.nonzero(wide.members[rated] != OUTSIDE)
    source = rated[at]
    slices = wide.members[source, columns]
    result: list[Rows] = []
    for tier in target.tiers:
        if not RANKING.kept_s(tier):
            continue
        inside = kept(wide.times_ms[source], wide.watermarks_ms[source], tier, RANKING)
        buckets = wide.times_ms[source] // (tier.bucket_s * 1000) * tier.bucket_s
        order = np.flatnonzero(inside)
        order = order[np.lexsort((slices[order], buckets[order]))]
        if len(order) == 0:
            continue
        changed = (np.diff(buckets[order]) != 0) | (np.diff(slices[order]) != 0)
        starts = [0, *(np.flatnonzero(changed) + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            first = order[start]
            key = CellKey(RANKING, tier, int(buckets[first]), target.model, int(slices[first]))
            data = rows[source[order[start:end]]].tobytes()
            result.append(Rows(key, data, ranking_rows_max(tier)))
    return result


def fold_joins(joined: Joined, watermark_ms: int, target: Target) -> list[Increment]:
    """Increments of the join's own counters."""
    result: list[Increment] = []
    for create in (True, False):
        part = [count for count in joined.counts if count.create is create]
        many = [tally for tally in joined.tallies if tally.create is create]
        times_ms = np.concatenate(
            [np.array([count.time_ms for count in part], np.int64), *(tally.times_ms for tally in many)]
        )
        numbers = [np.full(len(tally.times_ms), tally.cell, np.int64) for tally in many]
        cells = Cells(
            times_ms,
            np.zeros(len(times_ms), np.int64),
            np.concatenate([np.array([count.cell for count in part], np.int64), *numbers]),
            np.ones(len(times_ms), np.int64),
            # Booking is judged by the chunk's own watermark: no metric depends on it.
            np.full(len(times_ms), watermark_ms if create else 0, np.int64),
        )
        result.extend(fold_cells(cells, JOIN, Target(target.model, target.tiers, create)))
    return result


def fold_effects(
    joined: Joined, watermarks_ms: Ints, model: str, tiers: tuple[Tier, ...], task: Task
) -> tuple[list[Increment], list[Rows]]:
    """What labels add: applied and taken back, to fresh buckets and to old ones.

    Args:
        joined: as the join decided.
        watermarks_ms: int64[rows of the batch], as in `Cells`; read for fresh effects only, since retention
            of a bucket that was filled before is the store's to judge: labels add to keys that exist.
        model: the model's name.
        tiers: all tiers.
        task: what the model predicts.
    """
    increments: list[Increment] = []
    rankings: list[Rows] = []
    for fresh in (True, False):
        for retracted in (False, True):
            odd = [e for e in joined.effects if e.fresh is fresh and e.retracted is retracted]
            parts = [EffectColumns.of(odd)] if odd else []
            if not fresh and not retracted:
                parts += joined.columns
            if parts:
                part = EffectColumns.joined(parts)
                target = Target(model, tiers, create=fresh, retracted=retracted)
                marks = watermarks_ms[part.rows] if fresh else np.zeros(len(part), np.int64)
                answers = Answers(part.numbers, part.decisions, _extras(part))
                everyone = np.full((len(part), 1), ALL_SLICE, np.int64)
                members = np.concatenate([everyone, part.slices], axis=1)
                wide = Wide(part.times_ms, marks, members, task.labelled(answers, part.values))
                increments.extend(fold_wide(wide, target))
                for kind, cells in task.labelled_cells(wide, answers, part.values):
                    increments.extend(fold_cells(cells, kind, target))
                if task.ranked:
                    rankings.extend(fold_ranking(wide, answers.numbers, part.values, target))
    return increments, rankings


def _extras(part: EffectColumns) -> list[bytes]:
    return [b""] * len(part) if part.extras is None else part.extras


@dataclass(frozen=True)
class _Groups:
    buckets: Ints  # [g], epoch seconds
    slices: Ints  # [g]
    sums: Ints  # [g, len(Scalar)]
    watermark_ms: int


def _take(wide: Wide, mask: NDArray[np.bool_]) -> Wide:
    if mask.all():
        return wide
    return Wide(wide.times_ms[mask], wide.watermarks_ms[mask], wide.members[mask], wide.values[mask])


def _group(wide: Wide, bucket_s: int) -> _Groups:
    buckets = wide.times_ms // (bucket_s * 1000) * bucket_s
    rows, columns = np.nonzero(wide.members != OUTSIDE)
    slices = wide.members[rows, columns]
    watermark_ms = int(wide.watermarks_ms.max(initial=0))
    return _sum_by(buckets[rows], slices, wide.values, rows, watermark_ms)


def _sum_by(buckets: Ints, slices: Ints, values: Ints, rows: Ints, watermark_ms: int) -> _Groups:
    if len(rows) == 0:
        return _Groups(buckets, slices, np.zeros((0, values.shape[1]), np.int64), watermark_ms)
    distinct, bucket_index = np.unique(buckets, return_inverse=True)
    width = int(slices.max()) + 1
    codes, group = np.unique(bucket_index * width + slices, return_inverse=True)
    sums = np.empty((len(codes), values.shape[1]), np.int64)
    for column in range(values.shape[1]):
        amounts = values[:, column]
        # float64 adds these integers exactly: a chunk's sum stays far below 2**53.
        sums[:, column] = np.bincount(group, amounts[rows], len(codes)) if amounts.any() else 0
    return _Groups(distinct[codes // width], codes % width, sums, watermark_ms)


def _coarsen(groups: _Groups, bucket_s: int) -> _Groups:
    return _sum_by(
        groups.buckets // bucket_s * bucket_s,
        groups.slices,
        groups.sums,
        np.arange(len(groups.buckets)),
        groups.watermark_ms,
    )


def _combine(one: _Groups, two: _Groups) -> _Groups:
    sums = np.concatenate([one.sums, two.sums])
    return _sum_by(
        np.concatenate([one.buckets, two.buckets]),
        np.concatenate([one.slices, two.slices]),
        sums,
        np.arange(len(sums)),
        max(one.watermark_ms, two.watermark_ms),
    )


def _increments(groups: _Groups, tier: Tier, target: Target) -> Iterable[Increment]:
    lives = ttls(groups.buckets, tier, SCALARS.kept_s(tier), np.array([groups.watermark_ms]))
    for bucket, slice_id, sums, ttl_s in zip(
        groups.buckets.tolist(), groups.slices.tolist(), groups.sums, lives, strict=True
    ):
        cells = np.flatnonzero(sums)
        key = CellKey(SCALARS, tier, bucket, target.model, slice_id, target.retracted)
        yield Increment(key, cells, sums[cells], target.create, ttl_s)


def kept(times_ms: Ints, watermarks_ms: Ints, tier: Tier, kind: Kind) -> NDArray[np.bool_]:
    """Rows whose bucket is still kept where their partition has got to, bool[n]."""
    ends_ms = (times_ms // (tier.bucket_s * 1000) + 1) * (tier.bucket_s * 1000)
    inside: NDArray[np.bool_] = ends_ms + kind.kept_s(tier) * 1000 > watermarks_ms
    return inside


def ttls(buckets: Ints, tier: Tier, keep_s: int, watermarks_ms: Ints) -> list[int]:
    """Seconds to live: what is left of the retention, in event time, plus some slack."""
    now_s = int(watermarks_ms.max(initial=0)) // 1000
    left = buckets + tier.bucket_s + keep_s - now_s
    lives: list[int] = np.clip(left + _TTL_SLACK_S, 60, keep_s + tier.bucket_s + _TTL_SLACK_S).tolist()
    return lives
