"""Which of two alerts about the same rows is to come first: a gap before what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from monitor.core.detectors.finding import SliceName
from monitor.core.evidence.edetector import Floats, Tracker


class Contested(Protocol):
    """A test of a slice against the rest."""

    @property
    def slice_id(self) -> int:
        """Whose rows."""
        ...

    @property
    def tested(self) -> tuple[object, ...]:
        """What is compared, and which side of it."""
        ...


def near(tracker: Tracker, log_threshold: Floats) -> bool:
    """Whether some stream is on its way: three tenths of its threshold, and no alert yet."""
    climbing = (tracker.log_evidence >= 0.3 * log_threshold) & ~tracker.open
    return bool(climbing.any())


def held_back(
    streams: Sequence[Contested],
    tracker: Tracker,
    names: Mapping[int, SliceName],
    row: int,
    log_threshold: Floats,
) -> bool:
    """A crossing waits while the single feature behind it is about to alarm, unless its own case is plain."""
    stream, evidence = streams[row], tracker.log_evidence
    if stream.slice_id not in names or evidence[row] >= 2 * log_threshold[row]:
        return False
    parts = names[stream.slice_id].parts.items()
    return any(
        other.tested == stream.tested
        and not tracker.open[at]
        and log_threshold[at] / 2 <= evidence[at] < log_threshold[at]
        and other.slice_id in names
        and names[other.slice_id].parts.items() < parts
        for at, other in enumerate(streams)
    )
