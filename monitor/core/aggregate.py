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
from scipy.sparse import csc_array

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
    parts = 1 if cells.amounts.ndim == 1 else cells.amounts.shape[1]
    first = cells.cells if parts == 1 else cells.cells // parts
    width = int(first.max()) + 1
    places = cells.slices * width + first
    amounts = cells.amounts.reshape(len(places), parts)
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
            found = _summed(buckets[part], places[part], amounts[part])
        if whole:
            merged = _Sums(tier.bucket_s, *found)
        where = _Tiered(kind, tier, keep_s, target)
        result += _arrays(*_cell_by_cell(*found), width * parts, where, cells.watermarks_ms)
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
    """Sums per (bucket, place), in that order.

    Args:
        buckets: int64[k].
        places: int64[k].
        amounts: int64[k, c].

    Returns:
        Buckets and places, int64[g], and amounts, int64[g, c], where any is positive.
    """
    starts, bucket = distinct(buckets)
    span = int(places.max()) + 1
    codes = places if len(starts) == 1 else bucket * span + places
    size = len(starts) * span
    if size > _DENSE_MAX:
        codes, index = np.unique(codes, return_inverse=True)
        sums = _sums(index, len(codes), amounts)
        return starts[codes // span], codes % span, sums
    sums = _sums(codes, size, amounts)
    found = np.flatnonzero(sums.any(axis=1))
    return starts[found // span], found % span, sums[found]


def _sums(codes: Ints, size: int, amounts: Ints) -> Ints:
    """Sums of amounts, int64[k, c], by code, int64[size, c]."""
    if amounts.shape[1] == 1 and (amounts == 1).all():
        return np.bincount(codes, minlength=size)[:, None]
    # float64 adds these integers exactly: a chunk's sum stays far below 2**53.
    columns = [np.bincount(codes, amounts[:, at], size) for at in range(amounts.shape[1])]
    return np.stack(columns, axis=1).astype(np.int64)


def _cell_by_cell(buckets: Ints, places: Ints, amounts: Ints) -> tuple[Ints, Ints, Ints]:
    """Sums of several cells each, int64[g, c], as those of single ones that are positive, int64[j]."""
    parts = amounts.shape[1]
    if parts == 1:
        return buckets, places, amounts[:, 0]
    flat = amounts.ravel()
    found = np.flatnonzero(flat)
    group = found // parts
    return buckets[group], places[group] * parts + found % parts, flat[found]


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
    rated = ~np.isnan(scores)
    if not rated.any():
        return []
    flags = (labels > 0.5) * RANKING_POSITIVE + target.retracted * RANKING_RETRACTED
    rows = (score_bin(np.where(rated, scores, 0.5), RANKING_BINS) << 2 | flags).astype(RANKING_ROW)
    source, slices = wide.entries
    if not rated.all():
        source, slices = source[rated[source]], slices[rated[source]]
    result: list[Rows] = []
    for tier in target.tiers:
        if not RANKING.kept_s(tier):
            continue
        inside = kept(wide.times_ms, wide.watermarks_ms, tier, RANKING)
        at, of = (source, slices) if inside.all() else (source[inside[source]], slices[inside[source]])
        if len(at) == 0:
            continue
        starts, bucket = distinct(wide.times_ms // (tier.bucket_s * 1000) * tier.bucket_s)
        span = int(of.max()) + 1
        codes = bucket[at] * span + of
        # Small numbers are sorted by their digits.
        order = np.argsort(codes.astype(np.uint16) if len(starts) * span < 1 << 16 else codes, kind="stable")
        data, codes = rows[at[order]], codes[order]
        firsts = np.flatnonzero(np.diff(codes, prepend=-1))
        for code, begin, end in zip(
            codes[firsts].tolist(), firsts.tolist(), [*firsts[1:].tolist(), len(codes)], strict=True
        ):
            key = CellKey(RANKING, tier, int(starts[code // span]), target.model, code % span)
            result.append(Rows(key, data[begin:end].tobytes(), ranking_rows_max(tier)))
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
    rows, slices = wide.entries
    watermark_ms = int(wide.watermarks_ms.max(initial=0))
    buckets = wide.times_ms // (bucket_s * 1000) * bucket_s
    return _sum_by(buckets, slices, wide.values, rows, watermark_ms)


def _sum_by(buckets: Ints, slices: Ints, values: Ints, rows: Ints, watermark_ms: int) -> _Groups:
    """Sums per (bucket, slice).

    Args:
        buckets: int64[n].
        slices: int64[k], of each entry.
        values: int64[n, c].
        rows: int64[k], of each entry, not decreasing.
        watermark_ms: handed on.
    """
    if len(rows) == 0:
        return _Groups(rows, slices, np.zeros((0, values.shape[1]), np.int64), watermark_ms)
    starts, bucket = distinct(buckets)
    width = int(slices.max()) + 1
    codes = slices if len(starts) == 1 else bucket[rows] * width + slices
    if len(starts) * width > _DENSE_MAX // values.shape[1]:
        found, codes = np.unique(codes, return_inverse=True)
        size = len(found)
    else:
        size = len(starts) * width
        found = np.flatnonzero(np.bincount(codes, minlength=size))
    # Each column of the matrix is a row of values, with a one for every group it is part of.
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(values)))])
    matrix = csc_array((np.ones(len(codes), np.int64), codes, ends), shape=(size, len(values)))
    sums = matrix @ values
    if size > len(found):
        sums = sums[found]
    return _Groups(starts[found // width], found % width, sums, watermark_ms)


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


def distinct(buckets: Ints) -> tuple[Ints, Ints]:
    """Distinct buckets, increasing, and the place of each entry's among them."""
    first, last = buckets.min(), buckets.max()
    if first == last:
        return np.array([first]), np.zeros(len(buckets), np.int64)
    middle = buckets == last
    if (middle | (buckets == first)).all():  # a chunk in order crosses one boundary at most
        return np.array([first, last]), middle.astype(np.int64)
    return np.unique(buckets, return_inverse=True)


def kept(times_ms: Ints, watermarks_ms: Ints, tier: Tier, kind: Kind) -> NDArray[np.bool_]:
    """Rows whose bucket is still kept where their partition has got to, bool[n]."""
    bucket_ms, keep_ms = tier.bucket_s * 1000, kind.kept_s(tier) * 1000
    if len(times_ms) and (times_ms.min() // bucket_ms + 1) * bucket_ms + keep_ms > watermarks_ms.max():
        return np.ones(len(times_ms), np.bool_)
    inside: NDArray[np.bool_] = (times_ms // bucket_ms + 1) * bucket_ms + keep_ms > watermarks_ms
    return inside


def ttls(buckets: Ints, tier: Tier, keep_s: int, watermarks_ms: Ints) -> list[int]:
    """Seconds to live: what is left of the retention, in event time, plus some slack."""
    now_s = int(watermarks_ms.max(initial=0)) // 1000
    left = buckets + tier.bucket_s + keep_s - now_s
    lives: list[int] = np.clip(left + _TTL_SLACK_S, 60, keep_s + tier.bucket_s + _TTL_SLACK_S).tolist()
    return lives
