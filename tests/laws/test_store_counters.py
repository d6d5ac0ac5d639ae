"""The laws of counters, registries, outbox and evidence, on every store there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from monitor.core.counters import (
    CALIBRATION,
    SCALARS,
    SCORES,
    VIOLATIONS,
    CellKey,
    Counts,
    Increment,
    Kind,
    Tier,
)
from monitor.ports import Flush, Outcome, Partition, Store
from tests.laws.store_backends import Backend

Open = Callable[[], Awaitable[Store]]

P = Partition("predictions", 0)
MINUTE, DAY = Tier("1m", 60, 86_400), Tier("1d", 86_400, 400 * 86_400)
START_S = 1_700_006_400


class Adder:
    """Adds to a store, a flush a call."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.offsets = [0] * store.shards

    async def add(self, *increments: Increment, shard: int = 0, **more: object) -> None:
        at = self.offsets[shard]
        flush = Flush(shard, P, at, at, at + 1, 0, (), increments, **more)  # type: ignore[arg-type]
        assert (await self.store.flush(flush)).outcome is Outcome.OK
        self.offsets[shard] += 1


async def adder(backend: Backend, open_store: Open, shards: int = 1) -> Adder:
    backend.fresh(shards)
    store = await open_store()
    await store.register({P: 0})
    return Adder(store)


def key(
    kind: Kind = SCALARS,
    tier: Tier = MINUTE,
    bucket_s: int = START_S,
    slice_id: int = 0,
    retracted: bool = False,
) -> CellKey:
    return CellKey(kind, tier, bucket_s, "m", slice_id, retracted)


def plus(
    where: CellKey, cells: Sequence[int], amounts: Sequence[int], create: bool = True, ttl_s: int = 600
) -> Increment:
    return Increment(where, np.array(cells), np.array(amounts), create, ttl_s)


def sums(counts: Counts | None) -> dict[int, int] | None:
    return None if counts is None else {cell: int(counts[cell]) for cell in np.flatnonzero(counts).tolist()}


async def test_sums_are_merged_over_shards_less_what_was_retracted(
    any_backend: Backend, open_store: Open
) -> None:
    adding = await adder(any_backend, open_store, shards=3)
    await adding.add(plus(key(), [0, 19], [5, 1 << 50]), shard=0)
    await adding.add(plus(key(), [0, 3], [7, 1]), plus(key(slice_id=2), [1], [1]), shard=2)
    await adding.add(plus(key(retracted=True), [3], [1]), plus(key(), [19], [1 << 50]), shard=2)
    everything, one, none = any_backend.reader().read([key(retracted=True), key(slice_id=2), key(slice_id=3)])
    assert sums(everything) == {0: 12, 19: 1 << 51}
    assert everything is not None
    assert len(everything) == SCALARS.size
    assert sums(one) == {1: 1}
    assert none is None


async def test_every_kind_reads_as_it_was_written(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store)
    keys = [key(kind, tier) for kind in (SCALARS, SCORES, CALIBRATION) for tier in (MINUTE, DAY)]
    for size, where in enumerate(keys, 1):
        await adding.add(plus(where, [size, where.kind.size - 1], [size, 1]))
    for size, (where, counts) in enumerate(zip(keys, any_backend.reader().read(keys), strict=True), 1):
        assert sums(counts) == {size: size, where.kind.size - 1: 1}
        assert counts is not None
        assert len(counts) == where.kind.size


async def test_violations_are_as_long_as_the_longest(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store, shards=2)
    await adding.add(plus(key(VIOLATIONS), [1], [1]), shard=0)
    await adding.add(plus(key(VIOLATIONS), [1, 40], [1, 2]), shard=1)
    (counts,) = any_backend.reader().read([key(VIOLATIONS)])
    assert counts is not None
    assert len(counts) >= 41
    assert sums(counts) == {1: 2, 40: 2}


async def test_a_narrow_cell_stops_at_its_end(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store)
    assert SCORES.width_bits(MINUTE) == 32
    for _ in range(3):
        await adding.add(
            plus(key(SCORES), [0, 5], [1, (1 << 31) - 1]), plus(key(SCORES, DAY), [5], [1 << 31])
        )
    narrow, wide = any_backend.reader().read([key(SCORES), key(SCORES, DAY)])
    assert sums(narrow) == {0: 3, 5: (1 << 32) - 1}
    assert sums(wide) == {5: 3 << 31}


async def test_what_a_label_adds_makes_no_bucket(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store)
    await adding.add(plus(key(), [8], [1], create=False), plus(key(retracted=True), [8], [1], create=False))
    assert any_backend.reader().read([key()]) == [None]
    await adding.add(plus(key(), [8], [1], create=False), plus(key(), [0], [1]))  # whatever the order
    assert sums(any_backend.reader().read([key()])[0]) == {0: 1, 8: 1}
    await adding.add(plus(key(bucket_s=START_S + 60), [0], [1], ttl_s=0))
    assert any_backend.reader().read([key(bucket_s=START_S + 60)]) == [None]


async def test_what_only_labels_add_to_begins_and_ends_with_its_guard(
    any_backend: Backend, open_store: Open
) -> None:
    adding = await adder(any_backend, open_store)
    reader = any_backend.reader()
    label = plus(key(CALIBRATION), [3], [1], create=False)
    taken = plus(key(CALIBRATION, retracted=True), [3], [1], create=False)
    await adding.add(label, taken)
    assert reader.read([key(CALIBRATION)]) == [None]
    await adding.add(label, plus(key(SCORES), [9], [1], ttl_s=1))  # whatever the order
    await adding.add(label, taken)
    assert sums(reader.read([key(CALIBRATION)])[0]) == {3: 1}
    any_backend.pass_ms(1_050)
    await adding.add(label)
    assert reader.read([key(SCORES), key(CALIBRATION)]) == [None, None]


async def test_a_correction_does_not_bring_an_expired_bucket_back(
    any_backend: Backend, open_store: Open
) -> None:
    adding = await adder(any_backend, open_store)
    reader = any_backend.reader()
    await adding.add(plus(key(), [0, 8], [1, 1], ttl_s=1), plus(key(tier=DAY), [0, 8], [1, 1]))
    any_backend.pass_ms(1_050)
    correction = [
        plus(key(tier=tier, retracted=retracted), [8], [1], create=False)
        for tier in (MINUTE, DAY)
        for retracted in (True, False)
    ]
    await adding.add(*correction, plus(key(tier=DAY), [9], [1], create=False))
    assert [sums(counts) for counts in reader.read([key(), key(tier=DAY)])] == [None, {0: 1, 8: 1, 9: 1}]


async def test_a_twin_expires_with_its_bucket(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store)
    await adding.add(plus(key(), [8], [2], ttl_s=1))
    await adding.add(plus(key(retracted=True), [8], [1], create=False, ttl_s=600))
    any_backend.pass_ms(1_050)
    await adding.add(plus(key(), [8], [5], ttl_s=600))
    assert sums(any_backend.reader().read([key()])[0]) == {8: 5}


async def test_adding_does_not_lengthen_a_life(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store)
    await adding.add(plus(key(), [0], [1], ttl_s=1))
    await adding.add(plus(key(), [0], [1], ttl_s=600))
    any_backend.pass_ms(1_050)
    assert any_backend.reader().read([key()]) == [None]


async def test_buckets_with_traffic(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store, shards=2)
    reader = any_backend.reader()
    assert reader.buckets("m", "1m") is None
    await adding.add(plus(key(bucket_s=START_S), [0], [1], ttl_s=1), plus(key(tier=DAY), [0], [1]), shard=0)
    await adding.add(plus(key(bucket_s=START_S + 600), [0], [1]), plus(key(slice_id=4), [0], [1]), shard=0)
    await adding.add(plus(key(bucket_s=START_S + 180), [0], [1]), shard=1)
    await adding.add(plus(key(VIOLATIONS, bucket_s=START_S + 900), [0], [1]), shard=1)
    assert reader.buckets("m", "1m") == (START_S, START_S + 600)
    assert reader.buckets("m", "1d") == (START_S, START_S)
    assert reader.buckets("other", "1m") is None
    any_backend.pass_ms(1_050)
    await adding.add(plus(key(bucket_s=START_S + 240), [0], [1]), shard=0)
    assert reader.buckets("m", "1m") == (START_S + 180, START_S + 600)


async def test_reading_many_keys_keeps_their_order(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store)
    slices = list(range(0, 5_000, 7))
    await adding.add(*(plus(key(slice_id=s), [0], [s + 1]) for s in slices))
    found = any_backend.reader().read([key(slice_id=s) for s in range(5_000)])
    assert {s: sums(counts) for s, counts in enumerate(found) if counts is not None} == {
        s: {0: s + 1} for s in slices
    }
    assert any_backend.reader().read([]) == []


async def test_ids_are_the_same_for_every_worker(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(2)
    one, other = await open_store(), await open_store()
    assert await one.ids("m", "slices", ["b", "a"], 3) == [1, 2]
    assert await other.ids("m", "slices", ["c", "b", "c"], 3) == [3, 1, 3]
    assert await one.ids("m", "slices", ["d", "a", "é☃"], 3) == [0, 2, 0]
    assert await one.ids("m", "features", ["d"], 3) == [1]
    assert await one.ids("other", "slices", [], 3) == []
    known = {"a": 2, "b": 1, "c": 3}
    assert await other.registry("m", "slices") == known
    assert any_backend.reader().registry("m", "slices") == known
    assert await other.registry("other", "slices") == {}
    assert await other.ids("m", "slices", ["é☃"], 4) == [4]


async def test_dead_letters_wait_in_a_bounded_outbox(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    adding = await adder(any_backend, open_store)
    await adding.add(dead_letters=[b"one", b"two"])
    await adding.add(dead_letters=[b"three"])
    entries = await adding.store.outbox_read("dead_letters", 2)
    assert [(e.topic_kind, e.key, e.value) for e in entries] == [
        ("dead_letters", b"", b"one"),
        ("dead_letters", b"", b"two"),
    ]
    await adding.store.outbox_ack(entries)
    assert [e.value for e in await adding.store.outbox_read("dead_letters", 9)] == [b"three"]
    await adding.add(dead_letters=[b"%d" % i for i in range(150)])
    values = [e.value for e in await adding.store.outbox_read("dead_letters", 1_000)]
    assert values == [b"three", *(b"%d" % i for i in range(99))]


async def test_evidence_is_the_newest(any_backend: Backend, open_store: Open) -> None:
    adding = await adder(any_backend, open_store)
    name = "m/violations/age/out_of_range"
    await adding.add(evidence={name: [b"%d" % i for i in range(30)]})
    await adding.add(evidence={name: [b"x", b"y"], "m/violations/sex/null": [b"z"], "m/none": []})
    reader = any_backend.reader()
    assert reader.evidence("m", name) == [b"y", b"x", *(b"%d" % i for i in range(29, 11, -1))]
    assert reader.evidence("m", "violations/sex/null") == [b"z"]
    assert reader.evidence("m", "none") == []
