"""The life of alerts: findings come in, transitions go out. Pure.

    (nothing) ── finding ──► open ── recovery ──► resolved ── again within the cool-down ──► open, same life
                             │ a notice becomes a page when what explained it is over and it is not
    (nothing) ── standing gap ──► acknowledged

The identity of an alert is a hash of model, kind and subject; a life has an id of its own. Every transition
carries (lease epoch, sequence). The present state of all alerts is published again under a new lease and
every ten minutes, so that a late record of a former evaluator does not stay the truth on a compacted topic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from monitor.core.detectors.finding import Finding
from monitor.core.detectors.grouping import Standing, cause_of
from monitor.core.records import Alert, AlertKind, AlertState, Severity

_ORDER: Final = {kind: place for place, kind in enumerate((
    AlertKind.RECORDS_LOST, AlertKind.MONITOR_BLIND,
    AlertKind.STALLED_PARTITION, AlertKind.MISSING_TRAFFIC, AlertKind.SCALE_SHIFT, AlertKind.VIOLATION_RATE,
    AlertKind.GIBBERISH, AlertKind.DRIFT, AlertKind.IGNORED_SLICE, AlertKind.GAP_CHANGE,
    AlertKind.DEGRADATION, AlertKind.CALIBRATION, AlertKind.STANDING_GAP, AlertKind.COUNTERFACTUAL,
    AlertKind.SHARP_EDGE, AlertKind.INTERACTION, AlertKind.ROBUSTNESS_CHANGE, AlertKind.ROBUSTNESS_GAP,
    AlertKind.TYPE_CONVERSION,
))}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """Limits of the lifecycle, seconds of event time unless said otherwise.

    Attributes:
        cooldown_s: a relapse within it continues the life of the alert.
        escalate_s: a consequence that outlives its cause by this pages on its own.
        republish_s: present state is published again, wall clock.
        refresh_s: figures of a standing alert are brought up to date for readers, wall clock.
        open_max: alerts standing at once; further ones are counted.
        resolved_max: resolved alerts remembered.
    """

    cooldown_s: float = 600.0
    escalate_s: float = 60.0
    republish_s: float = 600.0
    refresh_s: float = 5.0
    open_max: int = 200
    resolved_max: int = 200


@dataclass(frozen=True)
class AlertBook:
    """All alerts of a model.

    Attributes:
        alerts: identity → present form.
        sequence: of the last transition.
        lease_epoch: under which it was written.
        published_ms: when the present state was last published as a whole, wall clock.
        refreshed_ms: when figures were last brought up to date, wall clock.
        beyond: findings that found no place below `open_max` in the last step.
    """

    alerts: Mapping[str, Alert] = field(default_factory=dict)
    sequence: int = 0
    lease_epoch: int = 0
    published_ms: int = 0
    refreshed_ms: int = 0
    beyond: int = 0


@dataclass(frozen=True)
class Moment:
    """Who writes, and when: lease epoch, the store's clock (epoch ms), and the length of a bucket."""

    model: str
    lease_epoch: int
    now_ms: int
    bucket_ms: int


@dataclass(frozen=True)
class Step:
    """What a step of the lifecycle changed.

    Attributes:
        book: after it.
        transitions: to be published, in order.
        changed: identities whose present form is new, transitions among them.
        samples: identity → name of the evidence list, for alerts that just opened.
    """

    book: AlertBook
    transitions: tuple[Alert, ...]
    changed: frozenset[str]
    samples: Mapping[str, str]


def identity_of(model: str, kind: str, subject: Mapping[str, Any]) -> str:
    """Hash of what failed: 32 hexadecimal digits.

    >>> identity_of("income", "missing_traffic", {})
    'b2ef4caaac56ea02d27be1fda8e1372a'
    """
    text = json.dumps([model, kind, subject], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def apply(policy: AlertPolicy, book: AlertBook, findings: Sequence[Finding], moment: Moment) -> Step:
    """Take what detectors say now.

    Args:
        policy: limits.
        book: before.
        findings: of this step; a detector repeats a finding at every step while it holds.
        moment: who writes, and when.
    """
    hand = _Hand(policy, book, moment)
    for finding in sorted(findings, key=_precedence):
        hand.take(finding)
    hand.republish()
    return hand.result()


def retire(book: AlertBook, kinds: Collection[AlertKind], moment: Moment) -> Step:
    """Resolve every alert of some kinds: what they were measured against is no more."""
    hand = _Hand(AlertPolicy(), book, moment)
    for identity, alert in book.alerts.items():
        if alert.kind in kinds and alert.state is not AlertState.RESOLVED:
            hand.write(identity, alert, state=AlertState.RESOLVED, resolved_at=_time(moment.now_ms))
    return hand.result()


def with_evidence(step: Step, found: Mapping[str, Mapping[str, Any]]) -> Step:
    """The same step with what samples of records add (by identity) to the alerts that just opened."""

    def shown(alert: Alert) -> Alert:
        return alert.model_copy(update=dict(found[alert.identity]))

    alerts = {k: shown(a) if k in found else a for k, a in step.book.alerts.items()}
    transitions = tuple(shown(a) if a.identity in found else a for a in step.transitions)
    return replace(step, book=replace(step.book, alerts=alerts), transitions=transitions)


class _Hand:
    """Writes one step."""

    def __init__(self, policy: AlertPolicy, book: AlertBook, moment: Moment) -> None:
        self._policy = policy
        self._book = book
        self._moment = moment
        self._alerts = dict(book.alerts)
        self._sequence = book.sequence
        self._transitions: list[Alert] = []
        self._changed: set[str] = set()
        self._samples: dict[str, str] = {}
        self._beyond = 0
        since_ms = moment.now_ms - book.refreshed_ms
        # 0: an earlier part of this step; below it, the clock was ahead.
        self._refresh = not 0 < since_ms < policy.refresh_s * 1000

    def take(self, finding: Finding) -> None:
        identity = identity_of(self._moment.model, finding.kind, finding.subject)
        alert = self._alerts.get(identity)
        if alert is not None and alert.state is AlertState.ACKNOWLEDGED:
            return
        if alert is not None and alert.state is AlertState.OPEN:
            self._go_on(identity, alert, finding)
        elif finding.holds:
            self._open(identity, alert, finding)

    def write(self, identity: str, alert: Alert, **changes: Any) -> None:
        """Record a transition."""
        self._sequence += 1
        changes |= {
            "lease_epoch": self._moment.lease_epoch,
            "sequence": self._sequence,
            "published_at": _time(self._moment.now_ms),
        }
        self._alerts[identity] = alert.model_copy(update=changes)
        self._transitions.append(self._alerts[identity])
        self._changed.add(identity)

    def republish(self) -> None:
        """Say the present state of everything again, where it is due."""
        book, now_ms = self._book, self._moment.now_ms
        due = not 0 <= now_ms - book.published_ms < self._policy.republish_s * 1000
        if not (due or book.lease_epoch != self._moment.lease_epoch):
            return
        said = {alert.identity for alert in self._transitions}
        for identity, alert in list(self._alerts.items()):
            if identity not in said:
                self.write(identity, alert)
        self._book = replace(book, published_ms=now_ms)

    def result(self) -> Step:
        resolved = [k for k, alert in self._alerts.items() if alert.state is AlertState.RESOLVED]
        resolved.sort(key=lambda k: self._alerts[k].sequence)
        for identity in resolved[: max(0, len(resolved) - self._policy.resolved_max)]:
            del self._alerts[identity]
        book = replace(
            self._book,
            alerts=self._alerts,
            sequence=self._sequence,
            lease_epoch=self._moment.lease_epoch,
            refreshed_ms=self._moment.now_ms if self._refresh else self._book.refreshed_ms,
            beyond=self._beyond,
        )
        changed = frozenset(self._changed & self._alerts.keys())
        return Step(book, tuple(self._transitions), changed, self._samples)

    def _open(self, identity: str, before: Alert | None, finding: Finding) -> None:
        standing = sum(alert.state is not AlertState.RESOLVED for alert in self._alerts.values())
        if standing >= self._policy.open_max:
            self._beyond += 1
            return
        cause = cause_of(finding, self._standing_apart_from(identity), self._moment.bucket_ms)
        fresh = _alert(identity, finding, self._moment, cause)
        if before is not None and self._in_cooldown(before, finding):
            note = "came back after it had been resolved"
            fresh = fresh.model_copy(
                update={
                    "alert_id": before.alert_id,
                    "began_at": before.began_at,
                    "opened_at": before.opened_at,
                    "notes": list(dict.fromkeys([*fresh.notes, note])),
                }
            )
        self.write(identity, fresh)
        if finding.samples:
            self._samples[identity] = finding.samples

    def _go_on(self, identity: str, alert: Alert, finding: Finding) -> None:
        figures = _figures(finding)
        if not finding.holds:
            self.write(
                identity, alert, **figures, state=AlertState.RESOLVED, resolved_at=_time(finding.at_ms)
            )
        elif self._escalates(alert, finding):
            note = "outlived what seemed to explain it" if alert.consequence_of else "grew"
            notes = list(dict.fromkeys([*alert.notes, note]))
            self.write(identity, alert, **figures, severity=Severity.PAGE, consequence_of=None, notes=notes)
        elif self._refresh:
            self._alerts[identity] = alert.model_copy(update=figures)
            self._changed.add(identity)

    def _escalates(self, alert: Alert, finding: Finding) -> bool:
        if alert.severity is Severity.PAGE or finding.severity is Severity.NOTICE:
            return False
        if alert.consequence_of is None:
            return True
        cause = self._alerts.get(alert.consequence_of)
        if cause is None or cause.state is AlertState.RESOLVED:
            ended_ms = _ms(cause.resolved_at) if cause is not None and cause.resolved_at else 0
            return finding.at_ms >= ended_ms + self._policy.escalate_s * 1000
        return False

    def _in_cooldown(self, before: Alert, finding: Finding) -> bool:
        ended_ms = _ms(before.resolved_at) if before.resolved_at else 0
        return finding.at_ms - ended_ms < self._policy.cooldown_s * 1000

    def _standing_apart_from(self, identity: str) -> list[Standing]:
        """Without the alert itself and what it once explained: what comes back is not its own cause."""
        alerts = sorted(self._alerts.values(), key=lambda alert: (alert.opened_at, alert.sequence))
        return [_standing(alert) for alert in alerts if identity not in self._explained_by(alert)]

    def _explained_by(self, alert: Alert) -> set[str]:
        """Identities from an alert up to the root of what explains it, its own among them."""
        found: set[str] = set()
        above: str | None = alert.identity
        while above is not None and above not in found:
            found.add(above)
            cause = self._alerts.get(above)
            above = cause.consequence_of if cause is not None else None
        return found


def _standing(alert: Alert) -> Standing:
    return Standing(
        identity=alert.identity,
        root=alert.consequence_of or alert.identity,
        kind=alert.kind,
        subject=alert.subject,
        began_ms=_ms(alert.began_at),
        ended_ms=_ms(alert.resolved_at) if alert.resolved_at else None,
        effect=alert.effect,
        excess=alert.excess or 0.0,
        side=str(alert.values.get("side", "")),
    )


def _alert(identity: str, finding: Finding, moment: Moment, cause: str | None) -> Alert:
    life = hashlib.sha256(f"{identity}/{finding.at_ms}".encode()).hexdigest()[:16]
    return Alert(
        identity=identity,
        alert_id=life,
        lease_epoch=moment.lease_epoch,
        sequence=0,
        state=AlertState.ACKNOWLEDGED if finding.acknowledged else AlertState.OPEN,
        severity=Severity.NOTICE if cause else finding.severity,
        model=moment.model,
        kind=finding.kind,
        subject=dict(finding.subject),
        advice=finding.advice,
        began_at=_time(finding.began_ms),
        opened_at=_time(finding.at_ms),
        published_at=_time(moment.now_ms),
        effect_unit=finding.effect_unit,
        consequence_of=cause,
        notes=list(finding.notes),
        **_figures(finding),
    )


def _figures(finding: Finding) -> dict[str, Any]:
    """What changes while an alert stands."""
    return {
        "summary": finding.summary,
        "log_evidence": _finite(finding.log_evidence),
        "log_threshold": _finite(finding.log_threshold),
        "effect": _finite(finding.effect),
        "rows": finding.rows,
        "excess": None if finding.excess is None else _finite(finding.excess),
        "values": dict(finding.values),
    }


def _finite(value: float) -> float:
    """JSON has no infinity: an alert that said so could not be read back. What is no number is nothing."""
    return float(np.nan_to_num(value))


def _precedence(finding: Finding) -> tuple[int, int, float]:
    """What is more likely the cause comes first."""
    parts = len(finding.subject.get("slice", ()))
    strength = finding.effect if finding.kind is AlertKind.VIOLATION_RATE else finding.log_evidence
    return _ORDER[finding.kind], parts, -strength


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def encoded(alerts: Iterable[Alert]) -> list[tuple[bytes, bytes]]:
    """Keys and values for the alerts topic."""
    return [(alert.identity.encode(), alert.model_dump_json().encode()) for alert in alerts]
