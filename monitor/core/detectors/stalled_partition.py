"""A partition has records to read and nobody gets on with it: no bucket can close behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.core.detectors.finding import Finding
from monitor.core.event_time import PartitionView
from monitor.core.records import AlertKind, Severity


@dataclass(frozen=True)
class StalledPartition:
    """Configuration: how long a partition may stand still with records waiting, wall-clock seconds."""

    stall_s: float = 60.0

    name = AlertKind.STALLED_PARTITION


@dataclass(frozen=True)
class StallState:
    """Partition → (offset, wall-clock ms since when it stands there), and which are being reported."""

    since: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reported: frozenset[str] = frozenset()


def step(
    config: StalledPartition, state: StallState, partitions: Sequence[PartitionView], now_ms: int
) -> tuple[StallState, list[Finding]]:
    """Look at all partitions."""
    since: dict[str, tuple[int, int]] = {}
    reported: set[str] = set()
    findings = []
    for partition in partitions:
        name = f"{partition.topic}-{partition.number}"
        offset, began_ms = state.since.get(name, (partition.offset, now_ms))
        moved = partition.caught_up or offset != partition.offset
        since[name] = (partition.offset, now_ms if moved else min(began_ms, now_ms))
        stood_s = (now_ms - since[name][1]) / 1000
        stalled = stood_s >= config.stall_s
        if stalled:
            reported.add(name)
        if stalled or name in state.reported:
            findings.append(_finding(config, partition, stood_s, since[name][1], now_ms, holds=stalled))
    return StallState(since, frozenset(reported)), findings


def _finding(
    config: StalledPartition,
    partition: PartitionView,
    stood_s: float,
    since_ms: int,
    now_ms: int,
    *,
    holds: bool,
) -> Finding:
    return Finding(
        kind=AlertKind.STALLED_PARTITION,
        subject={"topic": partition.topic, "partition": partition.number},
        holds=holds,
        severity=Severity.PAGE,
        log_evidence=0.0,
        log_threshold=0.0,
        effect=stood_s,
        effect_unit="seconds",
        rows=0,
        excess=None,
        began_ms=since_ms,
        at_ms=now_ms,
        summary=f"partition {partition.number} of {partition.topic} has stood at offset {partition.offset} "
        f"for {stood_s:.0f} s, not known to be read to its end: no metric or alert can get past it",
        advice="See whether the brokers answer and a worker owns the partition, and its log; whether a "
        "producer holds a transaction open.",
        values={"offset": partition.offset, "stall_s": config.stall_s},
    )
