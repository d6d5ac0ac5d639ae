"""Partitions that stand still with records waiting."""

from monitor.core.detectors import stalled_partition
from monitor.core.detectors.stalled_partition import StalledPartition, StallState
from monitor.core.event_time import PartitionView


def test_a_minute_without_progress_is_told_and_progress_ends_it() -> None:
    state, said = StallState(), []
    for second in range(0, 100, 10):
        offset = 5 if second < 90 else 6
        part = PartitionView("predictions", 2, offset, 1_000, False, 40.0)
        state, findings = stalled_partition.step(StalledPartition(), state, [part], second * 1000)
        said += [(second, finding.holds) for finding in findings]
    assert said == [(60, True), (70, True), (80, True), (90, False)]
    assert findings[0].subject == {"topic": "predictions", "partition": 2}


def test_a_caught_up_partition_may_stand_for_ever() -> None:
    part = PartitionView("predictions", 2, 5, 1_000, True, 0.5)
    state = StallState()
    for second in range(0, 1_000, 100):
        state, findings = stalled_partition.step(StalledPartition(), state, [part], second * 1000)
        assert not findings
