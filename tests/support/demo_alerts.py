"""Alerts as the demo's scoreboard sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.core.records import Alert, AlertKind, AlertState, Severity
from monitor.demo.faults import Fault
from monitor.demo.scoreboard import Sighting

START_MS = 1_800_000_000_000
START = datetime.fromtimestamp(START_MS / 1000, UTC)


def alert(
    kind: str,
    subject: Mapping[str, Any],
    opened_s: float,
    *,
    severity: str = "page",
    consequence_of: str | None = None,
    state: str = "open",
    sequence: int = 1,
) -> Alert:
    name = f"{kind} {json.dumps(subject, sort_keys=True)}"
    return Alert(
        identity=name,
        alert_id=f"{name} at {opened_s}",
        lease_epoch=1,
        sequence=sequence,
        state=AlertState(state),
        severity=Severity(severity),
        model="credit",
        kind=AlertKind(kind),
        subject=dict(subject),
        summary="something failed",
        advice="look",
        began_at=START,
        opened_at=START + timedelta(seconds=opened_s),
        published_at=START + timedelta(seconds=opened_s + 1),
        log_evidence=25.0,
        log_threshold=19.8,
        effect=2.0,
        effect_unit="odds_ratio",
        rows=1_000,
        consequence_of=consequence_of,
    )


def life(
    kind: str, subject: Mapping[str, Any], opened_s: float, seen_s: float | None = None, **more: Any
) -> Sighting:
    return Sighting(
        alert(kind, subject, opened_s, **more), opened_s, opened_s + 1 if seen_s is None else seen_s
    )


def right(fault: Fault, after_s: float = 1.0, seen_after_s: float | None = None, **more: Any) -> Sighting:
    """An alert that names a fault rightly, opened `after_s` into it."""
    symptom = fault.symptoms[0]
    seen_s = None if seen_after_s is None else fault.began_s + seen_after_s
    return life(symptom.kind, symptom.subject, fault.began_s + after_s, seen_s, **more)
