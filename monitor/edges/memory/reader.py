"""The reading side of the store in memory, synchronous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np

from monitor.core.counters import ALL_SLICE, SCALARS, CellKey, Counts
from monitor.core.own_health import BEAT_FRESH_S
from monitor.edges.memory.contents import Contents
from monitor.ports import Fence, Partition, PartitionState


class MemoryReader:
    """Implements `monitor.ports.EvaluatorStore` over a `MemoryStore`."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def read(self, keys: Sequence[CellKey]) -> list[Counts | None]:
        """See `monitor.ports.CounterReader.read`."""
        return [self._merged(key) for key in keys]

    def read_rows(self, keys: Sequence[CellKey]) -> list[bytes | None]:
        """See `monitor.ports.CounterReader.read_rows`."""
        answer: list[bytes | None] = []
        for key in keys:
            arrays = [self._contents.live(shard, key) for shard in self._contents.shards]
            parts = [b"" if array is None else array.rows for array in arrays]
            known = [part for part in parts if part is not None]
            answer.append(b"".join(known) if len(known) == len(parts) else None)
        return answer

    def registry(self, model: str, family: str) -> dict[str, int]:
        """See `monitor.ports.CounterReader.registry`."""
        return dict(self._contents.ids[model, family])

    def worst_cases(self, model: str) -> list[bytes]:
        """See `monitor.ports.CounterReader.worst_cases`."""
        cases = self._contents.cases[model].values()
        return [case.value for case in sorted(cases, key=lambda one: one.rank, reverse=True)]

    def buckets(self, model: str, tier: str) -> tuple[int, int] | None:
        """See `monitor.ports.CounterReader.buckets`."""
        now_ms = self.now_ms()
        found = [
            address[2]
            for shard in self._contents.shards
            for address, array in shard.arrays.items()
            if address[:2] == (SCALARS.name, tier)
            and address[3:] == (model, ALL_SLICE)
            and array.expires_ms > now_ms
        ]
        return (min(found), max(found)) if found else None

    def now_ms(self) -> int:
        """See `monitor.ports.CounterReader.now_ms`."""
        return self._contents.clock.now_ms()

    def lease(self, model: str, owner: str, ttl_ms: int) -> int:
        """See `monitor.ports.EvaluatorStore.lease`."""
        held = self._contents.evaluators[model]
        now_ms = self.now_ms()
        if held.expires_ms > now_ms and held.owner != owner:
            return 0
        if held.expires_ms <= now_ms:
            held.epoch = max(held.epoch + 1, now_ms)
        held.owner, held.expires_ms = owner, now_ms + ttl_ms
        return held.epoch

    def state(self, model: str) -> tuple[bytes, int]:
        """See `monitor.ports.EvaluatorStore.state`."""
        held = self._contents.evaluators[model]
        return held.state, held.sequence

    def commit(
        self,
        model: str,
        lease_epoch: int,
        expected_sequence: int,
        state: bytes,
        outbox: Sequence[tuple[bytes, bytes]],
        alerts: Mapping[str, bytes],
    ) -> bool:
        """See `monitor.ports.EvaluatorStore.commit`; safe to repeat."""
        held = self._contents.evaluators[model]
        if held.epoch != lease_epoch:
            return False
        if held.sequence == expected_sequence + 1 and held.state == state:
            return True
        if held.sequence != expected_sequence:
            return False
        held.state, held.sequence = state, expected_sequence + 1
        held.alerts.update(alerts)
        for key, value in outbox:
            self._contents.queue("alerts", key, value)
        return True

    def alerts(self, model: str) -> dict[str, bytes]:
        """See `monitor.ports.EvaluatorStore.alerts`."""
        return dict(self._contents.evaluators[model].alerts)

    def partitions(self) -> dict[Partition, PartitionState]:
        """See `monitor.ports.EvaluatorStore.partitions`."""
        answer: dict[Partition, PartitionState] = {}
        for partition in sorted(self._contents.registered):
            fences = [shard.fences.get(partition, Fence(-1)) for shard in self._contents.shards]
            position, end, beat_ms = self._contents.beats.get(partition, (0, 0, None))
            silent_s = float("inf") if beat_ms is None else (self.now_ms() - beat_ms) / 1_000
            answer[partition] = PartitionState(
                offset=min(fence.offset for fence in fences),
                watermark_ms=min(fence.watermark_ms for fence in fences),
                caught_up=position >= end and silent_s <= BEAT_FRESH_S,
                silent_s=silent_s,
            )
        return answer

    def evidence(self, model: str, name: str) -> list[bytes]:
        """See `monitor.ports.EvaluatorStore.evidence`; `name` as in the flush, `MODEL/` in front or not."""
        full = name if name.startswith(f"{model}/") else f"{model}/{name}"
        lists = [shard.evidence.get(full, ()) for shard in self._contents.shards]
        return [sample for row in zip_longest(*lists) for sample in row if sample is not None]

    def write_views(self, model: str, views: Mapping[str, Mapping[str, str]], ttl_s: int) -> None:  # noqa: ARG002
        """See `monitor.ports.EvaluatorStore.write_views`; kept until written again."""
        held = self._contents.evaluators[model].views
        held.update({name: dict(fields) for name, fields in views.items()})

    def views(self, model: str) -> dict[str, dict[str, str]]:
        """What `write_views` left."""
        return dict(self._contents.evaluators[model].views)

    def _merged(self, key: CellKey) -> Counts | None:
        arrays = [self._contents.live(shard, key) for shard in self._contents.shards]
        parts = [
            part
            for array in arrays
            if array is not None
            for part in (array.plain, -array.retracted)
        ]  # fmt: skip
        if not parts:
            return None
        total = np.zeros(max(len(part) for part in parts), np.int64)
        for part in parts:
            total[: len(part)] += part
        return total
