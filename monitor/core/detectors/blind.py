"""The monitor itself cannot see, or is not heard: then no news is not good news, and that is an alert.

Judged by what workers and outboxes say (`monitor.core.own_health`), on the wall clock; there is nothing to
test, so there is no evidence. A partition that nobody reads has a detector of its own (`stalled_partition`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.core import own_health
from monitor.core.detectors.finding import EffectUnit, Finding
from monitor.core.own_health import Blindness, Lost, OwnHealth
from monitor.core.records import AlertKind, Severity


@dataclass(frozen=True)
class Blind:
    """Configuration: a loss is over when nothing more was lost for so long, wall-clock seconds."""

    quiet_s: float = 3_600.0

    name = AlertKind.MONITOR_BLIND


@dataclass(frozen=True)
class BlindState:
    """What is being reported.

    Attributes:
        unreadable: topic → since when, epoch ms.
        unpublished: outbox → since when.
        dropped: outbox → (records that ever fell, when that last grew).
        lost: `TOPIC-N` → records lost ever, as last reported.
    """

    unreadable: Mapping[str, int] = field(default_factory=dict)
    unpublished: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)


def step(config: Blind, state: BlindState, own: OwnHealth) -> tuple[BlindState, list[Finding]]:
    """Look at everything the monitor knows about itself."""
    findings: list[Finding] = []
    return (
        BlindState(
            _unreadable(state, own, findings),
            _unpublished(state, own, findings),
            _dropped(config, state, own, findings),
            _lost(config, state, own, findings),
        ),
        findings,
    )


def _unreadable(state: BlindState, own: OwnHealth, findings: list[Finding]) -> dict[str, int]:
    bad = own_health.unreadable(own, frozenset(state.unreadable))
    recent = own.recent
    since: dict[str, int] = {}
    for topic in {**state.unreadable, **bad}:
        began_ms = state.unreadable.get(topic, own.now_ms)
        # Without a worker to ask nothing is known to be better.
        holds = topic in bad or topic not in recent
        records, rejected = recent.get(topic, (0, 0))
        if holds:
            since[topic] = began_ms
        findings.append(_finding(
            AlertKind.MONITOR_BLIND, {"cause": Blindness.UNREADABLE.value, "topic": topic}, own, began_ms,
            rejected / records if records else 0.0, "rate", rejected,
            own_health.unreadable_text(topic, records, rejected), own_health.READ_ADVICE, holds=holds,
        ))  # fmt: skip
    return since


def _unpublished(state: BlindState, own: OwnHealth, findings: list[Finding]) -> dict[str, int]:
    since: dict[str, int] = {}
    for name, outbox in own.outboxes.items():
        holds = outbox.waiting > 0 and outbox.oldest_s >= own_health.UNPUBLISHED_S
        if not holds and name not in state.unpublished:
            continue
        began_ms = state.unpublished.get(name, own.now_ms - round(1000 * outbox.oldest_s))
        if holds:
            since[name] = began_ms
        findings.append(_finding(
            AlertKind.MONITOR_BLIND, {"cause": Blindness.UNPUBLISHED.value, "outbox": name}, own, began_ms,
            outbox.oldest_s, "seconds", outbox.waiting,
            own_health.unpublished_text(name, outbox), own_health.PUBLISH_ADVICE, holds=holds,
        ))  # fmt: skip
    return since


def _dropped(
    config: Blind, state: BlindState, own: OwnHealth, findings: list[Finding]
) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for name, outbox in own.outboxes.items():
        if not outbox.dropped:
            continue
        count, at_ms = state.dropped.get(name, (0, 0))
        grew = outbox.dropped > count
        found[name] = (outbox.dropped, own.now_ms if grew else at_ms)
        was = at_ms > 0
        holds = own.now_ms - found[name][1] < 1000 * config.quiet_s
        if holds or was:
            findings.append(_finding(
                AlertKind.MONITOR_BLIND, {"cause": Blindness.DROPPED.value, "outbox": name}, own,
                found[name][1], float(outbox.dropped), "records", outbox.dropped,
                f"{outbox.dropped:,} {name} were never published: more of them waited than an outbox holds",
                own_health.PUBLISH_ADVICE, holds=holds,
            ))  # fmt: skip
        if not holds:
            found[name] = (outbox.dropped, 0)
    return found


def _lost(config: Blind, state: BlindState, own: OwnHealth, findings: list[Finding]) -> dict[str, int]:
    reported: dict[str, int] = {}
    for (topic, number), lost in own.lost.items():
        name = f"{topic}-{number}"
        holds = own.now_ms - lost.at_ms < 1000 * config.quiet_s
        if not holds and name not in state.lost:
            continue
        if holds:
            reported[name] = lost.records
        findings.append(_loss(topic, number, lost, own, holds=holds))
    return reported


def _loss(topic: str, number: int, lost: Lost, own: OwnHealth, *, holds: bool) -> Finding:
    return _finding(
        AlertKind.RECORDS_LOST, {"topic": topic, "partition": number}, own, lost.at_ms,
        float(lost.records), "records", lost.records,
        own_health.lost_text(topic, number, lost), own_health.LOST_ADVICE, holds=holds,
    )  # fmt: skip


def _finding(
    kind: AlertKind,
    subject: Mapping[str, Any],
    own: OwnHealth,
    began_ms: int,
    effect: float,
    unit: EffectUnit,
    rows: int,
    summary: str,
    advice: str,
    *,
    holds: bool,
) -> Finding:
    return Finding(
        kind=kind,
        subject=subject,
        holds=holds,
        severity=Severity.PAGE,
        log_evidence=0.0,
        log_threshold=0.0,
        effect=effect,
        effect_unit=unit,
        rows=rows,
        excess=None,
        began_ms=began_ms,
        at_ms=own.now_ms,
        summary=summary,
        advice=advice,
    )
