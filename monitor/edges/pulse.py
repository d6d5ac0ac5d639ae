"""What a worker says of itself, put together every second from what its parts count."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from monitor.core.own_health import RECENT_S, WorkerReport
from monitor.edges.flush_times import FlushTimes
from monitor.edges.ingest import Progress
from monitor.ports import Clock, Partition


class Pulse:
    """Takes a worker's pulse.

    Args:
        worker: its name.
        progress: what its ingest counts.
        flushes: how long its flushes take.
        clock: measures.
    """

    def __init__(self, worker: str, progress: Progress, flushes: FlushTimes, clock: Clock) -> None:
        self._worker = worker
        self._progress = progress
        self._flushes = flushes
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._standing: dict[Partition, tuple[int, float]] = {}
        self._marks: deque[tuple[float, dict[str, int], dict[str, int]]] = deque()

    def take(
        self,
        standing: Mapping[Partition, tuple[int, int]],
        unplaced: Collection[Partition],
        *,
        joined: bool,
        brokers_silent_s: float,
        looked_s: float | None,
        probe_rows: Mapping[str, int] | None = None,
    ) -> WorkerReport:
        """A report.

        Args:
            standing: of each partition read, (next offset, end).
            unplaced: partitions given to this worker that are not read yet.
            joined: the group gave this worker its part.
            brokers_silent_s: for how long they have not answered about some partition.
            looked_s: when its evaluator last finished a look, on the clock; None before the first.
            probe_rows: model → rows its prober asked.
        """
        now_s = self._clock.monotonic_s()
        progress = self._progress
        ages_s = self._ages_s(standing, unplaced, now_s)
        median, high = self._flushes.quantiles_ms()
        reasons: dict[str, int] = {}
        for (_, reason), count in progress.rejected.items():
            reasons[reason] = reasons.get(reason, 0) + count
        return WorkerReport(
            worker=self._worker,
            up_s=round(now_s - self._began_s, 1),
            joined=joined,
            partitions=len(standing),
            records=progress.records,
            rejected=reasons,
            lag=sum(end - position for position, end in standing.values()),
            fence_age_s=round(max(ages_s, default=0.0), 1),
            brokers_silent_s=round(brokers_silent_s, 1),
            flushes=progress.flushes,
            flush_ms_p50=None if median is None else round(median, 2),
            flush_ms_p99=None if high is None else round(high, 2),
            rewinds=progress.rewinds,
            conflicts=progress.conflicts,
            retries=progress.retries,
            recent=self._recent(now_s),
            evaluator_age_s=None if looked_s is None else round(now_s - looked_s, 1),
            probe_rows=dict(probe_rows or {}),
        )

    def _ages_s(
        self, standing: Mapping[Partition, tuple[int, int]], unplaced: Collection[Partition], now_s: float
    ) -> list[float]:
        """Seconds that each partition with records to read, or not read yet, has stood still."""
        moved = {partition: self._standing.get(partition, (-1, now_s)) for partition in unplaced}
        for partition, (position, end) in standing.items():
            before, since_s = self._standing.get(partition, (-1, now_s))
            moved[partition] = (position, now_s if position != before or position >= end else since_s)
        self._standing = moved
        return [now_s - since_s for _, since_s in moved.values()]

    def _recent(self, now_s: float) -> dict[str, tuple[int, int]]:
        """Topic → records and rejects since the oldest mark that is still recent."""
        read = dict(self._progress.read)
        rejected: dict[str, int] = {}
        for (topic, _), count in self._progress.rejected.items():
            rejected[topic] = rejected.get(topic, 0) + count
        if not self._marks:
            self._marks.append((now_s, {}, {}))
        while len(self._marks) > 1 and now_s - self._marks[0][0] > RECENT_S:
            self._marks.popleft()
        _, read_then, rejected_then = self._marks[0]
        self._marks.append((now_s, read, rejected))
        return {
            topic: (count - read_then.get(topic, 0), rejected.get(topic, 0) - rejected_then.get(topic, 0))
            for topic, count in read.items()
        }
