"""The reading side on Redis, synchronous: what the library, the CLI and the evaluator look through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, Final

import msgpack
import numpy as np
from pydantic import ValidationError

from monitor.core.counters import RANKING_ROW, CellKey, Counts
from monitor.core.errors import StoreUnavailable
from monitor.core.own_health import BEAT_FRESH_S, Lost, Outbox, OwnHealth, WorkerReport
from monitor.core.times import INSTANT_END_MS
from monitor.core.understood import understood
from monitor.edges.redis import keys
from monitor.edges.redis.link import Link, RedisAccess
from monitor.edges.redis.payload import Limits, array
from monitor.edges.redis.registry import names_of
from monitor.ports import EVALUATOR_VIEW, LOOKED_FIELD, SKIPPED_FIELD, Partition, PartitionState

_CHUNK: Final = 2_000  # keys of one MGET: short enough not to hold up a flush


class RedisReader:
    """Implements `monitor.ports.EvaluatorStore`.

    Args:
        url: as for `RedisStore`; connects at the first call.
        shards: number of shards of the store.
        access: user, password and certificates, where the URL does not say.
        limits: bound of the alerts outbox.
        timeout_s: seconds after which a call counts as unanswered.
    """

    def __init__(
        self,
        url: str,
        shards: int,
        *,
        access: RedisAccess | None = None,
        limits: Limits | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._shards = range(shards)
        self._limits = limits or Limits()
        self._link = Link(url, (access or RedisAccess()).options(timeout_s))

    def close(self) -> None:
        """Release connections."""
        self._link.close()

    def read(self, keys_: Sequence[CellKey]) -> list[Counts | None]:
        """See `monitor.ports.CounterReader.read`."""
        answer: list[Counts | None] = [None] * len(keys_)
        by_kind: dict[tuple[int, int], list[int]] = {}
        for row, key in enumerate(keys_):
            by_kind.setdefault((key.kind.size, key.kind.width_bits(key.tier)), []).append(row)
        for (size, bits), rows in by_kind.items():
            for first in range(0, len(rows), _CHUNK):
                part = rows[first : first + _CHUNK]
                found = self._sums([keys_[row] for row in part], size, bits)
                for row, counts in zip(part, found, strict=True):
                    answer[row] = counts
        return answer

    def read_rows(self, keys_: Sequence[CellKey]) -> list[bytes | None]:
        """See `monitor.ports.CounterReader.read_rows`."""
        answer: list[bytes | None] = []
        for first in range(0, len(keys_), _CHUNK):
            part = keys_[first : first + _CHUNK]
            calls = [("MGET", *(array(shard, key) for key in part)) for shard in self._shards]
            for found in zip(*self._link.many(calls), strict=True):
                closed = any(rows is not None and len(rows) == 1 for rows in found)
                joined = None if closed else b"".join(rows or b"" for rows in found)
                with understood("labelled scores"):
                    answer.append(None if joined is None else _rows(joined))
        return answer

    @understood("a name")
    def registry(self, model: str, family: str) -> dict[str, int]:
        """See `monitor.ports.CounterReader.registry`."""
        return names_of(self._link.call("HGETALL", keys.ids(0, model, family)))

    @understood("a case of a probe")
    def worst_cases(self, model: str) -> list[bytes]:
        """See `monitor.ports.CounterReader.worst_cases`."""
        found: list[list[Any]] = []
        for held in self._link.many(("HVALS", keys.probe_cases(shard, model)) for shard in self._shards):
            found += [msgpack.unpackb(value, raw=True) for value in held]
        return [value for *_, value in sorted(found, key=lambda entry: entry[0], reverse=True)]

    @understood("the index of buckets")
    def buckets(self, model: str, tier: str) -> tuple[int, int] | None:
        """See `monitor.ports.CounterReader.buckets`."""
        names = [keys.buckets(shard, model, tier) for shard in self._shards]
        ends = self._link.many(("ZRANGE", name, end, end) for name in names for end in (0, -1))
        found = [int(bucket) for end in ends for bucket in end]
        if not all(0 <= bucket < INSTANT_END_MS // 1000 for bucket in found):
            raise ValueError("no time")
        return (min(found), max(found)) if found else None

    def now_ms(self) -> int:
        """See `monitor.ports.CounterReader.now_ms`."""
        seconds, microseconds = self._link.call("TIME")
        return int(seconds) * 1_000 + int(microseconds) // 1_000

    def lease(self, model: str, owner: str, ttl_ms: int) -> int:
        """See `monitor.ports.EvaluatorStore.lease`."""
        return int(self._link.script("lease", [keys.lease(model), keys.epoch(model)], owner, ttl_ms))

    @understood("the state of an evaluator")
    def state(self, model: str) -> tuple[bytes, int]:
        """See `monitor.ports.EvaluatorStore.state`."""
        state, sequence = self._link.call("HMGET", keys.state(model), "state", "sequence")
        return state or b"", int(sequence or 0)

    def commit(
        self,
        model: str,
        lease_epoch: int,
        expected_sequence: int,
        state: bytes,
        outbox: Sequence[tuple[bytes, bytes]],
        alerts: Mapping[str, bytes],
    ) -> bool:
        """See `monitor.ports.EvaluatorStore.commit`; safe to repeat after a lost reply."""
        slot = keys.evaluator_slot(model)
        request = [
            lease_epoch,
            expected_sequence,
            state,
            [list(record) for record in outbox],
            list(chain.from_iterable(alerts.items())),
            self._limits.outbox_max,
        ]
        names = [keys.epoch(model), keys.state(model), keys.alerts(model), keys.outbox(slot)]
        packed = msgpack.packb(request, use_bin_type=False)
        return bool(self._link.script("commit", [*names, keys.outbox_dropped(slot)], packed))

    @understood("an alert")
    def alerts(self, model: str) -> dict[str, bytes]:
        """See `monitor.ports.EvaluatorStore.alerts`."""
        answer: dict[bytes, bytes] = self._link.call("HGETALL", keys.alerts(model))
        return {identity.decode(): alert for identity, alert in answer.items()}

    @understood("a position")
    def partitions(self) -> dict[Partition, PartitionState]:
        """See `monitor.ports.EvaluatorStore.partitions`."""
        hashes = [keys.PARTITIONS, keys.BEATS, *(keys.fence(shard) for shard in self._shards)]
        registered, beats, *fences = self._link.many(("HGETALL", name) for name in hashes)
        now_ms = self.now_ms()
        answer: dict[Partition, PartitionState] = {}
        for name in sorted(registered):
            found = [_pair(fence.get(name, b"-1:0")) for fence in fences]
            topic, _, number = name.decode().rpartition("-")
            position, end, beat_ms = (int(part) for part in beats.get(name, b"0:0:-1").split(b":"))
            silent_s = (now_ms - beat_ms) / 1_000 if beat_ms >= 0 else float("inf")
            answer[Partition(topic, int(number))] = PartitionState(
                offset=min(offset for offset, _ in found),
                watermark_ms=min(watermark_ms for _, watermark_ms in found),
                caught_up=position >= end and silent_s <= BEAT_FRESH_S,
                silent_s=max(silent_s, 0.0),
            )
        return answer

    def run_id(self) -> str:
        """Which server answers, however it is addressed; a restart is another one."""
        info = self._link.call("INFO", "server")
        return str(info["run_id"])

    def starts(self) -> dict[Partition, int]:
        """Where each partition began to be counted."""
        answer: dict[Partition, int] = {}
        for name, text in self._link.call("HGETALL", keys.PARTITIONS).items():
            topic, _, number = name.decode().rpartition("-")
            answer[Partition(topic, int(number))] = int(text.partition(b":")[0])
        return answer

    def evidence(self, model: str, name: str) -> list[bytes]:
        """See `monitor.ports.EvaluatorStore.evidence`; `name` as in the flush, `MODEL/` in front or not."""
        full = name if name.startswith(f"{model}/") else f"{model}/{name}"
        lists = self._link.many(("LRANGE", keys.evidence(shard, full), 0, -1) for shard in self._shards)
        return [sample for row in zip_longest(*lists) for sample in row if sample is not None]

    def write_views(self, model: str, views: Mapping[str, Mapping[str, str]], ttl_s: int) -> None:
        """See `monitor.ports.EvaluatorStore.write_views`."""

        def commands() -> Iterator[tuple[Any, ...]]:
            for name, fields in views.items():
                if fields:
                    yield ("HSET", keys.view(model, name), *chain.from_iterable(fields.items()))
                    yield ("EXPIRE", keys.view(model, name), ttl_s)

        self._link.many(commands())

    @understood("an outbox")
    def outbox_dropped(self, models: Sequence[str]) -> int:
        """Records that ever fell beyond the bound of an outbox, of all shards and `models`."""
        slots = [*map(keys.shard_slot, self._shards), *map(keys.evaluator_slot, models)]
        return sum(
            int(count or 0) for count in self._link.many(("GET", keys.outbox_dropped(slot)) for slot in slots)
        )

    @understood("an outbox")
    def letters(self) -> list[bytes]:
        """Dead letters that wait to be published."""
        found: list[bytes] = []
        for shard in self._shards:
            name, after = keys.outbox(keys.shard_slot(shard)), "-"
            while entries := self._link.call("XRANGE", name, after, "+", "COUNT", _CHUNK):
                found += [fields[b"value"] for _, fields in entries]
                after = f"({entries[-1][0].decode()}"
        return found

    @understood("what a worker says of itself")
    def own_health(self, models: Sequence[str]) -> OwnHealth:
        """What workers say of themselves, what was lost, and what waits to be published."""
        named = {f"alerts of {model}": keys.evaluator_slot(model) for model in models}
        letters = [keys.shard_slot(shard) for shard in self._shards]
        slots = [*named.values(), *letters]
        asked = (
            call
            for slot in slots
            for call in (
                ("XLEN", keys.outbox(slot)),
                ("XRANGE", keys.outbox(slot), "-", "+", "COUNT", 1),
                ("GET", keys.outbox_dropped(slot)),
            )
        )
        workers, lost, *found = self._link.many([("HGETALL", keys.WORKERS), ("HGETALL", keys.LOST), *asked])
        now_ms = self.now_ms()
        each = [_outbox(found[3 * row : 3 * row + 3], now_ms) for row in range(len(slots))]
        outboxes = dict(zip(named, each, strict=False))
        rest = each[len(named) :]
        outboxes["dead letters"] = Outbox(
            sum(outbox.waiting for outbox in rest),
            max(outbox.oldest_s for outbox in rest),
            sum(outbox.dropped for outbox in rest),
        )
        return OwnHealth(now_ms, _reports(workers, now_ms), dict(map(_lost, lost.items())), outboxes)

    @understood("the time of an evaluation")
    def evaluated_s(self, models: Sequence[str]) -> dict[str, float | None]:
        """Model → seconds since its evaluator finished a look; None where none does."""
        found = self._link.many(("HGET", keys.view(model, EVALUATOR_VIEW), LOOKED_FIELD) for model in models)
        now_ms = self.now_ms()
        return {
            model: None if at_ms is None else max(0.0, (now_ms - int(at_ms)) / 1000)
            for model, at_ms in zip(models, found, strict=True)
        }

    @understood("how far an evaluation is")
    def skipped(self, models: Sequence[str]) -> dict[str, int]:
        """Model → buckets that had expired before they could be judged."""
        found = self._link.many(("HGET", keys.view(model, EVALUATOR_VIEW), SKIPPED_FIELD) for model in models)
        return {model: int(count or 0) for model, count in zip(models, found, strict=True)}

    @understood("a view")
    def view(self, model: str, name: str) -> dict[str, str]:
        """A hash for people, empty where there is none."""
        found: dict[bytes, bytes] = self._link.call("HGETALL", keys.view(model, name))
        return {field.decode(): text.decode() for field, text in found.items()}

    def alive(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._link.call("PING"))
        except StoreUnavailable:
            return False

    def _sums(self, keys_: Sequence[CellKey], size: int, bits: int) -> list[Counts | None]:
        """Arrays of one width and size, merged over shards."""
        totals: list[Counts | None] = [None] * len(keys_)
        for shard in self._shards:
            names = [array(shard, key) for key in keys_]
            values: list[bytes | None] = self._link.call(
                "MGET", *names, *(name + keys.RETRACTED for name in names)
            )
            plain, taken = values[: len(names)], values[len(names) :]
            # A twin without its plain array outlived it by a moment.
            rows = [row for row, value in enumerate(plain) if value is not None]
            _add(totals, rows, _decode([plain[row] for row in rows], size, bits))
            rows = [row for row in rows if taken[row] is not None]
            _add(totals, rows, [-counts for counts in _decode([taken[row] for row in rows], size, bits)])
        return totals


def _rows(data: bytes) -> bytes:
    if len(data) % RANKING_ROW.itemsize:
        raise ValueError(f"{len(data)} bytes")
    return data


@understood("a counter")
def _decode(values: Sequence[bytes | None], size: int, bits: int) -> list[Counts]:
    """Arrays as Redis holds them, big-endian and only as long as their last touched cell."""
    kind = ">u4" if bits == 32 else ">i8"
    if size == 0:
        found = [np.frombuffer(_whole(value or b"", bits), kind).astype(np.int64) for value in values]
        return [_counted(counts) for counts in found]
    width = size * bits // 8
    joined = b"".join((value or b"").ljust(width, b"\0") for value in values)
    return list(_counted(np.frombuffer(joined, kind).astype(np.int64).reshape(len(values), size)))


def _counted(counts: Counts) -> Counts:
    if counts.min(initial=0) < 0:
        raise ValueError("less than nothing was counted")
    return counts


def _whole(value: bytes, bits: int) -> bytes:
    cell = bits // 8
    return value.ljust(-(-len(value) // cell) * cell, b"\0")


def _add(totals: list[Counts | None], rows: Sequence[int], parts: Sequence[Counts]) -> None:
    for row, part in zip(rows, parts, strict=True):
        total = totals[row]
        if total is None:
            totals[row] = part
        elif len(total) == len(part):
            totals[row] = total + part
        else:
            longer, shorter = (total, part) if len(total) > len(part) else (part, total)
            merged = longer.copy()
            merged[: len(shorter)] += shorter
            totals[row] = merged


def _pair(text: bytes) -> tuple[int, int]:
    first, _, second = text.partition(b":")
    return int(first), int(second)


def _reports(found: Mapping[bytes, bytes], now_ms: int) -> tuple[tuple[WorkerReport, float], ...]:
    reports = []
    for text in found.values():
        said_ms, _, report = text.partition(b":")
        try:
            reports.append(
                (WorkerReport.model_validate_json(report), max(0.0, (now_ms - int(said_ms)) / 1000))
            )
        except ValidationError:
            continue  # of another version
    return tuple(sorted(reports, key=lambda pair: pair[0].worker))


def _lost(item: tuple[bytes, bytes]) -> tuple[tuple[str, int], Lost]:
    topic, _, number = item[0].decode().rpartition("-")
    records, _, _, at_ms = item[1].split(b":")
    return (topic, int(number)), Lost(int(records), int(at_ms))


def _outbox(answers: Sequence[Any], now_ms: int) -> Outbox:
    waiting, first, dropped = answers
    oldest_ms = int(first[0][0].partition(b"-")[0]) if first else now_ms
    return Outbox(int(waiting), max(0.0, (now_ms - oldest_ms) / 1000), int(dropped or 0))
