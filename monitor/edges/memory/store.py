"""The worker's store, in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.core.counters import RANKING, RANKING_ROW, SCORES, CellKey, Increment, Rows
from monitor.core.errors import StoreRefused
from monitor.core.probes.results import WORST_EACH, WORST_MAX
from monitor.edges.memory.clock import WallClock
from monitor.edges.memory.contents import Array, Contents, Shard, address
from monitor.edges.memory.reader import MemoryReader
from monitor.ports import (
    EVALUATOR_VIEW,
    JUDGED_FIELD,
    Beat,
    Fence,
    Flush,
    FlushResult,
    OutboxEntry,
    Outcome,
    Partition,
    ProbeFlush,
    RankedCase,
    SeenStub,
    TopicKind,
)

LIVE_GENERATIONS: Final = 3


class MemoryStore:
    """Implements `monitor.ports.Store`.

    Args:
        shards: number of shards.
        label_wait_s: per model, how long its labels are waited for.
        clock: what stubs and buckets expire by.
        outbox_max: entries of the outbox.
        evidence_max: samples of one evidence list.
    """

    def __init__(
        self,
        shards: int,
        label_wait_s: Mapping[str, int],
        clock: WallClock,
        *,
        outbox_max: int = 10_000,
        evidence_max: int = 20,
    ) -> None:
        self._half_ms = {model: wait_s * 500 for model, wait_s in label_wait_s.items()}
        self._evidence_max = evidence_max
        self.contents = Contents(clock, [Shard() for _ in range(shards)], outbox_max)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return len(self.contents.shards)

    def reader(self) -> MemoryReader:
        """The synchronous side: reading and evaluating."""
        return MemoryReader(self.contents)

    async def open(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to release; the contents stay."""

    async def bind(self, cluster_id: str, topic_ids: Mapping[str, str]) -> None:
        """See `monitor.ports.Store.bind`."""
        topics = {f"topic {name}": topic_id for name, topic_id in topic_ids.items()}
        for facts in ({"the Kafka cluster": cluster_id}, topics):
            for name, ours in facts.items():
                recorded = self.contents.facts[name] = self.contents.facts.get(name) or ours
                if recorded != ours:
                    raise StoreRefused(
                        f"{name} is not what the stored positions are of (recorded {recorded}, now {ours}): "
                        "connect to the one on record, or start with an empty store"
                    )

    async def register(self, starts: Mapping[Partition, int]) -> None:
        """See `monitor.ports.Store.register`."""
        for partition, start in starts.items():
            if partition not in self.contents.registered:
                self.contents.registered.add(partition)
                for shard in self.contents.shards:
                    shard.fences[partition] = Fence(start)

    async def fences(self, partitions: Sequence[Partition]) -> dict[Partition, list[Fence | None]]:
        """See `monitor.ports.Store.fences`."""
        return {
            partition: [
                shard.fences.get(partition, Fence(-1)) if partition in self.contents.registered else None
                for shard in self.contents.shards
            ]
            for partition in partitions
        }

    async def read_stubs(self, shard: int, model: str, keys: Sequence[bytes]) -> list[SeenStub | None]:
        """See `monitor.ports.Store.read_stubs`."""
        return [self._find(shard, model, key) for key in keys]

    async def flush(self, flush: Flush) -> FlushResult:
        """See `monitor.ports.Store.flush`."""
        shard = self.contents.shards[flush.shard]
        fence = shard.fences.get(flush.partition)
        if fence is None:
            return FlushResult(Outcome.LOST, -1)
        if flush.next <= fence.offset:
            return FlushResult(Outcome.ALREADY, fence.offset)
        if fence.offset > flush.expected:
            return FlushResult(Outcome.AHEAD, fence.offset)
        if fence.offset < flush.expected or flush.start > fence.offset:
            return FlushResult(Outcome.BEHIND, fence.offset)
        conflicts = tuple(
            write.key
            for write in flush.writes()
            if self._find(flush.shard, write.model, write.key) != write.seen
        )
        if conflicts:
            return FlushResult(Outcome.CONFLICT, fence.offset, conflicts)

        for write in flush.writes():
            present = self._present(write.model)
            generations = shard.stubs.setdefault(write.model, {})
            for old in [each for each in generations if each <= present - LIVE_GENERATIONS]:
                del generations[old]
            generation = present if write.seen is None or write.renew else write.seen.generation
            generations.setdefault(generation, {})[write.key] = write.value
        for increment in flush.increments:
            if increment.create and increment.ttl_s > 0 and not increment.key.retracted:
                self._add(shard, increment, makes=True)
        for increment in flush.increments:
            if not increment.create or increment.ttl_s <= 0 or increment.key.retracted:
                self._add(shard, increment, makes=False)
        for rows in flush.rankings:
            self._append(shard, rows)
        for record in flush.dead_letters:
            self.contents.queue("dead_letters", b"", record)
        for name, samples in flush.evidence.items():
            newest = shard.evidence.setdefault(name, deque(maxlen=self._evidence_max))
            newest.extendleft(samples)
        shard.fences[flush.partition] = Fence(flush.next, max(fence.watermark_ms, flush.watermark_ms))
        return FlushResult(Outcome.OK, flush.next)

    async def ids(self, model: str, family: str, names: Sequence[str], limit: int) -> list[int]:
        """See `monitor.ports.Store.ids`."""
        known = self.contents.ids[model, family]
        for name in names:
            if name not in known and len(known) < limit:
                known[name] = len(known) + 1
        return [known.get(name, 0) for name in names]

    async def registry(self, model: str, family: str) -> dict[str, int]:
        """See `monitor.ports.Store.registry`."""
        return dict(self.contents.ids[model, family])

    async def beat(self, partitions: Mapping[Partition, Beat]) -> None:
        """See `monitor.ports.Store.beat`."""
        now_ms = self.contents.clock.now_ms()
        for partition, beat in partitions.items():
            at_ms = now_ms - round(1000 * beat.age_s)
            self.contents.beats[partition] = (beat.position, beat.end, at_ms)

    async def judged_s(self, model: str) -> int:
        """See `monitor.ports.Store.judged_s`."""
        view = self.contents.evaluators[model].views.get(EVALUATOR_VIEW, {})
        return int(view.get(JUDGED_FIELD, 0))

    async def reserve_rows(self, model: str, rows: int, rate_per_s: float, rows_held: float) -> float:
        """See `monitor.ports.Store.reserve_rows`."""
        now_ms, held_ms = self.contents.clock.now_ms(), rows_held / rate_per_s * 1_000
        until_ms = max(self.contents.budgets.get(model, now_ms + held_ms), now_ms)
        until_ms = self.contents.budgets[model] = until_ms + rows / rate_per_s * 1_000
        return max(0.0, until_ms - held_ms - now_ms) / 1_000

    async def add_probes(self, flush: ProbeFlush) -> None:
        """See `monitor.ports.Store.add_probes`; the first shard holds it."""
        if self.contents.probers.get((flush.model, flush.owner), -1) >= flush.sequence:
            return
        self.contents.probers[flush.model, flush.owner] = flush.sequence
        shard, now_s = self.contents.shards[0], self.contents.clock.now_ms() // 1_000
        for part in flush.cells:
            for tier in flush.tiers:
                kept_s = part.kind.kept_s(tier)
                key = CellKey(part.kind, tier, now_s - now_s % tier.bucket_s, flush.model, part.slice_id)
                if kept_s:
                    increment = Increment(key, part.cells, part.amounts, True, kept_s + tier.bucket_s)
                    self._add(shard, increment, makes=True)
        for name, samples in flush.evidence.items():
            shard.evidence.setdefault(name, deque(maxlen=self._evidence_max)).extendleft(samples)
        held = self.contents.cases[flush.model]
        held.update({case.id: case for case in flush.cases})
        kept: dict[str, RankedCase] = {}
        of_group: dict[str, int] = {}
        for case in sorted(held.values(), key=lambda one: one.rank, reverse=True):
            had = of_group.get(case.group, 0)
            if len(kept) < WORST_MAX and had < WORST_EACH:
                kept[case.id], of_group[case.group] = case, had + 1
        self.contents.cases[flush.model] = kept

    async def outbox_read(self, topic_kind: TopicKind, count: int) -> list[OutboxEntry]:
        """See `monitor.ports.Store.outbox_read`."""
        return [entry for entry in self.contents.outbox if entry.topic_kind == topic_kind][:count]

    async def outbox_ack(self, entries: Sequence[OutboxEntry]) -> None:
        """See `monitor.ports.Store.outbox_ack`."""
        done = {entry.id for entry in entries}
        self.contents.outbox = deque(entry for entry in self.contents.outbox if entry.id not in done)

    def _present(self, model: str) -> int:
        return self.contents.clock.now_ms() // self._half_ms[model]

    def _find(self, shard: int, model: str, key: bytes) -> SeenStub | None:
        present = self._present(model)
        generations = self.contents.shards[shard].stubs.get(model, {})
        for generation in range(present + 1, present - LIVE_GENERATIONS, -1):
            value = generations.get(generation, {}).get(key)
            if value is not None:
                return SeenStub(value, generation)
        return None

    def _add(self, shard: Shard, increment: Increment, *, makes: bool) -> None:
        key = increment.key
        array = self.contents.live(shard, key)
        if not len(increment.cells):
            return
        if array is None:
            now_ms = self.contents.clock.now_ms()
            expires_ms = now_ms + increment.ttl_s * 1_000 if makes else self._guarded_ms(shard, key)
            if expires_ms <= now_ms:
                return
            empty = np.zeros(key.kind.size, np.int64)
            array = shard.arrays[address(key)] = Array(expires_ms, empty, empty.copy())
        cells = array.retracted if key.retracted else array.plain
        longest = int(increment.cells[-1]) + 1
        if longest > len(cells):
            cells = np.concatenate([cells, np.zeros(longest - len(cells), np.int64)])
        most = (1 << 32) - 1 if key.kind.width_bits(key.tier) == 32 else np.iinfo(np.int64).max
        room = most - cells[increment.cells]
        cells[increment.cells] += np.minimum(increment.amounts, room)
        if key.retracted:
            array.retracted = cells
        else:
            array.plain = cells

    def _guarded_ms(self, shard: Shard, key: CellKey) -> float:
        """When an array that begins with a label expires: with its guard; 0 where it may not begin."""
        guard = key.kind.guard
        kept = None if guard is None or key.retracted else self.contents.live(shard, replace(key, kind=guard))
        if guard is None or kept is None:
            return 0.0
        return kept.expires_ms - (guard.kept_s(key.tier) - key.kind.kept_s(key.tier)) * 1_000

    def _append(self, shard: Shard, rows: Rows) -> None:
        key = rows.key
        guard = self.contents.live(shard, replace(key, kind=SCORES))
        if guard is None:
            return
        shorter_ms = (SCORES.kept_s(key.tier) - RANKING.kept_s(key.tier)) * 1_000
        if guard.expires_ms - shorter_ms <= self.contents.clock.now_ms():
            return
        array = self.contents.live(shard, key)
        if array is None:
            empty = np.zeros(0, np.int64)
            array = shard.arrays[address(key)] = Array(guard.expires_ms - shorter_ms, empty, empty)
        if array.rows is not None:
            joined = array.rows + rows.data
            array.rows = joined if len(joined) <= rows.rows_max * RANKING_ROW.itemsize else None
