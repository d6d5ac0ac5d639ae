"""The one configuration that false alarms, delay and the demo are measured with: the product's defaults."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any, Final

from monitor.core.detectors.degradation import Degradation
from monitor.core.detectors.drift import Drift
from monitor.core.detectors.drift_week import WeekDrift
from monitor.core.detectors.slice_gap import SliceGap
from monitor.core.evaluation import ModelEvaluation
from monitor.core.evidence.levels import SHARES

MONTH_S: Final = 30 * 86_400.0
STREAMS: Final = 100
"""Streams that share one false alarm a month where the product's threshold is meant."""

PRODUCT: Final = ModelEvaluation("benchmark", frozenset({"predictions"}), frozenset({"labels"}), grace_s=2.0)
GAP: Final[SliceGap] = PRODUCT.slice_gap
HOURLY: Final[Degradation] = PRODUCT.degradation
DAILY: Final[Degradation] = PRODUCT.daily_degradation


def described() -> dict[str, Any]:
    """Every number that decides."""
    return {
        "slice_gap": asdict(GAP),
        "coverage_gap": asdict(PRODUCT.coverage_gap),
        "degradation": asdict(HOURLY),
        "daily_degradation": asdict(DAILY),
        "calibration": asdict(PRODUCT.calibration),
        "drift": asdict(Drift(PRODUCT.tier.bucket_s)),
        "weekly_drift": asdict(WeekDrift()),
        "violation_rate": asdict(PRODUCT.violation_rate),
        "gibberish": asdict(PRODUCT.gibberish),
        "missing_traffic": asdict(PRODUCT.missing_traffic),
        "ignored_slice": asdict(PRODUCT.ignored_slice),
        "shares_of_false_alarms": dict(SHARES),
        "false_alarms_per_s": PRODUCT.false_alarms_per_s,
        "label_wait_s": PRODUCT.label_wait_s,
        "ready_at": PRODUCT.ready_at,
        "policy": asdict(PRODUCT.policy),
    }


def sha256() -> str:
    """Hash of the configuration."""
    return hashlib.sha256(json.dumps(described(), sort_keys=True).encode()).hexdigest()
