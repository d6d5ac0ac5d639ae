"""The seams between the core and the edges: what a store, a publisher, a model and a clock must do.

`monitor.edges.redis` and `monitor.edges.memory` implement the same `Store` and pass the same laws
(`tests/laws`). Nothing here performs anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, Protocol

from monitor.core.counters import CellKey, Counts, Increment, Kind, Rows, Tier
from monitor.core.probes.answers import Answer
from monitor.core.stubs import StubTable

EVALUATOR_VIEW: Final = "evaluator"
"""Name of the view in which the evaluator says how far it is."""

JUDGED_FIELD: Final = "judged_until_s"
"""Its field: event time (epoch s) before which labels have been judged."""


LOOKED_FIELD: Final = "looked_ms"
"""Its field: when it last finished a look, the store's clock, epoch ms."""

SKIPPED_FIELD: Final = "skipped_buckets"
"""Its field: buckets that had expired before they could be judged."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of one topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@dataclass(frozen=True, slots=True)
class Fence:
    """What a shard has counted of a partition.

    Attributes:
        offset: next offset to count; everything below is in the counters.
        watermark_ms: greatest event time of all records below `offset`, epoch ms; 0 before the first.
    """

    offset: int
    watermark_ms: int = 0


class Beat(NamedTuple):
    """Where a partition stands, as its owner says.

    Attributes:
        position: next offset to count.
        end: where the broker said it ends; `position` where that is further.
        age_s: since the broker said so.
    """

    position: int
    end: int
    age_s: float = 0.0


class SeenStub(NamedTuple):
    """A stub as it was read: its value and the generation that holds it."""

    value: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class StubWrite:
    """A stub to be written if it still is what was seen.

    A flush holds one for every id whose stub it depends on, also where the value stays as it was: a repeat
    is a repeat only while the stub that tells it is in the store, and a store that went back in time has
    forgotten it, perhaps without moving this partition's fence.

    Attributes:
        model: the model's name.
        key: 12-byte digest of the request id (`monitor.core.stubs.stub_key`).
        seen: what `read_stubs` answered, None for absent.
        value: the new value; the stub stays in its generation, or enters the present one when it was absent.
        renew: it enters the present generation though it was there before, and its older self goes.
    """

    model: str
    key: bytes
    seen: SeenStub | None
    value: bytes
    renew: bool = False


@dataclass(frozen=True)
class StubColumns:
    """Stubs of one model that stand alike, by column: each means what a `StubWrite` of its own would.

    Attributes:
        model: the model's name.
        generation: that holds them all, None where none was there.
        stubs: their keys, what was read of them and their new values.
    """

    model: str
    generation: int | None
    stubs: StubTable

    def writes(self) -> Iterator[StubWrite]:
        """One by one."""
        stubs = self.stubs
        for key, seen, value in zip(stubs.keys, stubs.seen, stubs.values, strict=True):
            before = None if self.generation is None else SeenStub(seen.tobytes(), self.generation)
            yield StubWrite(self.model, key, before, value.tobytes())


@dataclass(frozen=True)
class Flush:
    """All that one chunk of one partition changes in one shard, applied whole or not at all.

    The records of `[start, next)` were fetched in one piece, so holes in the log lie inside it.
    """

    shard: int
    partition: Partition
    expected: int  # the fence the worker believes in; records below it are not in this flush
    start: int
    next: int
    watermark_ms: int  # running maximum of event time up to `next`
    stubs: Sequence[StubWrite] = ()
    increments: Sequence[Increment] = ()
    rankings: Sequence[Rows] = ()
    dead_letters: Sequence[bytes] = ()  # encoded records for the outbox
    evidence: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """Per list name (`model/violations/feature/code`), encoded samples of records that show a failure."""
    columns: Sequence[StubColumns] = ()

    def writes(self) -> Iterator[StubWrite]:
        """All stubs one by one."""
        yield from self.stubs
        for part in self.columns:
            yield from part.writes()


class Outcome(StrEnum):
    """What a store did with a flush."""

    OK = "ok"  # applied
    ALREADY = "already"  # next <= stored: applied before; a lost reply, or another owner did it
    AHEAD = "ahead"  # stored > expected but < next: another owner; drop and seek to stored
    BEHIND = "behind"  # stored < expected: the store lost writes; rewind to stored
    LOST = "lost"  # no fence though one was registered: the store lost everything
    CONFLICT = "conflict"  # a stub changed since it was read; read again and recompute


@dataclass(frozen=True, slots=True)
class FlushResult:
    """Outcome, the fence now stored (-1 when LOST) and the stub keys in conflict."""

    outcome: Outcome
    stored: int
    conflicts: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class ProbeCells:
    """What probes add to one array of the present bucket of every tier.

    Attributes:
        kind: of array.
        slice_id: whose.
        cells: cell numbers, strictly increasing, int64[n].
        amounts: what to add, all positive, int64[n].
    """

    kind: Kind
    slice_id: int
    cells: Counts
    amounts: Counts


@dataclass(frozen=True, slots=True)
class RankedCase:
    """One of the worst cases: a greater `rank` (text) is worse; so many of a `group` are kept."""

    id: str
    rank: str
    group: str
    value: bytes


@dataclass(frozen=True)
class ProbeFlush:
    """What probes of one model found, added once however often it is sent.

    Attributes:
        model: its name.
        owner: of the sequence, unique to a prober.
        sequence: rises with every flush of the owner.
        cells: to be added.
        tiers: whose present buckets they are added to.
        evidence: list name → encoded samples, as in `Flush`.
        cases: for the list of worst cases.
    """

    model: str
    owner: str
    sequence: int
    cells: Sequence[ProbeCells]
    tiers: Sequence[Tier]
    evidence: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    cases: Sequence[RankedCase] = ()


TopicKind = Literal["alerts", "dead_letters"]
"""What leaves through an outbox."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A record waiting to be published: id in the outbox, kind of topic, key and value."""

    id: str
    topic_kind: TopicKind
    key: bytes
    value: bytes


class Store(Protocol):
    """The worker's side of the store: fences, stubs, counters, registries, outbox."""

    @property
    def shards(self) -> int:
        """Number of shards, fixed at first start."""
        ...

    async def open(self) -> None:
        """Connect, check safety (eviction policy, layout, shard count), load scripts.

        Raises:
            StoreRefused: unsafe; the text says the way out.
            StoreUnavailable: cannot be reached.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...

    async def bind(self, cluster_id: str, topic_ids: Mapping[str, str]) -> None:
        """Record, or compare with what was recorded, which Kafka cluster and topics the fences are of.

        Raises:
            StoreRefused: another cluster, or a topic that was deleted and created again.
        """
        ...

    async def register(self, starts: Mapping[Partition, int]) -> None:
        """Write the start offset of partitions never seen before to every shard and to the registry.

        A partition that is registered already is left alone, fences and all.
        """
        ...

    async def fences(self, partitions: Sequence[Partition]) -> dict[Partition, list[Fence | None]]:
        """Per partition, one fence a shard, read from every shard.

        None is an unregistered partition when all shards answer None and the registry has none;
        a registered partition whose fence is missing reads as `Fence(-1)`, which means LOST.
        """
        ...

    async def read_stubs(self, shard: int, model: str, keys: Sequence[bytes]) -> list[SeenStub | None]:
        """Stubs of the three live generations, in the order of `keys`."""
        ...

    async def flush(self, flush: Flush) -> FlushResult:
        """Apply a flush atomically in its shard.

        Safe to repeat after a lost reply.

        Raises:
            StoreUnavailable: no answer; the caller repeats the very same flush.
        """
        ...

    async def ids(self, model: str, family: str, names: Sequence[str], limit: int) -> list[int]:
        """Ids of names in an append-only registry (`slices`, `features`, `versions`), made where new.

        Ids start at 1, are never reused and are the same for every worker. Past `limit` names the
        answer is 0, "(other)".
        """
        ...

    async def registry(self, model: str, family: str) -> dict[str, int]:
        """All names of a registry with their ids."""
        ...

    async def beat(self, partitions: Mapping[Partition, Beat]) -> None:
        """Say of owned partitions where they stand."""
        ...

    async def judged_s(self, model: str) -> int:
        """Event time (epoch s) before which the evaluator has judged a model's labels; 0 if unknown."""
        ...

    async def reserve_rows(self, model: str, rows: int, rate_per_s: float, rows_held: float) -> float:
        """Reserve rows of a model's probe budget, shared by all workers.

        Args:
            model: its name.
            rows: to be sent, at most `rows_held`.
            rate_per_s: rows a second.
            rows_held: rows the bucket holds when full; it begins empty.

        Returns:
            Seconds to wait until the rows may be sent. Over any time t at most
            `rate_per_s * t + rows_held` rows may be.
        """
        ...

    async def add_probes(self, flush: ProbeFlush) -> None:
        """Add what probes found to the buckets of the store's clock; safe to repeat."""
        ...

    async def outbox_read(self, topic_kind: TopicKind, count: int) -> list[OutboxEntry]:
        """The oldest entries for one kind of topic, at most `count`: one that waits holds up no other."""
        ...

    async def outbox_ack(self, entries: Sequence[OutboxEntry]) -> None:
        """Remove published entries."""
        ...


@dataclass(frozen=True)
class PartitionState:
    """A partition as the evaluator sees it.

    Attributes:
        offset: lowest fence over shards.
        watermark_ms: lowest watermark over shards.
        caught_up: within the last seconds its owner had counted all that the broker had.
        silent_s: seconds since the broker last told an owner where the partition ends.
    """

    offset: int
    watermark_ms: int
    caught_up: bool
    silent_s: float


class CounterReader(Protocol):
    """The reading side of the store, synchronous: library, CLI, evaluator."""

    def read(self, keys: Sequence[CellKey]) -> list[Counts | None]:
        """Arrays merged over shards, plain minus retracted; None where no shard has the key.

        `CellKey.retracted` of the request is ignored. Arrays of a kind of size 0 are as long as the longest
        shard's.
        """
        ...

    def read_rows(self, keys: Sequence[CellKey]) -> list[bytes | None]:
        """Rankings, joined over shards; b"" where no shard has one, None where one was closed."""
        ...

    def registry(self, model: str, family: str) -> dict[str, int]:
        """All names of a registry with their ids (ids start at 1)."""
        ...

    def worst_cases(self, model: str) -> list[bytes]:
        """Values of the worst cases that probes found, the worst first."""
        ...

    def buckets(self, model: str, tier: str) -> tuple[int, int] | None:
        """First and last bucket start (epoch seconds) with any traffic in a tier, None when empty."""
        ...

    def now_ms(self) -> int:
        """The store's own clock, epoch ms."""
        ...


class EvaluatorStore(CounterReader, Protocol):
    """What the evaluator needs besides reading. One slot holds all of a model's evaluator state."""

    def lease(self, model: str, owner: str, ttl_ms: int) -> int:
        """Take or renew the model's lease.

        Returns:
            The lease epoch while `owner` holds it (same epoch on renewal, greater on a new grant), else 0.
        """
        ...

    def state(self, model: str) -> tuple[bytes, int]:
        """The evaluator's saved state and its sequence number; (b"", 0) at first."""
        ...

    def commit(
        self,
        model: str,
        lease_epoch: int,
        expected_sequence: int,
        state: bytes,
        outbox: Sequence[tuple[bytes, bytes]],
        alerts: Mapping[str, bytes],
    ) -> bool:
        """Replace the state if lease and sequence still hold, queue alert records, store alert views.

        Args:
            model: the model's name.
            lease_epoch: as `lease` answered.
            expected_sequence: sequence the new state was computed from; it becomes one greater.
            state: encoded new state.
            outbox: (key, value) alert records to be published, in order.
            alerts: identity → encoded present form, for `alerts()`.

        Returns:
            False when another evaluator has taken over; nothing was written.
        """
        ...

    def alerts(self, model: str) -> dict[str, bytes]:
        """Present form of every alert by identity."""
        ...

    def partitions(self) -> dict[Partition, PartitionState]:
        """Every registered partition, merged over shards."""
        ...

    def evidence(self, model: str, name: str) -> list[bytes]:
        """Samples kept under a list name, newest first."""
        ...

    def write_views(self, model: str, views: Mapping[str, Mapping[str, str]], ttl_s: int) -> None:
        """Plain hashes for people: view name (`5m/all`) → field → text."""
        ...


class Clock(Protocol):
    """The worker's clock, for pacing only: nothing that is counted depends on it."""

    def monotonic_s(self) -> float:
        """Seconds, never going back."""
        ...

    async def sleep(self, wait_s: float) -> None:
        """Wait."""
        ...


class Publisher(Protocol):
    """Where outbox entries go."""

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Deliver entries to their topics, acknowledged by the brokers, or raise `KafkaError`."""
        ...


class ModelClient(Protocol):
    """A model that can be asked; where and how is in `monitor.core.probes.endpoint.Endpoint`."""

    async def ask(self, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """One answer a row, in order.

        Never raises for what model or network do: such rows have an `Answer` with an error, of which
        `monitor.core.probes.endpoint.is_refusal` says whether it is the model's word about that row or an
        outage. One row that is at fault spoils no other row's answer. An empty list has no answers.
        """
        ...

    async def close(self) -> None:
        """Release connections; asking again opens new ones."""
        ...
