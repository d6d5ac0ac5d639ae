"""The score jumps within a step of one feature that nobody would notice, more often than is tolerated.

One stream per feature, over trials and edges of the probe `sharp_boundary`. Trees are steps everywhere, so
some edges are tolerated.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.detectors.probe_rate import RateStream, Seen
from monitor.core.records import AlertKind, Severity


@dataclass(frozen=True)
class ProbeSharpEdge:
    """Configuration of the detector; `probe_rate.step` and `judge` take it.

    Attributes:
        tolerance: rate of requests with an edge that is no failure, in (0, 1).
        hits_min: edges before anything is said.
        effect_min: observed over tolerated rate before anything is said.
    """

    tolerance: float = 0.05
    hits_min: int = 5
    effect_min: float = 2.0

    name = AlertKind.SHARP_EDGE

    def tolerated(self, stream: RateStream) -> float:  # noqa: ARG002 - one for all
        """Of every stream."""
        return self.tolerance

    def finding(self, seen: Seen) -> Finding:
        """A notice: the model was built so."""
        feature = seen.stream.feature
        return seen.finding(
            self.tolerance,
            "edges",
            kind=AlertKind.SHARP_EDGE,
            subject={"feature": feature},
            severity=Severity.NOTICE,
            summary=f"the score jumps within a tiny step of {feature} for {percent(seen.rate)} of probed "
            f"requests (tolerated {percent(self.tolerance)}): {seen.hits} of {seen.trials} since "
            f"{clock(seen.began_ms)}",
            advice="Look at the cases: a rule beside the model, or a split that learned from too few rows?",
            samples=f"probes/sharp_boundary/{feature}",
            features=frozenset({feature}),
        )
