"""Back from a time that has not come: what a wrong clock made of the places an evaluator had got to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from monitor.core.counters import Tier
from monitor.core.evaluation.model import ModelEvaluation
from monitor.core.evaluation.state import EvaluatorState
from monitor.core.event_time import PartitionView

AHEAD_MS: Final = 60_000
"""No bucket is taken before its time, but clocks differ."""


def brought_back(
    config: ModelEvaluation, state: EvaluatorState, partitions: Sequence[PartitionView], now_ms: int
) -> EvaluatorState:
    """The state; where it is ahead of the clock and of every record, with its places put back to the present.

    Buckets that had been taken before their time are not taken again: it goes on from the next one.

    Args:
        config: of the model.
        state: before.
        partitions: of all topics.
        now_ms: the store's clock.
    """
    marks = [p.watermark_ms for p in partitions if p.topic in config.prediction_topics]
    present_ms = max([now_ms, *marks])
    probes, probed = state.probes, config.probe_evaluation
    if probed is not None and probes.next_s is not None and _ahead(probes.next_s, now_ms):
        state = replace(state, probes=replace(probes, next_s=_next(now_ms, probed.tier)))
    if state.next_s is None or not _ahead(state.next_s, present_ms):
        return state
    of_labels, of_days = _next(present_ms, config.label_tier), state.days_next_s
    if config.day_tier is not None and of_days is not None:
        of_days = min(of_days, _next(present_ms, config.day_tier))
    return replace(
        state,
        next_s=_next(present_ms, config.tier),
        labels_from_s=None if state.labels_from_s is None else min(state.labels_from_s, of_labels),
        labels_next_s={i: min(next_s, of_labels) for i, next_s in state.labels_next_s.items()},
        days_next_s=of_days,
    )


def _ahead(next_s: int, present_ms: int) -> bool:
    return next_s * 1000 > present_ms + AHEAD_MS


def _next(present_ms: int, tier: Tier) -> int:
    """Start of the bucket after the present one."""
    return (present_ms // 1000 // tier.bucket_s + 1) * tier.bucket_s
