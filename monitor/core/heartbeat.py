"""The dead man's switch: a record that comes while somebody looks, and whose absence says nobody does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from monitor.core.evaluation.state import EvaluatorState
from monitor.core.own_health import Blindness, OwnHealth, causes
from monitor.core.records import HEARTBEAT_KEY, AlertState, Heartbeat

HEARTBEAT_S: Final = 30
"""Seconds between two heartbeats of a model."""

_LOST_WITHIN_S: Final = 3_600.0


def heartbeat(
    model: str,
    lease_epoch: int,
    now_ms: int,
    reached_ms: int,
    state: EvaluatorState,
    own: OwnHealth | None,
) -> Heartbeat:
    """What a model's evaluator says of itself now.

    Args:
        model: its name.
        lease_epoch: under which it looks.
        now_ms: the store's clock.
        reached_ms: event time up to which traffic was judged, 0 before the first request.
        state: after the look.
        own: what the monitor knows about itself.
    """
    found = [] if own is None else causes(own, {}, _LOST_WITHIN_S)
    # Whoever says this is a worker, though it may not have reported yet.
    blind = [str(cause) for cause in found if cause.code is not Blindness.NO_WORKER]
    blind += [f"{Blindness.STALLED.value}: {partition}" for partition in sorted(state.stalls.reported)]
    return Heartbeat(
        model=model,
        lease_epoch=lease_epoch,
        published_at=_time(now_ms),
        every_s=HEARTBEAT_S,
        evaluated_until=_time(reached_ms) if reached_ms else None,
        open_alerts=sum(alert.state is AlertState.OPEN for alert in state.book.alerts.values()),
        blind=blind,
    )


def beat_key(beat: Heartbeat) -> bytes:
    """Its key on the alerts topic: on a compacted one the last of each model stays."""
    return HEARTBEAT_KEY + beat.model.encode()


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
