"""A flush as the one msgpack value `flush.lua` reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import (
    ALL_SLICE,
    RANKING,
    RANKING_ROW,
    SCALARS,
    SCORES,
    CellKey,
    Increment,
    Rows,
)
from monitor.core.probes.results import WORST_EACH, WORST_MAX
from monitor.core.stubs import KEY_BYTES, table_of
from monitor.edges.redis import keys
from monitor.ports import Flush, ProbeFlush, StubColumns, StubWrite

ABSENT: Final = -1

SEQUENCE_KEEP_MS: Final = 86_400_000
"""How long a prober's last sequence is remembered: longer than any outage it repeats a flush over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a shard's side lists.

    Attributes:
        outbox_max: entries of one outbox.
        evidence_max: samples of one list.
        evidence_keep_s: seconds a list outlives its newest sample.
    """

    outbox_max: int = 10_000
    evidence_max: int = 20
    evidence_keep_s: int = 7 * 86_400


@dataclass(frozen=True, slots=True)
class StubPlan:
    """Where stubs lie.

    Attributes:
        parts: hashes a generation is split in, at most 65,536.
        half_ms: per model, the length of a generation: half its label wait.
    """

    parts: int
    half_ms: Mapping[str, int] = field(default_factory=dict)

    def part(self, key: bytes) -> int:
        """Part of a generation that holds a stub key (a digest, so its first bytes are uniform)."""
        return (key[0] << 8 | key[1]) % self.parts

    def parted(self, stub_keys: Sequence[bytes]) -> tuple[NDArray[np.int64], list[int], bytes]:
        """Places of the keys by part; (part, how many) of each part there, flat; the keys in that order."""
        table = table_of(stub_keys, KEY_BYTES)
        parts = (table[:, 0].astype(np.uint16) << 8 | table[:, 1]) % self.parts
        order = np.argsort(parts, kind="stable")
        numbers, counts = np.unique(parts[order], return_counts=True)
        return order, np.stack([numbers, counts], axis=1).ravel().tolist(), table[order].tobytes()


def array(shard: int, key: CellKey) -> str:
    """Key of the plain array a cell key names."""
    prefix = keys.counters(shard, key.model, key.tier.name)
    return f"{prefix}{key.bucket_s}:{key.kind.name}:{key.slice_id}"


def pack(flush: Flush, plan: StubPlan, checks: Sequence[tuple[str, str, bytes]], limits: Limits) -> bytes:
    """Encode a flush.

    Args:
        flush: what to apply.
        plan: where stubs lie.
        checks: (registry key, name, value) that must still hold.
        limits: bounds of outbox and evidence.
    """
    creates, adds, retracts = _increments(flush.shard, flush.increments)
    slot = keys.shard_slot(flush.shard)
    letters: list[Any] = []
    if flush.dead_letters:
        letters = [keys.outbox(slot), keys.outbox_dropped(slot), limits.outbox_max, list(flush.dead_letters)]
    evidence = [
        [
            keys.evidence(flush.shard, name),
            limits.evidence_max,
            limits.evidence_keep_s * 1_000,
            samples[-limits.evidence_max :],
        ]
        for name, samples in flush.evidence.items()
        if samples
    ]
    return _encode(
        [
            str(flush.partition),
            flush.expected,
            flush.start,
            flush.next,
            flush.watermark_ms,
            checks,
            _stubs(flush.shard, flush.stubs, plan),
            creates,
            adds,
            retracts,
            _index(flush.shard, flush.increments),
            letters,
            evidence,
            _rankings(flush.shard, flush.rankings),
            _stub_columns(flush.shard, flush.columns, plan),
        ]
    )


def pack_probes(
    flush: ProbeFlush, shard: int, checks: Sequence[tuple[str, str, bytes]], limits: Limits
) -> bytes:
    """Encode what probes found, for `probes.lua`."""
    arrays = [
        [
            keys.counters(shard, flush.model, tier.name),
            f":{part.kind.name}:{part.slice_id}",
            tier.bucket_s,
            (part.kind.kept_s(tier) + tier.bucket_s) * 1_000,
            "u32" if part.kind.width_bits(tier) == 32 else "i64",
            part.cells.tolist(),
            part.amounts.tolist(),
        ]
        for part in flush.cells
        for tier in flush.tiers
        if part.kind.kept_s(tier) and len(part.cells)
    ]
    keep_ms = limits.evidence_keep_s * 1_000
    evidence = [
        [keys.evidence(shard, name), limits.evidence_max, keep_ms, samples[-limits.evidence_max :]]
        for name, samples in flush.evidence.items()
        if samples
    ]
    cases = [[case.id, case.rank, case.group, case.value] for case in flush.cases]
    worst = [cases, WORST_MAX, WORST_EACH, keep_ms]
    return _encode([flush.sequence, SEQUENCE_KEEP_MS, list(checks), arrays, evidence, worst])


def pack_lookup(
    shard: int, model: str, stub_keys: Sequence[bytes], plan: StubPlan
) -> tuple[bytes, NDArray[np.int64]]:
    """Encode a look-up of stubs; also the position in `stub_keys` of each answer, int64[n]."""
    order, cuts, ordered = plan.parted(stub_keys)
    return _encode([keys.stubs(shard, model), plan.half_ms[model], cuts, KEY_BYTES, ordered]), order


def _encode(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


def unpack(answer: bytes) -> Any:
    """A script's answer in msgpack; texts are bytes."""
    return msgpack.unpackb(answer, raw=True)


def _stubs(shard: int, writes: Iterable[StubWrite], plan: StubPlan) -> list[list[Any]]:
    """Stubs by where they lie: [prefix, half_ms, generation, part, ids, values seen, values to write, renew].

    What is only checked (its value stays, and its place) lies in groups of its own, with nothing to write.
    """
    groups: dict[tuple[str, int, int, bool, bool], list[Any]] = {}
    part = plan.part
    for write in writes:
        seen = write.seen
        stays = seen is not None and seen.value == write.value and not write.renew
        generation = ABSENT if seen is None else seen.generation
        where = (write.model, generation, part(write.key), stays, write.renew)
        group = groups.get(where)
        if group is None:
            prefix, half_ms = keys.stubs(shard, write.model), plan.half_ms[write.model]
            group = groups[where] = [prefix, half_ms, generation, where[2], [], [], [], write.renew]
        group[4].append(write.key)
        if seen is not None:
            group[5].append(seen.value)
        if not stays:
            group[6].append(write.value)
    return list(groups.values())


def _stub_columns(shard: int, columns: Iterable[StubColumns], plan: StubPlan) -> list[list[Any]]:
    """Stubs of one kind, laid end to end by part.

    [prefix, half_ms, generation, (part, how many)…, and of keys, values seen and values to write the size of
    one and all of them].
    """
    groups: list[list[Any]] = []
    for column in columns:
        stubs = column.stubs
        order, cuts, ordered = plan.parted(stubs.keys)
        where = [keys.stubs(shard, column.model), plan.half_ms[column.model]]
        generation = ABSENT if column.generation is None else column.generation
        tables = [(table.shape[1], table[order].tobytes()) for table in (stubs.seen, stubs.values)]
        groups.append([*where, generation, cuts, KEY_BYTES, ordered, *tables[0], *tables[1]])
    return groups


def _increments(
    shard: int, increments: Iterable[Increment]
) -> tuple[list[list[Any]], list[list[Any]], list[list[Any]]]:
    creates: list[list[Any]] = []
    adds: list[list[Any]] = []
    retracts: list[list[Any]] = []
    for increment in increments:
        key = increment.key
        if not len(increment.cells):
            continue
        name = array(shard, key)
        # i64 is the widest BITFIELD can add to; no sum comes near its end.
        width = "u32" if key.kind.width_bits(key.tier) == 32 else "i64"
        cells, amounts = increment.cells.tolist(), increment.amounts.tolist()
        if key.retracted:
            retracts.append([name + keys.RETRACTED, width, cells, amounts, name])
        elif _makes(increment):
            creates.append([name, width, cells, amounts, increment.ttl_s * 1_000])
        elif key.kind.guard is None:
            adds.append([name, width, cells, amounts])
        else:
            guard = key.kind.guard
            shorter_s = guard.kept_s(key.tier) - key.kind.kept_s(key.tier)
            where = array(shard, replace(key, kind=guard))
            adds.append([name, width, cells, amounts, where, shorter_s * 1_000])
    return creates, adds, retracts


def _rankings(shard: int, rankings: Iterable[Rows]) -> list[list[Any]]:
    """[key, guard, rows, bytes_max, shorter_ms]: the guard is the histogram the rows are part of."""
    found: list[list[Any]] = []
    for rows in rankings:
        key = rows.key
        guard = array(shard, replace(key, kind=SCORES))
        shorter_s = SCORES.kept_s(key.tier) - RANKING.kept_s(key.tier)
        bytes_max = rows.rows_max * RANKING_ROW.itemsize
        found.append([array(shard, key), guard, rows.data, bytes_max, shorter_s * 1_000])
    return found


def _makes(increment: Increment) -> bool:
    """Whether an increment may bring its bucket into being; never one whose time is over already."""
    return increment.create and increment.ttl_s > 0


def _index(shard: int, increments: Iterable[Increment]) -> list[list[Any]]:
    """Buckets in which all traffic of a model was counted: [index, buckets, ttl_ms, prefix, suffix]."""
    found: dict[tuple[str, str], list[Any]] = {}
    for increment in increments:
        key = increment.key
        if key.kind is not SCALARS or key.slice_id != ALL_SLICE or key.retracted or not _makes(increment):
            continue
        where = (key.model, key.tier.name)
        entry = found.setdefault(
            where,
            [
                keys.buckets(shard, *where),
                [],
                0,
                keys.counters(shard, *where),
                f":{SCALARS.name}:{ALL_SLICE}",
            ],
        )
        entry[1].append(key.bucket_s)
        entry[2] = max(entry[2], increment.ttl_s * 1_000)
    return list(found.values())
