"""Which buckets may be taken now, from how far event time has got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.core.counters import Counts, Scalar, Tier
from monitor.core.evaluation.model import ModelEvaluation
from monitor.core.evaluation.state import EvaluatorState
from monitor.core.evaluation.streams import DAY_S, Streams
from monitor.core.event_time import EventClock, PartitionView

KEYS_MAX: Final = 5_000
"""Arrays read in one step."""

BUCKETS_MAX: Final = 64
"""Buckets of traffic taken in one step."""

WINDOW_MAX: Final = 600
"""Buckets of labels looked at in one step."""

DAYS_MAX: Final = 8
"""Days of labels looked at in one step."""

OPEN_MAX: Final = 16
"""Open buckets read at every look."""


@dataclass(frozen=True)
class Plan:
    """What to read now, bucket starts in epoch seconds.

    Attributes:
        clock: event clock with the present watermarks.
        reached_ms: event time up to which traffic is complete.
        reached_labels_ms: the same of traffic and labels.
        latest_ms: greatest watermark of predictions.
        next_s: first bucket of traffic not yet taken after those that expired.
        traffic: closed buckets to take: scalars of all slices, and violations.
        open: buckets still open: scalars of all traffic, and violations.
        labels: label buckets to look at: scalars of all traffic.
        days: whole days of labels to look at, likewise.
        keys_max: arrays to read of label buckets, until one is the last.
    """

    clock: EventClock
    reached_ms: int = 0
    reached_labels_ms: int = 0
    latest_ms: int = 0
    next_s: int | None = None
    traffic: tuple[int, ...] = ()
    open: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    keys_max: int = KEYS_MAX


def plan(
    config: ModelEvaluation,
    state: EvaluatorState,
    partitions: Sequence[PartitionView],
    now_ms: int,
    slices: int,
    first_s: int | None,
    first_day_s: int | None = None,
    part: float = 1.0,
) -> Plan:
    """Decide what can be taken.

    Args:
        config: of the model.
        state: before.
        partitions: of all topics.
        now_ms: the store's clock.
        slices: number of slices.
        first_s: earliest bucket of the finest tier with traffic; needed while `state.next_s` is None.
        first_day_s: earliest day with traffic; read while `state.days_next_s` is None.
        part: of a full step, above 0 and up to 1; whatever it is, something is taken.
    """
    predictions = [p for p in partitions if p.topic in config.prediction_topics]
    tier, latest_ms = config.tier, max((p.watermark_ms for p in predictions), default=0)
    clock = state.clock.see(partitions, now_ms).note(latest_ms, now_ms, tier.keep_s * 1000)
    labels = [p for p in partitions if p.topic in config.label_topics]
    reached_ms = clock.reached_ms(predictions, now_ms)
    next_s = first_s if state.next_s is None else state.next_s
    if next_s is None or not reached_ms:
        return Plan(clock, next_s=state.next_s)
    # Retention is counted back from event time. Where that is held up, buckets expire by the clock as well,
    # and what comes back holds the laggard's share alone.
    gone_ms = max(reached_ms - tier.keep_s * 1000, clock.expired_ms(now_ms, tier.keep_s * 1000))
    next_s = max(next_s, _floor(gone_ms // 1000, tier) + tier.bucket_s)
    closed = _closed(next_s, reached_ms - round(config.grace_s * 1000), tier)
    at_once = max(1, int(min(BUCKETS_MAX, KEYS_MAX // (slices + 2)) * part))
    open_from_s = closed[-1] + tier.bucket_s if closed else next_s
    still_open = range(open_from_s, latest_ms // 1000 + 1, tier.bucket_s)[:OPEN_MAX]
    return Plan(
        clock=clock,
        reached_ms=reached_ms,
        reached_labels_ms=clock.reached_ms([*predictions, *labels], now_ms),
        latest_ms=latest_ms,
        next_s=next_s,
        traffic=tuple(closed[:at_once]),
        open=tuple(still_open) if len(closed) <= at_once else (),
        labels=_label_window(config, state, next_s, reached_ms, now_ms) if labels else (),
        days=_days(config, state, next_s if first_day_s is None else first_day_s, reached_ms)
        if labels
        else (),
        keys_max=int(KEYS_MAX * part),
    )


def ripe(
    config: ModelEvaluation,
    state: EvaluatorState,
    looked: Plan,
    whole: Sequence[Counts],
    streams: Streams,
) -> dict[int, list[int]]:
    """Slices to read, per label bucket, in order: no slice passes a bucket that is not ripe.

    Args:
        config: of the model.
        state: before.
        looked: the plan.
        whole: scalars of all traffic in each of `looked.labels`.
        streams: what is tested.
    """
    wanted: dict[int, list[int]] = {}
    keys = 0
    for bucket_s, counts in zip(looked.labels, whole, strict=True):
        old = aged(config, looked, bucket_s)
        tracked = counts[Scalar.TRACKED]
        if not (old or counts[Scalar.LABELLED] >= config.ready_at * tracked) or keys > looked.keys_max:
            break
        due = [i for i in streams.slice_ids if state.label_cursor(i) <= bucket_s]
        if due:
            wanted[bucket_s] = due
        keys += len(due)
    return wanted


def _label_window(
    config: ModelEvaluation, state: EvaluatorState, next_s: int, reached_ms: int, now_ms: int
) -> tuple[int, ...]:
    """Closed label buckets not yet taken by every slice, oldest first."""
    tier = config.label_tier
    pause_ms = min(tier.bucket_s * 250, 60_000)
    if 0 <= now_ms - state.labels_looked_ms < pause_ms:
        return ()
    start_s = _floor(next_s, tier) if state.labels_from_s is None else state.hindmost_s
    oldest_s = _floor((reached_ms - tier.keep_s * 1000) // 1000, tier) + tier.bucket_s
    return tuple(
        _closed(max(start_s, oldest_s), reached_ms - round(config.grace_s * 1000), tier)[:WINDOW_MAX]
    )


def _days(config: ModelEvaluation, state: EvaluatorState, first_s: int, reached_ms: int) -> tuple[int, ...]:
    """Closed days not yet taken, oldest first; at the beginning, the last 30 that there are."""
    tier = config.day_tier
    if tier is None:
        return ()
    earliest_s = max(first_s, reached_ms // 1000 - 30 * DAY_S)
    start_s = _floor(earliest_s, tier) if state.days_next_s is None else state.days_next_s
    return tuple(_closed(start_s, reached_ms - round(config.grace_s * 1000), tier)[:DAYS_MAX])


def ripe_days(config: ModelEvaluation, looked: Plan, whole: Sequence[Counts]) -> tuple[int, ...]:
    """Days to take, in order: those that are mature for all traffic, up to the first that is not.

    Args:
        config: of the model.
        looked: the plan.
        whole: scalars of all traffic in each of `looked.days`.
    """
    found = []
    for start_s, counts in zip(looked.days, whole, strict=True):
        aged_ms = (start_s + DAY_S + config.label_wait_s + config.grace_s) * 1000
        mature = counts[Scalar.LABELLED] >= config.ready_at * counts[Scalar.TRACKED]
        if not (mature or aged_ms <= looked.reached_labels_ms):
            break
        found.append(start_s)
    return tuple(found)


def _closed(from_s: int, until_ms: int, tier: Tier) -> range:
    """Starts of buckets from `from_s` that end by `until_ms`."""
    return range(from_s, until_ms // 1000 - tier.bucket_s + 1, tier.bucket_s)


def aged(config: ModelEvaluation, looked: Plan, bucket_s: int) -> bool:
    """The wait of every prediction in a label bucket has passed."""
    end_s = bucket_s + config.label_tier.bucket_s
    return (end_s + config.label_wait_s + config.grace_s) * 1000 <= looked.reached_labels_ms


def _floor(at_s: int, tier: Tier) -> int:
    return at_s - at_s % tier.bucket_s
