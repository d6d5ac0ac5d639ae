"""One root cause, one page: which standing alert explains a new finding.

The rules, in order; each asks that what explains still stood when the finding began:

- a gap of a slice follows from a violation of a feature that decides who is in the slice;
- a gap follows from a violation that began when it did, if the slice's bad rows are at least as many as its
  excess failures;
- one slice, one page: another metric of the same slice follows from the first that was reported;
- a crossing follows from a single feature inside it, and a single feature from a crossing that holds at
  least half of its excess;
- a group that is favoured follows from another group of the same feature that is not;
- the rate of one class follows from that of another among groups of the same feature: they add up to one;
- a violation follows from another of the same feature that stands, or from one that began in the same bucket
  at the same rate (one join, one serialiser, one renamed field);
- whatever else is said of a feature (scale, gibberish, drift) follows from what was said of it first;
- drift of the score, the decision or the label follows from a failure of an input that began no later and not
  long before; failing that, one of the three follows from another;
- a metric that degrades follows from another one of the same slice or of a slice around it, from a gap of the
  slice, from a failure of an input that began with it, and that of all traffic from a gap that holds at least
  half of its excess, before any input if it began with it;
- estimates that cannot be trusted follow from drift of the label or from a metric that degrades.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.detectors.finding import Finding
from monitor.core.detectors.gap_tables import GapMetric
from monitor.core.records import AlertKind

_OF_SLICES: Final = frozenset({AlertKind.GAP_CHANGE, AlertKind.IGNORED_SLICE})
_OF_INPUTS: Final = frozenset(
    {AlertKind.VIOLATION_RATE, AlertKind.SCALE_SHIFT, AlertKind.GIBBERISH, AlertKind.DRIFT}
)
_SAME_RATE: Final = 1.15
_TOGETHER_BUCKETS: Final = 3
_FOLLOWS_BUCKETS: Final = 30
"""Drift of the output takes some buckets to be dated after the input's failure began."""

_DATED_MS: Final = 30_000
"""So do metrics, but not for hours where buckets are long: this, or `_TOGETHER_BUCKETS`."""


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
    near = [other for other in standing if _overlap(finding, other)]
    if finding.kind in _OF_SLICES:
        found = _of_slice(finding, near, bucket_ms)
    elif finding.kind is AlertKind.STANDING_GAP:
        found = _first(_same_or_wider(finding, [o for o in near if o.kind is finding.kind]))
    elif finding.kind is AlertKind.VIOLATION_RATE:
        found = _of_violation(finding, near, bucket_ms)
    elif finding.kind is AlertKind.DRIFT and "output" in finding.subject:
        found = _of_output(finding, near, bucket_ms)
    elif finding.kind in _OF_INPUTS:
        found = _first(_of_feature(finding, near))
    elif finding.kind in {AlertKind.DEGRADATION, AlertKind.CALIBRATION}:
        found = _of_metric(finding, near, bucket_ms)
    else:
        found = None
    if found is None:
        return None
    root = {other.identity: other for other in standing}.get(found.root)
    # What outlived its own explanation is the nearest that still stood.
    return found.root if root is None or _overlap(finding, root) else found.identity


def _overlap(finding: Finding, other: Standing) -> bool:
    """It still stood when the finding began: a failure that is over explains nothing."""
    return other.ended_ms is None or finding.began_ms <= other.ended_ms


def _of_slice(finding: Finding, near: Sequence[Standing], bucket_ms: int) -> Standing | None:
    parts: Mapping[str, str] = finding.subject["slice"]
    violations = [other for other in _inputs(near) if other.began_ms <= finding.began_ms + 2 * bucket_ms]
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
    causes += [
        other
        for other in slices
        if other.subject["metric"] == finding.subject["metric"] == GapMetric.CLASS_RATE
        and other.subject["slice"].keys() == parts.keys()
    ]
    return _first(causes)


def _of_violation(finding: Finding, near: Sequence[Standing], bucket_ms: int) -> Standing | None:
    violations = [other for other in near if other.kind is AlertKind.VIOLATION_RATE]
    feature = finding.subject["feature"]
    # Of the record itself, each code is a matter of its own.
    same = [o for o in _inputs(near) if o.subject["feature"] == feature and finding.features]
    causes = [other for other in same if other.ended_ms is None]
    causes += [
        other
        for other in violations
        if abs(other.began_ms - finding.began_ms) <= bucket_ms
        and 1 / _SAME_RATE <= other.effect / finding.effect <= _SAME_RATE
    ]
    return _first(causes)


def _of_feature(finding: Finding, near: Sequence[Standing]) -> list[Standing]:
    feature = finding.subject["feature"]
    return [other for other in _inputs(near) if other.subject["feature"] == feature]


def _of_output(finding: Finding, near: Sequence[Standing], bucket_ms: int) -> Standing | None:
    since_ms = finding.began_ms - _FOLLOWS_BUCKETS * bucket_ms
    before = finding.began_ms + _TOGETHER_BUCKETS * bucket_ms
    causes = [other for other in _inputs(near) if since_ms <= other.began_ms <= before]
    outputs = [o for o in near if o.kind is AlertKind.DRIFT and "output" in o.subject]
    gaps = [o for o in near if o.kind is AlertKind.GAP_CHANGE and since_ms <= o.began_ms <= before]
    return _first([*causes, *outputs, *gaps])


def _of_metric(finding: Finding, near: Sequence[Standing], bucket_ms: int) -> Standing | None:
    parts: Mapping[str, str] = finding.subject["slice"]
    metrics = [other for other in near if other.kind is AlertKind.DEGRADATION]
    causes = _same_or_wider(finding, metrics)
    causes += [o for o in near if o.kind in _OF_SLICES and o.subject["slice"] == parts]
    gaps = [o for o in near if o.kind in _OF_SLICES and not parts and 2 * o.excess >= (finding.excess or 0.0)]
    together_ms = max(_TOGETHER_BUCKETS * bucket_ms, _DATED_MS)
    together = [other for other in near if abs(other.began_ms - finding.began_ms) <= together_ms]
    if finding.excess:  # without one it cannot be told what a gap holds of it
        causes += [o for o in gaps if o in together and o.kind is AlertKind.GAP_CHANGE]
    causes += [*_inputs(together), *gaps]
    if finding.kind is AlertKind.CALIBRATION:
        causes += [o for o in near if o.kind is AlertKind.DRIFT and o.subject.get("output") == "label"]
    return _first(causes)


def _inputs(near: Sequence[Standing]) -> list[Standing]:
    """Failures of features, the record itself among them."""
    return [o for o in near if o.kind in _OF_INPUTS and "feature" in o.subject]


def _same_or_wider(finding: Finding, slices: Sequence[Standing]) -> list[Standing]:
    """Alerts of the very slice first, then of the single features inside a crossing."""
    parts = finding.subject["slice"]
    same = [other for other in slices if other.subject["slice"] == parts]
    return same + [other for other in slices if other.subject["slice"].items() < parts.items()]


def _first(causes: Sequence[Standing]) -> Standing | None:
    return causes[0] if causes else None
