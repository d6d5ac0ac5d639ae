"""What an evaluator remembers between steps, and its stored form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.core.alerts import AlertBook
from monitor.core.detectors.blind import BlindState
from monitor.core.detectors.calibration import CalibrationState
from monitor.core.detectors.degradation import DegradationState
from monitor.core.detectors.drift import DriftState
from monitor.core.detectors.ignored_slice import ShareState
from monitor.core.detectors.mean_gap import MeanState
from monitor.core.detectors.missing_traffic import TrafficState
from monitor.core.detectors.slice_gap import GapState
from monitor.core.detectors.stalled_partition import StallState
from monitor.core.detectors.violation_rate import ViolationState
from monitor.core.evaluation.distributions import DistributionsState
from monitor.core.evaluation.probes import ProbesState
from monitor.core.evaluation.stored import dump, load
from monitor.core.event_time import EventClock

STATE_VERSION: Final = 6
"""Stored with the state; another version is not read, and the evaluator learns anew."""


@dataclass(frozen=True)
class EvaluatorState:
    """State of one model's evaluator.

    Attributes:
        fingerprint: of the reference and what it is compared by; another one starts the gaps anew.
        clock: event time.
        next_s: start of the next bucket of traffic to take, epoch seconds; None before the first.
        labels_from_s: start of the first bucket of labels; None before the first.
        labels_next_s: slice id → start of the next bucket of labels to take.
        days_next_s: start of the next day of labels to take; None before the first.
        labels_looked_ms: when labels were last looked at, wall clock.
        skipped: buckets that had expired before they could be taken.
        violations, texts, traffic, decisions, values, shares, labels, errors, coverage, declines, daily,
            distributions, label_drift, calibration, stalls, blind: state of each detector.
        book: alerts.
    """

    fingerprint: str = ""
    clock: EventClock = field(default_factory=EventClock)
    next_s: int | None = None
    labels_from_s: int | None = None
    labels_next_s: Mapping[int, int] = field(default_factory=dict)
    days_next_s: int | None = None
    labels_looked_ms: int = 0
    skipped: int = 0
    violations: ViolationState = field(default_factory=ViolationState.fresh)
    texts: ViolationState = field(default_factory=ViolationState.fresh)
    traffic: TrafficState = field(default_factory=TrafficState)
    decisions: GapState = field(default_factory=GapState.fresh)
    values: MeanState = field(default_factory=MeanState.fresh)
    shares: ShareState = field(default_factory=ShareState.fresh)
    labels: GapState = field(default_factory=GapState.fresh)
    errors: MeanState = field(default_factory=MeanState.fresh)
    coverage: GapState = field(default_factory=GapState.fresh)
    declines: DegradationState = field(default_factory=DegradationState.fresh)
    daily: DegradationState = field(default_factory=DegradationState.fresh)
    distributions: DistributionsState = field(default_factory=DistributionsState)
    label_drift: DriftState = field(default_factory=DriftState.fresh)
    calibration: CalibrationState = field(default_factory=CalibrationState.fresh)
    stalls: StallState = field(default_factory=StallState)
    probes: ProbesState = field(default_factory=ProbesState)
    blind: BlindState = field(default_factory=BlindState)
    book: AlertBook = field(default_factory=AlertBook)

    def label_cursor(self, slice_id: int) -> int:
        """Start of the next bucket of labels of a slice, epoch seconds; new slices join the hindmost."""
        return self.labels_next_s.get(slice_id, self.hindmost_s)

    @property
    def hindmost_s(self) -> int:
        """Start of the earliest bucket of labels that some slice has not taken, epoch seconds."""
        return min(self.labels_next_s.values(), default=self.labels_from_s or 0)


def encode(state: EvaluatorState) -> bytes:
    """Stored form."""
    return dump(state, STATE_VERSION)


def decode(data: bytes) -> EvaluatorState:
    """Read the stored form; nothing, or another version, is a fresh state."""
    return load(EvaluatorState, data, STATE_VERSION) or EvaluatorState()
