"""The worker's store on Redis, Valkey or a Redis Cluster.

Everything a flush changes lies in one slot and changes in one script (`flush.lua`); all else is written so
that doing it twice, or half of it, does no harm. Each method raises `StoreUnavailable` when Redis does not
answer, and may be repeated as it is.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

import numpy as np

from monitor.core.counters import LAYOUT_VERSION
from monitor.core.errors import StoreRefused
from monitor.core.stubs import STUB_VERSION
from monitor.core.understood import understood
from monitor.edges.redis import keys
from monitor.edges.redis.link import AsyncLink, RedisAccess
from monitor.edges.redis.payload import Limits, StubPlan, pack, pack_lookup, pack_probes, unpack
from monitor.edges.redis.registry import Registry
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
    SeenStub,
    TopicKind,
)

STUB_PARTS: Final = 256
"""Default number of hashes a generation of stubs is split in, per model and shard."""

SCRIPTS_VERSION: Final = 1
"""Of the forms that scripts write and others read: fences, generations, registries, outboxes, leases. Scripts
themselves go by their digest, so two versions with the same forms run side by side."""

LOST: Final = Fence(-1)
"""The fence of a registered partition that the store has lost."""

REPORTS_KEPT_MS: Final = 3_600_000
"""How long a worker that fell silent is remembered."""

PUBLISHER_LEASE_MS: Final = 5_000
"""How long an outbox waits for the worker that was publishing it."""


class RedisStore:
    """Implements `monitor.ports.Store`.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`; user, password and database may be in it.
        shards: 1 on a single Redis, near the number of primaries on a cluster; fixed at first start.
        label_wait_s: per model, how long its labels are waited for; fixed at first start.
        label_sample: per model, share of request ids whose labels are joined; fixed at first start. A store
            that has none on record takes the present one.
        access: user, password and certificates, where the URL does not say.
        stub_parts: hashes a generation of stubs is split in; enough keeps each below 100,000 fields.
            Fixed at first start.
        limits: bounds of outbox and evidence.
        timeout_s: seconds after which a call counts as unanswered.
    """

    def __init__(
        self,
        url: str,
        shards: int,
        label_wait_s: Mapping[str, int],
        *,
        label_sample: Mapping[str, float] | None = None,
        access: RedisAccess | None = None,
        stub_parts: int = STUB_PARTS,
        limits: Limits | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._shards = shards
        self._label_wait_s = dict(label_wait_s)
        self._label_sample = dict(label_sample or {})
        self._plan = StubPlan(stub_parts, {model: wait_s * 500 for model, wait_s in label_wait_s.items()})
        self._limits = limits or Limits()
        self._link = AsyncLink(url, (access or RedisAccess()).options(timeout_s))
        self._registry = Registry(self._link, shards)
        self._owner = uuid.uuid4().hex
        self._published: set[str] = set()

    @property
    def shards(self) -> int:
        """Number of shards, fixed at first start."""
        return self._shards

    async def open(self) -> None:
        """See `monitor.ports.Store.open`."""
        await self._link.open()
        for memory in await self._link.memory():
            policy = memory.get("maxmemory_policy", "noeviction")
            if policy != "noeviction":
                raise StoreRefused(
                    f"Redis may evict counters (maxmemory-policy is {policy}): run "
                    "`redis-cli CONFIG SET maxmemory-policy noeviction` and put it in redis.conf, "
                    "or use a Redis of its own"
                )
        shape = {
            "layout_version": LAYOUT_VERSION,
            "stub_version": STUB_VERSION,
            "scripts_version": SCRIPTS_VERSION,
            "shards": self._shards,
            "stub_parts": self._plan.parts,
        }
        waits = {f"label_wait_s:{model}": wait_s for model, wait_s in self._label_wait_s.items()}
        samples = {f"label_sample:{model}": float(share) for model, share in self._label_sample.items()}
        # In this order: nothing is put on record in a database that is not ours to use.
        for facts in (shape, waits, samples):
            for name, (recorded, ours) in (await self._record(keys.META, facts)).items():
                way_out = _WAYS_OUT[name.partition(":")[0]]
                raise StoreRefused(way_out.format(name=name, recorded=recorded, ours=ours))

    async def close(self) -> None:
        """Release connections; hand the outboxes to other workers."""
        try:
            for slot in self._published:
                publisher = keys.outbox_publisher(slot)
                if await self._link.call("GET", publisher) == self._owner.encode():
                    await self._link.call("DEL", publisher)
        finally:
            await self._link.close()

    async def bind(self, cluster_id: str, topic_ids: Mapping[str, str]) -> None:
        """See `monitor.ports.Store.bind`."""
        topics = {f"topic:{name}": topic_id for name, topic_id in topic_ids.items()}
        for facts in ({"cluster": cluster_id}, topics):
            for name, (recorded, ours) in (await self._record(keys.KAFKA, facts)).items():
                what = "the Kafka cluster" if name == "cluster" else f"topic {name.partition(':')[2]}"
                raise StoreRefused(
                    f"{what} is not the one the stored positions are of (recorded {recorded}, now {ours}): "
                    "connect to the one on record, or give this one an empty Redis database; "
                    "docs/redis.md says how to go on with the counts kept"
                )

    async def first_partitions(self, counts: Mapping[str, int]) -> dict[str, int]:
        """How many partitions each topic had when it was first read, given how many it has now.

        Those beyond were added since: whatever lies in them came after.
        """
        facts = {f"partitions:{topic}": count for topic, count in counts.items()}
        differing = await self._record(keys.KAFKA, facts)
        return {
            topic: int(differing[name][0]) if (name := f"partitions:{topic}") in differing else count
            for topic, count in counts.items()
        }

    async def register(self, starts: Mapping[Partition, int]) -> None:
        """See `monitor.ports.Store.register`.

        The start is settled in the registry first, so that all shards get the same one even if this
        worker dies between two of them and another goes on.
        """
        waiting = dict(starts)
        while waiting:
            names = [str(partition) for partition in waiting]
            recorded = await self._link.call("HMGET", keys.PARTITIONS, *names)
            fences = await self._shard_fences(names)
            begun: dict[Partition, int] = {}
            for row, (partition, start) in enumerate(list(waiting.items())):
                entry: bytes | None = recorded[row]
                if entry is None:
                    # Fences without an entry: the registry was lost, not the shards.
                    known = any(shard[row] is not None for shard in fences)
                    text = f"{start}:{'done' if known else 'pending'}"
                    await self._link.call("HSETNX", keys.PARTITIONS, str(partition), text)
                    continue  # look again: another worker may have been first
                del waiting[partition]
                text_start, _, progress = entry.decode().partition(":")
                if progress == "pending":
                    begun[partition] = int(text_start)
            if not begun:
                continue
            flat = [item for partition, start in begun.items() for item in (str(partition), start)]
            for shard in range(self._shards):
                await self._link.script("register", [keys.fence(shard), keys.registered(shard)], *flat)
            done = [item for partition, start in begun.items() for item in (str(partition), f"{start}:done")]
            await self._link.call("HSET", keys.PARTITIONS, *done)

    async def fences(self, partitions: Sequence[Partition]) -> dict[Partition, list[Fence | None]]:
        """See `monitor.ports.Store.fences`."""
        names = [str(partition) for partition in partitions]
        if not names:
            return {}
        while True:
            # The registry first: an entry that says "done" vouches for the fences read after it.
            recorded = await self._link.call("HMGET", keys.PARTITIONS, *names)
            rows = await self._shard_fences(names)
            orphaned = [
                row for row, entry in enumerate(recorded)
                if entry is None and any(shard[row] is not None for shard in rows)
            ]  # fmt: skip
            again = await self._link.call("HMGET", keys.PARTITIONS, *names) if orphaned else recorded
            if again == recorded:
                break
        answer: dict[Partition, list[Fence | None]] = {}
        for row, partition in enumerate(partitions):
            entry = recorded[row]
            if (entry is None and row not in orphaned) or (entry is not None and entry.endswith(b":pending")):
                answer[partition] = [None] * self._shards
            else:
                answer[partition] = [LOST if shard[row] is None else _fence(shard[row]) for shard in rows]
        return answer

    async def read_stubs(self, shard: int, model: str, keys_: Sequence[bytes]) -> list[SeenStub | None]:
        """See `monitor.ports.Store.read_stubs`."""
        if not keys_:
            return []
        packed, order = pack_lookup(shard, model, keys_, self._plan)
        answer = await self._link.script("read_stubs", [keys.fence(shard), *keys.settled(shard)], packed)
        places, generations, values = unpack(answer)
        found: list[SeenStub | None] = [None] * len(keys_)
        rows = order[np.array(places, np.int64)].tolist()
        for row, seen in zip(rows, map(SeenStub, values, map(int, generations)), strict=True):
            found[row] = seen
        return found

    async def flush(self, flush: Flush) -> FlushResult:
        """See `monitor.ports.Store.flush`."""
        models = {increment.key.model for increment in flush.increments}
        packed = pack(flush, self._plan, self._registry.checks(flush.shard, models), self._limits)
        names = [keys.fence(flush.shard), *keys.settled(flush.shard)]
        outcome, stored, conflicts = await self._link.script("flush", names, packed)
        while outcome == b"forgotten":
            await self._registry.restore(models)
            outcome, stored, conflicts = await self._link.script("flush", names, packed)
        return FlushResult(Outcome(outcome.decode()), int(stored), tuple(conflicts))

    async def ids(self, model: str, family: str, names: Sequence[str], limit: int) -> list[int]:
        """See `monitor.ports.Store.ids`."""
        return await self._registry.ids(model, family, names, limit)

    async def registry(self, model: str, family: str) -> dict[str, int]:
        """See `monitor.ports.Store.registry`."""
        return await self._registry.all(model, family)

    async def beat(self, partitions: Mapping[Partition, Beat]) -> None:
        """See `monitor.ports.Store.beat`."""
        if partitions:
            flat = [
                item for partition, beat in partitions.items()
                for item in (str(partition), f"{beat.position}:{beat.end}", round(1000 * beat.age_s))
            ]  # fmt: skip
            await self._link.script("beat", [keys.BEATS], *flat)

    async def report(self, worker: str, report: str) -> None:
        """Say what a worker has to say of itself; an empty report takes leave."""
        await self._link.script("report", [keys.WORKERS], worker, report, REPORTS_KEPT_MS)

    async def lost(self, partition: Partition, fence: int, earliest: int) -> int:
        """Count the records of a partition that were deleted before they were read.

        Safe to repeat, with a later `earliest` too.

        Returns:
            Records of it that were ever lost.
        """
        return int(await self._link.script("lost", [keys.LOST], str(partition), fence, earliest))

    async def judged_s(self, model: str) -> int:
        """See `monitor.ports.Store.judged_s`."""
        found = await self._link.call("HGET", keys.view(model, EVALUATOR_VIEW), JUDGED_FIELD)
        with understood("the time of an evaluation"):
            return int(found or 0)

    async def reserve_rows(self, model: str, rows: int, rate_per_s: float, rows_held: float) -> float:
        """See `monitor.ports.Store.reserve_rows`."""
        budget = keys.probe_budget(self._probe_shard(model), model)
        wait_us = await self._link.script("budget", [budget], rows, rate_per_s, rows_held)
        return int(wait_us) / 1e6

    async def add_probes(self, flush: ProbeFlush) -> None:
        """See `monitor.ports.Store.add_probes`."""
        shard, model = self._probe_shard(flush.model), flush.model
        names = [
            keys.probe_sequence(shard, model, flush.owner),
            keys.probe_cases(shard, model),
            *keys.settled(shard),
        ]
        packed = pack_probes(flush, shard, self._registry.checks(shard, [model]), self._limits)
        while await self._link.script("probes", names, packed) == b"forgotten":
            await self._registry.restore([model])

    def _probe_shard(self, model: str) -> int:
        """All of a model's probes lie in one shard."""
        return crc32(model.encode()) % self._shards

    async def outbox_read(self, topic_kind: TopicKind, count: int) -> list[OutboxEntry]:
        """See `monitor.ports.Store.outbox_read`; of several workers, one publishes each outbox."""
        entries: list[OutboxEntry] = []
        for slot in self._slots(topic_kind):
            found = await self._link.script(
                "outbox_read",
                [keys.outbox(slot), keys.outbox_publisher(slot)],
                self._owner,
                PUBLISHER_LEASE_MS,
                count,
            )
            if found:
                self._published.add(slot)
            for entry_id, fields in found:
                entry = dict(zip(fields[::2], fields[1::2], strict=True))
                entries.append(
                    OutboxEntry(f"{slot}|{entry_id.decode()}", topic_kind, entry[b"key"], entry[b"value"])
                )
        entries.sort(key=_age)
        return entries[:count]

    async def outbox_ack(self, entries: Sequence[OutboxEntry]) -> None:
        """See `monitor.ports.Store.outbox_ack`."""
        by_slot: dict[str, list[str]] = {}
        for entry in entries:
            slot, _, entry_id = entry.id.rpartition("|")
            by_slot.setdefault(slot, []).append(entry_id)
        for slot, entry_ids in by_slot.items():
            await self._link.call("XDEL", keys.outbox(slot), *entry_ids)

    def _slots(self, topic_kind: TopicKind) -> list[str]:
        if topic_kind == "alerts":
            return [keys.evaluator_slot(model) for model in self._label_wait_s]
        return [keys.shard_slot(shard) for shard in range(self._shards)]

    async def _shard_fences(self, names: Sequence[str]) -> list[list[bytes | None]]:
        calls = (self._link.call("HMGET", keys.fence(shard), *names) for shard in range(self._shards))
        return list(await asyncio.gather(*calls))

    async def _record(self, key: str, facts: Mapping[str, object]) -> dict[str, tuple[str, str]]:
        """Record facts not yet on record; what differs, as (recorded, ours)."""
        if not facts:
            return {}
        flat = [item for name, value in facts.items() for item in (name, str(value))]
        recorded = [value.decode() for value in await self._link.script("record", [key], *flat)]
        pairs = zip(facts.items(), recorded, strict=True)
        return {name: (there, str(ours)) for (name, ours), there in pairs if there != str(ours)}


_OF_ANOTHER_VERSION: Final = (
    "this Redis database was written by another version of the monitor ({name} is {recorded}, of this one "
    "{ours}): run that version, or give this one an empty database"
)

_WAYS_OUT: Final = {
    **dict.fromkeys(("layout_version", "stub_version", "scripts_version"), _OF_ANOTHER_VERSION),
    "shards": (
        "this Redis database has {recorded} shards and the settings say {ours}: "
        "set redis.shards to {recorded}, or give the monitor an empty database"
    ),
    "stub_parts": (
        "pending predictions in this Redis database lie in {recorded} parts and the settings say {ours}: "
        "set it to {recorded}, or give the monitor an empty database"
    ),
    "label_wait_s": (
        "{name} is on record as {recorded} and the settings say {ours}: with another wait the pending "
        "predictions of this model would not be found. Set it back; or forget them: stop all workers and run "
        f"`redis-cli HDEL {keys.META} {{name}}`"
    ),
    "label_sample": (
        "{name} is on record as {recorded} and the settings say {ours}: labels of predictions counted under "
        "the other sample would be awaited in vain, or come for nothing. Set it back; or count anew with "
        "`monitor rebuild`; or take a false coverage for one label wait: stop all workers and run "
        f"`redis-cli HDEL {keys.META} {{name}}`"
    ),
}
"""What to do about a fact on record that differs."""


@understood("a position")
def _fence(text: bytes | None) -> Fence:
    offset, _, watermark_ms = (text or b"-1:0").partition(b":")
    return Fence(int(offset), int(watermark_ms))


def _age(entry: OutboxEntry) -> tuple[int, int]:
    milliseconds, _, sequence = entry.id.rpartition("|")[2].partition("-")
    return int(milliseconds), int(sequence)
