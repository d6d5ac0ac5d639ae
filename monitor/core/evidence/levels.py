"""How high evidence must climb: from "one false alarm a month" to a threshold per stream.

A stream of weight w alarms at M ≥ 1/(α w), with α the false alarms allowed per bucket of event time and the
weights of all streams summing to at most 1. Over T buckets the expected number of false alarms is then
at most α T, however the streams depend on each other. Weights may shrink as streams appear (Chow's
inequality needs thresholds that do not fall), so slices share their family's part equally as they come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHARES: Final = MappingProxyType(
    {
        "violations": 0.25,
        "missing_traffic": 0.05,
        "gaps_of_labels": 0.15,
        "degradation": 0.03,
        "daily_degradation": 0.02,
        "calibration": 0.02,
        "gaps_of_decisions": 0.08,
        "share_of_traffic": 0.05,
        "share_of_labels": 0.05,
        "drift": 0.20,
        "probes_swaps": 0.02,
        "probes_types": 0.01,
        "probes_edges": 0.01,
        "probes_sets": 0.01,
        "probes_slices": 0.01,
        "probes_version": 0.01,
        "discovery": 0.03,
    }
)
"""Parts of the allowance: input 30 %, declared slices 40 %, drift 20 %, probes and discovery 10 %."""


def log_threshold(
    false_alarms_per_s: float, bucket_s: float, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log of 1/(α w) for streams that are looked at once a bucket.

    Args:
        false_alarms_per_s: allowed over all streams of a model, per second of event time, positive.
        bucket_s: seconds of event time a bucket.
        weights: w, float64[S]; 0 for a stream that must never alarm.

    Returns:
        float64[S]; inf where the weight is 0.

    >>> log_threshold(1 / (30 * 86_400), 1.0, np.array([1 / 150])).round(1).tolist()
    [19.8]
    """
    with np.errstate(divide="ignore"):
        return -math.log(false_alarms_per_s * bucket_s) - np.log(weights)


def share_out(family: str, relative: Sequence[float]) -> NDArray[np.float64]:
    """Divide a family's part among its streams in proportion to `relative`.

    >>> share_out("share_of_traffic", [1, 1, 0.5, 0]).round(3).tolist()
    [0.02, 0.02, 0.01, 0.0]
    """
    parts = np.asarray(relative, np.float64)
    total = parts.sum()
    return parts * (SHARES[family] / total) if total > 0 else parts
