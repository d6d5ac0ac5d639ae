"""One root cause, one page: which standing alert explains a new finding.

The rules, in order; each asks that the two overlap in event time:

- a gap of a slice follows from a violation of a feature that decides who is in the slice;
- a gap follows from a violation that began when it did, if the slice's bad rows are at least as many as its
  excess failures;
- one slice, one page: another metric of the same slice follows from the first that was reported;
- a crossing follows from a single feature inside it, and a single feature from a crossing that holds at
  least half of its excess;
- a group that is favoured follows from another group of the same feature that is not;
- a violation follows from another of the same feature, or from one that began in the same bucket at the
  same rate (one join, one serialiser, one renamed field).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.detectors.finding import Finding
from monitor.core.records import AlertKind

_OF_SLICES: Final = frozenset({AlertKind.GAP_CHANGE, AlertKind.IGNORED_SLICE})
_SAME_RATE: Final = 1.15
_TOGETHER_BUCKETS: Final = 3


@dataclass(frozen=True)
class Standing:
    """An alert that stands or ended lately.

    Attributes:
        identity: of the alert.
        root: identity of what explains it, or its own.
        kind: of the alert.
        subject: what failed.
        began_ms: where its evidence begins.
        ended_ms: when it was resolved, None while it stands.
        effect: its size.
        excess: rows failed beyond what is tolerated.
        side: "higher", "lower" or "".
    """

    identity: str
    root: str
    kind: AlertKind
    subject: Mapping[str, Any]
    began_ms: int
    ended_ms: int | None
    effect: float
    excess: float
    side: str


def cause_of(finding: Finding, standing: Sequence[Standing], bucket_ms: int) -> str | None:
    """Identity of the root alert that explains a finding, or None.

    Args:
        finding: about to open.
        standing: alerts that stand or ended lately, oldest first.
        bucket_ms: length of a bucket: how precisely beginnings are known.
    """
    near = [other for other in standing if _overlap(finding, other, bucket_ms)]
    if finding.kind in _OF_SLICES:
        found = _of_slice(finding, near, bucket_ms)
    elif finding.kind is AlertKind.STANDING_GAP:
        found = _first(_same_or_wider(finding, [o for o in near if o.kind is finding.kind]))
    elif finding.kind is AlertKind.VIOLATION_RATE:
        found = _of_violation(finding, near, bucket_ms)
    else:
        found = None
    return found.root if found else None


def _overlap(finding: Finding, other: Standing, bucket_ms: int) -> bool:
    return other.ended_ms is None or finding.began_ms <= other.ended_ms + bucket_ms


def _of_slice(finding: Finding, near: Sequence[Standing], bucket_ms: int) -> Standing | None:
    parts: Mapping[str, str] = finding.subject["slice"]
    violations = [
        other
        for other in near
        if other.kind is AlertKind.VIOLATION_RATE and other.began_ms <= finding.began_ms + 2 * bucket_ms
    ]
    accounted = finding.excess is not None and 0 < finding.excess <= finding.invalid_rows
    causes = [other for other in violations if other.subject["feature"] in finding.features]
    together = [o for o in violations if abs(o.began_ms - finding.began_ms) <= _TOGETHER_BUCKETS * bucket_ms]
    causes += sorted(together, key=lambda other: -other.effect) if accounted else []
    slices = [other for other in near if other.kind in _OF_SLICES]
    causes += _same_or_wider(finding, slices)
    causes += [
        other
        for other in slices
        if parts.items() < other.subject["slice"].items()
        and other.subject["metric"] == finding.subject["metric"]
        and 2 * other.excess >= (finding.excess or 0.0)
    ]
    causes += [
        other
        for other in slices
        if other.subject["metric"] == finding.subject["metric"]
        and {other.side, finding.values.get("side")} == {"higher", "lower"}
        and any(parts.get(feature, value) != value for feature, value in other.subject["slice"].items())
    ]
    return _first(causes)


def _of_violation(finding: Finding, near: Sequence[Standing], bucket_ms: int) -> Standing | None:
    violations = [other for other in near if other.kind is AlertKind.VIOLATION_RATE]
    feature = finding.subject["feature"]
    causes = [
        other for other in violations if other.subject["feature"] == feature and finding.features
    ]  # of the record itself, each code is a matter of its own
    causes += [
        other
        for other in violations
        if abs(other.began_ms - finding.began_ms) <= bucket_ms
        and 1 / _SAME_RATE <= other.effect / finding.effect <= _SAME_RATE
    ]
    return _first(causes)


def _same_or_wider(finding: Finding, slices: Sequence[Standing]) -> list[Standing]:
    """Alerts of the very slice first, then of the single features inside a crossing."""
    parts = finding.subject["slice"]
    same = [other for other in slices if other.subject["slice"] == parts]
    return same + [other for other in slices if other.subject["slice"].items() < parts.items()]


def _first(causes: Sequence[Standing]) -> Standing | None:
    return causes[0] if causes else None
