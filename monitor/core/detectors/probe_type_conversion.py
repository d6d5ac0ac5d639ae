"""The same value as another type is answered differently, and no error says so.

One stream per feature and variant, over trials and silent differences of the probe `type_conversion`. A
server that converts types does it for every feature: what holds at one time is told as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.detectors.probe_rate import RateStream, Seen
from monitor.core.records import AlertKind, Severity

SHOWN_MAX: Final = 3
"""Features and variants named in the words; all are in the values."""


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
        return seen.finding(
            self.tolerance,
            "different",
            kind=AlertKind.TYPE_CONVERSION,
            subject={"feature": feature, "variant": variant},
            severity=Severity.NOTICE,
            summary=f"{feature} sent as another type ({variant}) is answered differently without an error in "
            f"{percent(seen.rate)} of probed requests: {seen.hits} of {seen.trials} since "
            f"{clock(seen.began_ms)}",
            advice="Let the server refuse what is not of the feature's type, or read it as the same value.",
            samples=f"probes/type_conversion/{feature}/{variant}",
            features=frozenset({feature}),
        )


def together(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of all streams as one, which holds while any of them does; empty for none.

    Its figures and samples are those of the stream with the most evidence; each stream has a threshold of its
    own, so the union of them keeps the level.
    """
    if not findings:
        return []
    held = [one for one in findings if one.holds] or list(findings)
    worst = max(held, key=lambda one: (one.log_evidence, sorted(one.subject.items())))
    ranked = sorted(held, key=lambda one: (-one.effect, sorted(one.subject.items())))
    cells = [f"{one.subject['feature']} as {one.subject['variant']}" for one in ranked]
    shown = ", ".join(
        f"{cell} ({percent(one.effect)} of {one.rows})"
        for cell, one in zip(cells[:SHOWN_MAX], ranked, strict=False)
    )
    more = f" and {len(cells) - SHOWN_MAX} more" if len(cells) > SHOWN_MAX else ""
    began_ms = min(one.began_ms for one in held)
    return [
        replace(
            worst,
            subject={},
            began_ms=began_ms,
            excess=sum(one.excess or 0.0 for one in held),
            summary=f"values sent as another type are answered differently without an error: {shown}{more}, "
            f"of probed requests since {clock(began_ms)}",
            values={**worst.values, "cells": cells},
            features=frozenset().union(*(one.features for one in held)),
        )
    ]
