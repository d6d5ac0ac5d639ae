"""The one configuration that false alarms, power and the demo are measured with: the product's defaults."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from monitor.core.detectors.degradation import Degradation
from monitor.core.detectors.drift import Drift
from monitor.core.detectors.slice_gap import SliceGap
from monitor.core.evaluation import ModelEvaluation

MONTH_S = 30 * 86_400.0
STREAMS = 100
"""Streams that share one false alarm a month where the product's threshold is meant."""

PRODUCT = ModelEvaluation("benchmark", frozenset({"predictions"}), frozenset({"labels"}))
GAP: SliceGap = PRODUCT.slice_gap
HOURLY: Degradation = PRODUCT.degradation
DAILY: Degradation = PRODUCT.daily_degradation


def described() -> dict[str, Any]:
    """Every number that decides."""
    return {
        "slice_gap": asdict(GAP),
        "degradation": asdict(HOURLY),
        "daily_degradation": asdict(DAILY),
        "drift": asdict(Drift(PRODUCT.tier.bucket_s)),
        "ready_at": PRODUCT.ready_at,
        "min_effect": PRODUCT.min_effect,
    }


def sha256() -> str:
    """Hash of the configuration."""
    return hashlib.sha256(repr(sorted(described().items())).encode()).hexdigest()
