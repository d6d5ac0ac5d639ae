"""What an alert of a gap adds for people: where the gap comes from, and what became of the slice. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from monitor.core.amounts import amount
from monitor.core.counters import Counts, Scalar, SliceCounts
from monitor.core.detectors.gap_tables import GapMetric
from monitor.core.detectors.mean_tables import MeanMetric
from monitor.core.fairness.decomposition import Confusion, explain_gap
from monitor.core.fairness.family import Family
from monitor.core.fairness.followup import age, excess_errors, share_change
from monitor.core.fairness.mean_absolute_error import MeanAbsoluteErrorGap
from monitor.core.fairness.mean_error import MeanErrorGap
from monitor.core.fairness.mean_score import MeanScore
from monitor.core.fairness.mean_value import MeanValueGap
from monitor.core.fairness.sums import Sums
from monitor.core.fairness.within import within
from monitor.core.records import Alert, AlertKind
from monitor.core.times import format_duration

BUCKETS_MAX: Final = 400
"""Buckets that are read back for one alert, before it began and since: the newest."""

_RENEWED: Final = (
    "going on for",
    "its share of traffic",
    "error rate is",
    "of the gap of",
    "at the same ",
)
"""How notes begin that newer ones replace."""


_FAMILIES: Final[Mapping[MeanMetric, Family]] = {
    MeanMetric.MEAN_VALUE: MeanValueGap(),
    MeanMetric.MEAN_SCORE: MeanScore(),
    MeanMetric.MAE: MeanAbsoluteErrorGap(),
    MeanMetric.BIAS: MeanErrorGap(),
}


def concerned(alert: Alert) -> bool:
    """Whether the alert is about a slice that is served worse than the rest."""
    return alert.kind is AlertKind.GAP_CHANGE and bool(alert.subject.get("slice"))


def of_means(alert: Alert) -> bool:
    """Whether it is about means, which can be compared within strata."""
    return alert.subject.get("metric") in _FAMILIES


def strata_of(
    alert: Alert, legitimate: Sequence[str], slices: Mapping[str, int]
) -> dict[str, list[tuple[str, str, int]]]:
    """The crossings of an alert's feature with each legitimate one: stratum, group and slice id.

    Args:
        alert: of a gap.
        legitimate: features that may justify a difference.
        slices: slice key → id.
    """
    mine = alert.subject["slice"]
    if len(mine) != 1:
        return {}
    (feature,) = mine
    named = [(json.loads(key), slice_id) for key, slice_id in slices.items()]
    found = {
        other: [(p[other], p[feature], i) for p, i in named if p.keys() == {feature, other}]
        for other in legitimate
    }
    return {other: parts for other, parts in found.items() if parts}


def within_notes(
    alert: Alert,
    strata: Mapping[str, Sequence[tuple[str, str, int]]],
    counts: Mapping[int, SliceCounts],
) -> list[str]:
    """The gap within strata of each legitimate feature: are like cases treated alike?

    Args:
        alert: of a gap between means.
        strata: as `strata_of` answers.
        counts: slice id → what was counted since the alert began.
    """
    family = _FAMILIES[MeanMetric(alert.subject["metric"])]
    (group,) = alert.subject["slice"].values()
    told = []
    for feature, parts in strata.items():
        tables: dict[str, dict[str, Sums]] = {}
        for stratum, name, slice_id in parts:
            tables.setdefault(stratum, {})[name] = family(counts[slice_id])
        found = within(list(tables.values()), group)
        ratio = alert.effect_unit == "ratio" and found.adjusted.ratio.value is not None
        gap = found.adjusted.ratio if ratio else found.adjusted.difference
        if gap.value is None or gap.low is None or gap.high is None:
            continue
        none = 1.0 if ratio else 0.0
        size = (
            f"{gap.value:.2g} times ({gap.low:.2g} to {gap.high:.2g})"
            if ratio
            else f"{amount(gap.value)} apart ({amount(gap.low)} to {amount(gap.high)})"
        )
        sure = "" if not gap.low <= none <= gap.high else ", which may be nothing"
        told.append(f"at the same {feature} it is {size}{sure}, over {found.rows:,} rows of the slice")
    return told


def stretches(alert: Alert, bucket_s: int, until_s: int) -> tuple[list[int], list[int]]:
    """Starts of buckets before the alert began, and since, epoch seconds, equally many where time allows.

    Args:
        alert: of a gap.
        bucket_s: length of a bucket.
        until_s: end of what has been counted.
    """
    began_s = int(alert.began_at.timestamp()) // bucket_s * bucket_s
    since = list(range(began_s, max(until_s, began_s + bucket_s), bucket_s))[-BUCKETS_MAX:]
    return [began_s - bucket_s * (i + 1) for i in range(len(since))], since


def notes(
    alert: Alert, before: Sequence[Counts], since: Sequence[Counts], bucket_s: int, until_s: int
) -> list[str]:
    """The alert's notes with its age, its cost, its cause and what became of its slice's share of traffic.

    The cost is errors beyond what the rest's rate would have made; the cause another mix of labels, or not.

    Args:
        alert: of a gap.
        before: scalars of all traffic and of the slice before it began, int64[2, len(Scalar)] a bucket.
        since: the same since then.
        bucket_s: length of a bucket.
        until_s: end of what has been counted.
    """
    kept = [note for note in alert.notes if not note.startswith(_RENEWED)]
    none = np.zeros((2, len(Scalar)), np.int64)
    (everyone, mine), (all_before, mine_before) = sum(since, none), sum(before, none)
    if alert.subject.get("metric") not in (GapMetric.POSITIVE_RATE, GapMetric.CLASS_RATE, *MeanMetric):
        rest = everyone - mine
        began_ms = int(alert.began_at.timestamp() * 1000)
        told = age(began_ms, until_s * 1000).text
        errors = excess_errors(*_judged(mine), *_judged(rest))
        if errors is not None:
            # What is read back is bounded; an older gap is counted over its newest stretch.
            span = f", in the last {format_duration(BUCKETS_MAX * bucket_s)}"
            told += f"{span if len(since) >= BUCKETS_MAX else ''}: {errors.text}"
        kept.append(told)
        kept += explain_gap(Confusion.of(SliceCounts(mine)), Confusion.of(SliceCounts(rest))).notes
    share = share_change(
        *(int(counts[Scalar.REQUESTS]) for counts in (mine_before, all_before, mine, everyone))
    )
    if share is not None:
        kept.append(share.text)
    return list(dict.fromkeys(kept))


def _judged(scalars: Counts) -> tuple[int, int]:
    """Labelled decisions and how many of them were wrong, of two classes or of several."""
    right = int(scalars[[Scalar.TP, Scalar.TN, Scalar.CORRECT]].sum())
    wrong = int(scalars[[Scalar.FP, Scalar.FN, Scalar.WRONG]].sum())
    return right + wrong, wrong
