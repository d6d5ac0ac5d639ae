"""Texts that read like nothing the sample held, or like misspelt values, more often than the sample explains.

A configuration for the functions of `violation_rate`. One flagged text proves nothing: one clean unseen text
in a hundred is flagged by construction. So the rate of flags is tested against a boundary known beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.core.detectors import violation_rate
from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.detectors.violation_rate import Seen
from monitor.core.records import AlertKind, Severity
from monitor.core.schema.text_judge import BOUNDARY_MIN
from monitor.core.schema.violations import SOFT, Code

_SUBJECTS: Final = {Code.GIBBERISH: "gibberish", Code.NEAR_MISS: "a known value misspelt"}
_ADVICE: Final = {
    Code.GIBBERISH: "Look at the values: text typed at random, a bot, or broken encoding. If they are right, "
    "infer the schema anew from recent traffic.",
    Code.NEAR_MISS: "Look at the values: an option misspelt upstream, or text typed where it was chosen. "
    "The model does not know these values.",
}


@dataclass(frozen=True)
class Gibberish:
    """Configuration of the detector.

    Attributes:
        boundaries: feature → soft code → tolerated rate, of `monitor.core.schema.text_judge.boundaries`:
            max(0.02, twice the rate of flags in the sample, the 99 % limit of the floor).
        features: number of features in the schema, for the levels.
        false_alarms_per_s: of the model, all streams together.
        bucket_s: length of a bucket.
        violations_min: flags before anything is said.
        effect_min: observed rate over boundary before anything is said: with 0.02, 4 % of requests.
    """

    boundaries: Mapping[str, Mapping[Code, float]]
    features: int
    false_alarms_per_s: float
    bucket_s: float
    violations_min: int = 10
    effect_min: float = 2.0

    name = AlertKind.GIBBERISH
    clustered = False  # flags are tens of times more frequent: what clusters add to their rate is small

    @property
    def codes(self) -> frozenset[Code]:
        """The soft ones."""
        return SOFT

    @property
    def log_threshold(self) -> float:
        """Of every stream."""
        return violation_rate.log_threshold(self.features, self.false_alarms_per_s, self.bucket_s)

    def boundary(self, feature: str, code: Code) -> float:
        """Of a code of a feature."""
        return self.boundaries.get(feature, {}).get(code, BOUNDARY_MIN)

    def finding(self, seen: Seen) -> Finding:
        """A page for gibberish, a notice for near misses: to the model they are new values like others."""
        feature, code, rate = seen.feature, seen.code, seen.rate
        boundary = self.boundary(feature, code)
        is_gibberish = code is Code.GIBBERISH
        return Finding(
            kind=AlertKind.GIBBERISH if is_gibberish else AlertKind.VIOLATION_RATE,
            subject={"feature": feature} if is_gibberish else {"feature": feature, "code": code.slug},
            holds=seen.holds,
            severity=Severity.PAGE if is_gibberish else Severity.NOTICE,
            log_evidence=seen.log_evidence,
            log_threshold=self.log_threshold,
            effect=rate,
            effect_unit="rate",
            rows=seen.rows,
            excess=max(0.0, seen.hits - boundary * seen.rows),
            began_ms=seen.began_ms,
            at_ms=seen.at_ms,
            summary=f"{feature} reads like {_SUBJECTS[code]} in {percent(rate)} of requests (tolerated "
            f"{percent(boundary)}): {seen.hits} of {seen.rows} since {clock(seen.began_ms)}",
            advice=_ADVICE[code],
            values={"requests": seen.rows, "violations": seen.hits, "rate": rate, "tolerated": boundary},
            samples=f"violations/{feature}/{code.slug}",
            features=frozenset({feature}),
        )
