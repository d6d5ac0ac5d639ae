"""The pulse: for how long a partition that is not read to its end has stood still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.edges.flush_times import FlushTimes
from monitor.edges.ingest import Progress
from monitor.edges.pulse import Pulse
from monitor.ports import Partition

PLACE = Partition("predictions", 0)


class Hand:
    """A clock moved by hand."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return int(1000 * self.now_s)

    async def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s


def test_a_partition_stands_still_behind_its_end_or_without_a_place() -> None:
    clock = Hand()
    pulse = Pulse("w", Progress(), FlushTimes(clock), clock)

    def age_s(after_s: float, **ours: Any) -> float:
        clock.now_s += after_s
        standing: Mapping[Partition, tuple[int, int]] = ours.get("standing", {})
        report = pulse.take(
            standing, ours.get("unplaced", ()), joined=True, brokers_silent_s=0.0, looked_s=None
        )
        return report.fence_age_s

    assert age_s(0, unplaced={PLACE}) == 0
    assert age_s(70, unplaced={PLACE}) == 70
    assert age_s(1, standing={PLACE: (5, 9)}) == 0, "it was placed, which is progress"
    assert age_s(10, standing={PLACE: (5, 9)}) == 10
    assert age_s(5, unplaced={PLACE}) == 15, "a rewind alone is none"
    assert age_s(1, standing={PLACE: (5, 9)}) == 16
    assert age_s(1, standing={PLACE: (9, 9)}) == 0
    assert age_s(50, standing={PLACE: (9, 9)}) == 0
    assert age_s(1) == 0
