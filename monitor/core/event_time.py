"""How far event time has got, from what partitions have read: when may a bucket close?

A partition that is being read holds event time at its watermark. One that has read everything and is idle
stands where the clock was when it said so, since nothing older can be waiting in it. And event time
never runs ahead of the records themselves by more than the time that passed since the last of them: a
finished replay of old data does not leap to today, and a live stream that falls silent goes on with the
clock, and never beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

LIVE_LAG_MS: Final = 60_000
"""Records further behind the clock than this are a replay: when they end, event time stands still."""


NOTED_EVERY_MS: Final = 60_000
"""How often it is noted how far the foremost partition has got: less than keys outlive their retention by."""

IDLE_MS: Final = 2_000
"""A caught-up partition whose watermark stood still this long is idle."""


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition as the evaluator sees it; fields as `monitor.ports.PartitionState`."""

    topic: str
    number: int
    offset: int
    watermark_ms: int
    caught_up: bool
    silent_s: float


@dataclass(frozen=True)
class EventClock:
    """When watermarks last moved.

    Attributes:
        moved: (topic, number) → (watermark, wall-clock time at which it got there), epoch ms.
        noted: (wall-clock time, foremost watermark by then), increasing; at most one a minute.
    """

    moved: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    noted: tuple[tuple[int, int], ...] = ()

    def see(self, partitions: Sequence[PartitionView], now_ms: int) -> EventClock:
        """Take in the present watermarks."""
        moved = {}
        for p in partitions:
            watermark_ms, at_ms = self.moved.get((p.topic, p.number), (0, now_ms))
            moved[p.topic, p.number] = (p.watermark_ms, now_ms) if p.watermark_ms > watermark_ms else (
                watermark_ms, min(at_ms, now_ms)  # a clock that was ahead is right again
            )  # fmt: skip
        return EventClock(moved, self.noted)

    def note(self, foremost_ms: int, now_ms: int, keep_ms: int) -> EventClock:
        """Remember how far the foremost partition has got, as long as its buckets are kept.

        One that is ahead of the clock has got as far as the clock: a single record with a time to come says
        nothing of the buckets before it. What was noted by a clock that was ahead is forgotten.

        Args:
            foremost_ms: greatest watermark.
            now_ms: the store's clock, epoch ms.
            keep_ms: retention of buckets.
        """
        foremost_ms = min(foremost_ms, now_ms)
        noted = tuple(note for note in self.noted if max(note) <= now_ms)
        if not noted or (foremost_ms > noted[-1][1] and now_ms - noted[-1][0] >= NOTED_EVERY_MS):
            noted = (*noted, (now_ms, foremost_ms))
        past = sum(at_ms <= now_ms - keep_ms for at_ms, _ in noted)
        return EventClock(self.moved, noted[max(past - 1, 0) :])

    def expired_ms(self, now_ms: int, keep_ms: int) -> int:
        """Event time up to which buckets may have expired already; 0 when none has.

        A bucket lives for its retention from when it was first filled. Where a partition comes so late that
        what others filled is gone, it fills the bucket anew, with its own share alone. A replay fills and
        takes its buckets within minutes, however old their time.

        Args:
            now_ms: the store's clock, epoch ms.
            keep_ms: retention of buckets.
        """
        return max((mark_ms for at_ms, mark_ms in self.noted if at_ms <= now_ms - keep_ms), default=0)

    def reached_ms(self, partitions: Sequence[PartitionView], now_ms: int) -> int:
        """Event time up to which everything has been counted; 0 when nothing is known.

        Args:
            partitions: those that matter, seen before; one that nobody has read yet holds event time at 0.
            now_ms: the store's clock, epoch ms.
        """
        marks = [self.moved[p.topic, p.number] for p in partitions]
        latest_ms, moved_ms = max(marks, default=(0, now_ms))
        if not latest_ms:
            return 0
        live = moved_ms - latest_ms <= LIVE_LAG_MS
        limit_ms = max(latest_ms, min(latest_ms + now_ms - moved_ms, now_ms)) if live else latest_ms
        return min([limit_ms, *(_standing(p, m[1], now_ms) for p, m in zip(partitions, marks, strict=True))])


def _standing(partition: PartitionView, moved_ms: int, now_ms: int) -> int:
    idle = partition.caught_up and now_ms - moved_ms >= IDLE_MS
    said_ms = now_ms - int(partition.silent_s * 1000) if idle else 0
    return max(partition.watermark_ms, said_ms)
