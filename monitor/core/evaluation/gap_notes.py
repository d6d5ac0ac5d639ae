"""What an alert of a gap adds for people: where the gap comes from, and what became of the slice. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.core.counters import Counts, Scalar, SliceCounts
from monitor.core.detectors.gap_tables import GapMetric
from monitor.core.detectors.mean_tables import MeanMetric
from monitor.core.fairness.decomposition import Confusion, explain_gap
from monitor.core.fairness.followup import share_change
from monitor.core.records import Alert, AlertKind

BUCKETS_MAX: Final = 400
"""Buckets that are read back for one alert, before it began and since: the newest."""

_RENEWED: Final = ("its share of traffic", "error rate is", "of the gap of")
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


def notes(alert: Alert, before: Sequence[Counts], since: Sequence[Counts]) -> list[str]:
    """The alert's notes with what its gap comes from and what became of its slice's share of traffic.

    Args:
        alert: of a gap.
        before: scalars of all traffic and of the slice before it began, int64[2, len(Scalar)] a bucket.
        since: the same since then.
    """
    kept = [note for note in alert.notes if not note.startswith(_RENEWED)]
    none = np.zeros((2, len(Scalar)), np.int64)
    (everyone, mine), (all_before, mine_before) = sum(since, none), sum(before, none)
    if alert.subject.get("metric") not in (GapMetric.POSITIVE_RATE, *MeanMetric):
        rest = everyone - mine
        kept += explain_gap(Confusion.of(SliceCounts(mine)), Confusion.of(SliceCounts(rest))).notes
    share = share_change(
        *(int(counts[Scalar.REQUESTS]) for counts in (mine_before, all_before, mine, everyone))
    )
    if share is not None:
        kept.append(share.text)
    return list(dict.fromkeys(kept))
