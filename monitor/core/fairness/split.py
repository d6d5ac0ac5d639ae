"""A gap in two parts: what another mix of rows makes, and what the model makes of the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import normal_quantile


@dataclass(frozen=True, slots=True)
class Split:
    """A gap in error rate, slice minus rest, in two parts that add up to it, each with an interval.

    Attributes:
        gap: the whole, in [-1, 1].
        mix: what rows of another kind make of it.
        model: what other error rates on rows of the same kind make of it.
    """

    gap: float
    mix: Estimate
    model: Estimate

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"gap": self.gap, "mix": self.mix.to_dict(), "model": self.model.to_dict()}


def normal(value: float, variance: float, level: float) -> Estimate:
    """A value with its normal interval."""
    half = normal_quantile(level) * math.sqrt(variance)
    return Estimate(value, value - half, value + half)


def apart(part: Estimate) -> bool:
    """Whether an interval excludes 0."""
    assert part.low is not None
    assert part.high is not None
    return part.low > 0 or part.high < 0
