"""The same value as another type is answered differently, and no error says so.

One stream per feature and variant, over trials and silent differences of the probe `type_conversion`.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.detectors.probe_rate import RateStream, Seen
from monitor.core.records import AlertKind, Severity


@dataclass(frozen=True)
class ProbeTypeConversion:
    """Configuration of the detector; `probe_rate.step` and `judge` take it.

    Attributes:
        tolerance: rate of silent differences that is no failure, in (0, 1).
        hits_min: differences before anything is said.
        effect_min: observed over tolerated rate before anything is said.
    """

    tolerance: float = 0.01
    hits_min: int = 5
    effect_min: float = 2.0

    name = AlertKind.TYPE_CONVERSION

    def tolerated(self, stream: RateStream) -> float:  # noqa: ARG002 - one for all
        """Of every stream."""
        return self.tolerance

    def finding(self, seen: Seen) -> Finding:
        """A notice: nothing is wrong until a client sends it so."""
        feature, variant = seen.stream.feature, seen.stream.variant
        return Finding(
            kind=AlertKind.TYPE_CONVERSION,
            subject={"feature": feature, "variant": variant},
            holds=seen.holds,
            severity=Severity.NOTICE,
            log_evidence=seen.log_evidence,
            log_threshold=seen.log_threshold,
            effect=seen.rate,
            effect_unit="rate",
            rows=seen.trials,
            excess=max(0.0, seen.hits - self.tolerance * seen.trials),
            began_ms=seen.began_ms,
            at_ms=seen.at_ms,
            summary=f"{feature} sent as another type ({variant}) is answered differently without an error in "
            f"{percent(seen.rate)} of probed requests: {seen.hits} of {seen.trials} since "
            f"{clock(seen.began_ms)}",
            advice="Let the server refuse what is not of the feature's type, or read it as the same value.",
            values={
                "trials": seen.trials, "different": seen.hits, "rate": seen.rate, "tolerated": self.tolerance,
            },
            samples=f"probes/type_conversion/{feature}/{variant}",
            features=frozenset({feature}),
        )  # fmt: skip
