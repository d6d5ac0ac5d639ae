"""What an alert of a gap adds for people: where the gap comes from, and what became of the slice. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.core.counters import Counts, Scalar, SliceCounts
from monitor.core.detectors.gap_tables import GapMetric
from monitor.core.detectors.mean_tables import MeanMetric
from monitor.core.fairness.decomposition import Confusion, explain_gap
from monitor.core.fairness.followup import age, excess_errors, share_change
from monitor.core.records import Alert, AlertKind
from monitor.core.times import format_duration

BUCKETS_MAX: Final = 400
"""Buckets that are read back for one alert, before it began and since: the newest."""

_RENEWED: Final = ("going on for", "its share of traffic", "error rate is", "of the gap of")
"""How notes begin that newer ones replace."""


def concerned(alert: Alert) -> bool:
    """Whether the alert is about a slice that is served worse than the rest."""
    return alert.kind is AlertKind.GAP_CHANGE and bool(alert.subject.get("slice"))


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
    if alert.subject.get("metric") not in (GapMetric.POSITIVE_RATE, *MeanMetric):
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
