"""Two features move the score far together and next to nothing alone, more often than is tolerated.

One stream per set, over requests of the probe `interaction` and those in which the set moved the score far.
Some are tolerated: deep trees have such rules too, in few places.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.detectors.probe_rate import RateStream, Seen
from monitor.core.records import AlertKind, Severity


@dataclass(frozen=True)
class ProbeInteraction:
    """Configuration of the detector; `probe_rate.step` and `judge` take it.

    The feature of a stream is the name of its set, a JSON list.

    Attributes:
        tolerance: rate of requests with the set that is no failure, in (0, 1).
        hits_min: such requests before anything is said.
        effect_min: observed over tolerated rate before anything is said.
    """

    tolerance: float = 0.02
    hits_min: int = 5
    effect_min: float = 2.0

    name = AlertKind.INTERACTION

    def tolerated(self, stream: RateStream) -> float:  # noqa: ARG002 - one for all
        """Of every stream."""
        return self.tolerance

    def finding(self, seen: Seen) -> Finding:
        """A notice: the model was built so."""
        features: list[str] = json.loads(seen.stream.feature)
        return seen.finding(
            self.tolerance,
            "together",
            kind=AlertKind.INTERACTION,
            subject={"features": features},
            severity=Severity.NOTICE,
            summary=f"{' and '.join(features)} together move the score far, and next to nothing alone: "
            f"{seen.hits} of {seen.trials} probed requests ({percent(seen.rate)}, "
            f"tolerated {percent(self.tolerance)}) since {clock(seen.began_ms)}",
            advice="Look at the cases: a rule on both, or an interaction that was meant?",
            samples=f"probes/interaction/{seen.stream.feature}",
            features=frozenset(features),
        )
