"""What the store in memory holds."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

from monitor.core.counters import CellKey, Counts
from monitor.edges.memory.clock import WallClock
from monitor.ports import Fence, OutboxEntry, Partition, RankedCase, TopicKind

Address = tuple[str, str, int, str, int]


@dataclass
class Array:
    """One array of cells and its retracted twin; they expire together. A ranking has rows instead.

    `rows` is None once a ranking was closed.
    """

    expires_ms: float
    plain: Counts
    retracted: Counts
    rows: bytes | None = b""


@dataclass
class Shard:
    """What one shard holds: all of it changes together, or not at all."""

    fences: dict[Partition, Fence] = field(default_factory=dict)
    stubs: dict[str, dict[int, dict[bytes, bytes]]] = field(default_factory=dict)
    arrays: dict[Address, Array] = field(default_factory=dict)
    evidence: dict[str, deque[bytes]] = field(default_factory=dict)


@dataclass
class Evaluator:
    """What one model's evaluator holds."""

    owner: str = ""
    epoch: int = 0
    expires_ms: float = 0.0
    state: bytes = b""
    sequence: int = 0
    alerts: dict[str, bytes] = field(default_factory=dict)
    views: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Contents:
    """All that a store in memory holds.

    Attributes:
        clock: what stubs and buckets expire by.
        shards: what changes with a flush.
        registered: partitions whose start was written.
        facts: cluster and topic ids on record.
        ids: (model, family) → name → id.
        beats: partition → position, end, time (epoch ms).
        evaluators: by model.
        budgets: model → until when its reserved rows last, epoch ms.
        probers: (model, owner) → last sequence.
        cases: model → id → the worst cases.
        outbox: records waiting to be published, oldest first.
        outbox_max: entries of the outbox.
        outbox_dropped: records that fell beyond it.
    """

    clock: WallClock
    shards: list[Shard]
    outbox_max: int
    registered: set[Partition] = field(default_factory=set)
    facts: dict[str, str] = field(default_factory=dict)
    ids: defaultdict[tuple[str, str], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    beats: dict[Partition, tuple[int, int, int]] = field(default_factory=dict)
    evaluators: defaultdict[str, Evaluator] = field(default_factory=lambda: defaultdict(Evaluator))
    budgets: dict[str, float] = field(default_factory=dict)
    probers: dict[tuple[str, str], int] = field(default_factory=dict)
    cases: defaultdict[str, dict[str, RankedCase]] = field(default_factory=lambda: defaultdict(dict))
    outbox: deque[OutboxEntry] = field(default_factory=deque)
    outbox_dropped: int = 0
    _entries: int = 0

    def live(self, shard: Shard, key: CellKey) -> Array | None:
        """An array that has not expired."""
        at = address(key)
        array = shard.arrays.get(at)
        if array is not None and array.expires_ms <= self.clock.now_ms():
            del shard.arrays[at]
            return None
        return array

    def queue(self, topic_kind: TopicKind, key: bytes, value: bytes) -> None:
        """Append to the outbox; when it is full the oldest alert falls, or the newest dead letter."""
        if len(self.outbox) >= self.outbox_max:
            self.outbox_dropped += 1
            if topic_kind == "dead_letters":
                return
            self.outbox.popleft()
        self._entries += 1
        self.outbox.append(OutboxEntry(str(self._entries), topic_kind, key, value))


def address(key: CellKey) -> Address:
    """Where an array and its retracted twin lie (a kind itself cannot be hashed)."""
    return (key.kind.name, key.tier.name, key.bucket_s, key.model, key.slice_id)
