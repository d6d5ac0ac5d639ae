"""Decisions flip when only a protected feature is swapped, more often than is tolerated.

One stream per protected feature, over trials and flips of the probe `counterfactual`. No label is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.detectors.probe_rate import RateStream, Seen
from monitor.core.records import AlertKind, Severity


@dataclass(frozen=True)
class ProbeCounterfactual:
    """Configuration of the detector; `probe_rate.step` and `judge` take it.

    Attributes:
        tolerance: rate of flips that is no failure, in (0, 1).
        tolerances: protected feature → its own.
        hits_min: flips before anything is said.
        effect_min: observed over tolerated rate before anything is said.
    """

    tolerance: float = 0.01
    tolerances: Mapping[str, float] = field(default_factory=dict)
    hits_min: int = 5
    effect_min: float = 1.5

    name = AlertKind.COUNTERFACTUAL

    def tolerated(self, stream: RateStream) -> float:
        """Of a protected feature."""
        return self.tolerances.get(stream.feature, self.tolerance)

    def finding(self, seen: Seen) -> Finding:
        """A page: like cases are decided unlike."""
        tolerated, feature = self.tolerated(seen.stream), seen.stream.feature
        return seen.finding(
            tolerated,
            "flips",
            kind=AlertKind.COUNTERFACTUAL,
            subject={"feature": feature},
            severity=Severity.PAGE,
            summary=f"swapping {feature} and nothing else changes {percent(seen.rate)} of decisions "
            f"(tolerated {percent(tolerated)}): {seen.hits} of {seen.trials} probed requests since "
            f"{clock(seen.began_ms)}",
            advice="Replay the cases; look for the feature or a rule on it inside the model.",
            samples=f"probes/counterfactual/{feature}",
            features=frozenset({feature}),
        )
