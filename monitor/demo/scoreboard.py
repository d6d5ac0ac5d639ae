"""Who gets credit: alerts against the timeline, pure.

The rules:

- A fault is credited to the first alert seen that has a kind and a subject declared for it and that opened on
  a bucket of event time in which the fault was acting, or at most `GRACE_S` later. An alert that was open
  before the fault began earns nothing.
- Further alerts with a declared kind and subject, in that time, belong to the fault.
- Any other alert that would wake somebody (severity `page`) is false, unless it names, through
  `consequence_of` and however many steps, an alert that belongs to a fault, and opened no earlier than the
  fault began.
- Notices are counted apart: they are reported once and wake nobody.

The delay is what a person waits: from the fault's first second until the alert was read from its topic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.records import Alert, AlertKind, AlertState, Severity
from monitor.demo.faults import Fault, Timeline

GRACE_S: Final = 2.0
"""Evidence of a fault's last second may raise the alert on one of the next buckets."""


@dataclass(frozen=True)
class Sighting:
    """One life of an alert, as the reader of the alerts topic knows it.

    Attributes:
        alert: its latest transition.
        opened_s: event time of the bucket that raised it, seconds since the first request.
        seen_s: when its first transition was read, seconds since the first request.
        resolved_s: when it was read that it is over, likewise; None while it stands.
    """

    alert: Alert
    opened_s: float
    seen_s: float
    resolved_s: float | None = None


@dataclass(frozen=True)
class Credit:
    """One fault and the alert that caught it, if any.

    `roots` are its alerts that page and follow from no other.
    """

    fault: Fault
    caught_by: Sighting | None
    roots: tuple[Sighting, ...] = ()

    @property
    def delay_s(self) -> float | None:
        """From the fault's first second until the alert was read; None while it is not caught."""
        return None if self.caught_by is None else self.caught_by.seen_s - self.fault.began_s

    @property
    def resolved_s(self) -> float | None:
        """From the fault's end until the last of its roots was read to be over; None while one stands."""
        ends = [root.resolved_s for root in self.roots]
        known = [end_s for end_s in ends if end_s is not None]
        return max(known) - self.fault.ended_s if ends and len(known) == len(ends) else None


@dataclass(frozen=True)
class Verdict:
    """What became of every fault and of every alert.

    Attributes:
        credits: one per fault, in the order of the timeline.
        consequences: linked to an alert that belongs to a fault.
        false_alarms: neither declared for a fault nor linked to one that is.
        notices: reported once, waking nobody.
    """

    credits: tuple[Credit, ...]
    consequences: tuple[Sighting, ...]
    false_alarms: tuple[Sighting, ...]
    notices: tuple[Sighting, ...]

    @property
    def detected(self) -> int:
        """Faults that were caught."""
        return sum(credit.caught_by is not None for credit in self.credits)


class Sightings:
    """Keeps the lives of alerts in the order in which they were first read.

    Args:
        start_ms: time of the first request, epoch ms.
    """

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._lives: dict[str, Sighting] = {}

    def see(self, alert: Alert, seen_s: float) -> Sighting:
        """Take in a transition read at `seen_s`, seconds since the first request."""
        before = self._lives.get(alert.alert_id)
        opened_s = alert.opened_at.timestamp() - self._start_ms / 1000
        over = alert.state is AlertState.RESOLVED
        life = (
            Sighting(alert, opened_s, seen_s, seen_s if over else None)
            if before is None
            else Sighting(
                alert, before.opened_s, before.seen_s, (before.resolved_s or seen_s) if over else None
            )
        )
        self._lives[alert.alert_id] = life
        return life

    def __iter__(self) -> Iterator[Sighting]:
        return iter(tuple(self._lives.values()))

    def __len__(self) -> int:
        return len(self._lives)


def belongs(sighting: Sighting, fault: Fault) -> bool:
    """The alert names the fault rightly, and opened while it acted or within the grace after it."""
    in_time = (
        fault.began_s <= sighting.opened_s < fault.ended_s + GRACE_S and sighting.seen_s >= fault.began_s
    )
    alert = sighting.alert
    return in_time and any(
        symptom.kind == alert.kind and dict(symptom.subject) == alert.subject for symptom in fault.symptoms
    )


def judge(timeline: Timeline, sightings: Iterable[Sighting]) -> Verdict:
    """Give credit, in whatever order the alerts come.

    Args:
        timeline: what failed when.
        sightings: every life of every alert, once each.
    """
    lives = sorted(sightings, key=lambda life: (life.seen_s, life.alert.alert_id))
    owned: dict[str, list[Sighting]] = {fault.name: [] for fault in timeline.faults}
    others = []
    for life in lives:
        owners = [fault for fault in timeline.faults if belongs(life, fault)]
        for fault in owners:
            owned[fault.name].append(life)
        if not owners:
            others.append(life)
    roots = {life.alert.identity: fault.began_s for fault in timeline.faults for life in owned[fault.name]}
    linked = _consequences(roots, others)
    rest = [life for life in others if life not in linked]
    return Verdict(
        tuple(
            Credit(fault, _telling(owned[fault.name]), _roots(owned[fault.name])) for fault in timeline.faults
        ),
        linked,
        tuple(life for life in rest if life.alert.severity == Severity.PAGE),
        tuple(life for life in rest if life.alert.severity == Severity.NOTICE),
    )


def _telling(owned: Sequence[Sighting]) -> Sighting | None:
    """The first of a fault's alerts, or the one that names the factor where there is one."""
    return min(owned, key=lambda life: life.alert.kind != AlertKind.SCALE_SHIFT, default=None)


def _roots(owned: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """Those that would wake somebody on their own account."""
    return tuple(
        life for life in owned if life.alert.severity == Severity.PAGE and life.alert.consequence_of is None
    )


def _consequences(roots: Mapping[str, float], others: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """Lives that name a root, or another consequence of it, and did not open before its fault began.

    Args:
        roots: identity of an alert that belongs to a fault → when the fault began.
        others: lives that belong to none.
    """
    known = dict(roots)
    found: list[Sighting] = []
    left = list(others)
    while True:
        step = [
            life for life in left if life.opened_s >= known.get(life.alert.consequence_of or "", math.inf)
        ]
        if not step:
            return tuple(sorted(found, key=lambda life: (life.seen_s, life.alert.alert_id)))
        for life in step:
            left.remove(life)
            known.setdefault(life.alert.identity, known[life.alert.consequence_of or ""])
        found += step


def document(timeline: Timeline, verdict: Verdict, *, rate_per_s: float, start_up_s: float) -> dict[str, Any]:
    """The result as one JSON document.

    Args:
        timeline: what failed when.
        verdict: what became of it.
        rate_per_s: requests a second over the whole run.
        start_up_s: from the start of the services to the first request.
    """
    return {
        "faults": [
            {
                "fault": credit.fault.name,
                "title": credit.fault.title,
                "family": str(credit.fault.family),
                "began_s": credit.fault.began_s,
                "ended_s": credit.fault.ended_s,
                "detected": credit.caught_by is not None,
                "delay_s": None if credit.delay_s is None else round(credit.delay_s, 2),
                "root_alerts": len(credit.roots),
                "resolved_s": None if credit.resolved_s is None else round(credit.resolved_s, 2),
                "alert": None if credit.caught_by is None else _brief(credit.caught_by),
            }
            for credit in verdict.credits
        ],
        "false_alarms": len(verdict.false_alarms),
        "clean_s": timeline.clean_s,
        "detected": verdict.detected,
        "rate_per_s": round(rate_per_s, 1),
        "start_up_s": round(start_up_s, 1),
        "false_alarm_alerts": [_brief(life) for life in verdict.false_alarms],
        "consequences": [_brief(life) for life in verdict.consequences],
        "notices": [_brief(life) for life in verdict.notices],
    }


def _brief(life: Sighting) -> Mapping[str, Any]:
    alert = life.alert
    return {
        "kind": str(alert.kind),
        "subject": alert.subject,
        "severity": str(alert.severity),
        "summary": alert.summary,
        "effect": alert.effect,
        "effect_unit": alert.effect_unit,
        "opened_s": round(life.opened_s, 2),
        "seen_s": round(life.seen_s, 2),
        "resolved": alert.state == AlertState.RESOLVED,
        "consequence_of": alert.consequence_of,
    }
