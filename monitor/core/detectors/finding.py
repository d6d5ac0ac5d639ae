"""What a detector has to say, and the words it says it in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Literal

from monitor.core.records import AlertKind, Severity

EffectUnit = Literal["rate", "odds_ratio", "ratio", "factor", "seconds", "psi", "difference", "records"]

NAMED: Final = "slice"
"""The key of a slice that a person named: `{"slice": "new users"}`."""


@dataclass(frozen=True)
class SliceName:
    """A slice as the registry names it, taken apart.

    Attributes:
        id: in the registry.
        key: canonical JSON, `{"sex":"Female"}`.
        named_features: for slices with a name of their own, the features its conditions read.
    """

    id: int
    key: str
    named_features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def parts(self) -> dict[str, str]:
        """Feature → value."""
        parts: dict[str, str] = json.loads(self.key)
        return parts

    @cached_property
    def features(self) -> frozenset[str]:
        """Features that decide who belongs to the slice."""
        named = self.named_features.get(self.parts[NAMED], ()) if NAMED in self.parts else ()
        return frozenset(named) or frozenset(self.parts)

    @property
    def text(self) -> str:
        """For people.

        >>> SliceName(1, '{"race":"Black","sex":"Female"}').text
        'race = Black, sex = Female'
        >>> SliceName(2, '{"slice":"new users"}').text
        'new users'
        """
        if not self.parts:
            return "all requests"
        return ", ".join(
            value if name == NAMED else f"{name} = {value}" for name, value in self.parts.items()
        )


@dataclass(frozen=True)
class Finding:
    """One failure as it stands now.

    Attributes:
        kind: of alert.
        subject: what failed.
        holds: False once recovery is established.
        severity: as the detector sees it; a consequence of something else is lowered later.
        log_evidence: natural log of the e-value or e-detector.
        log_threshold: what it had to reach.
        effect: size, in `effect_unit`.
        rows: rows the evidence rests on.
        excess: rows that failed beyond what is tolerated, or None.
        began_ms: event time at which the evidence begins.
        at_ms: event time of this statement: the end of the last bucket taken.
        summary: one sentence.
        advice: what to do.
        values: the figures behind the summary.
        notes: cautions.
        acknowledged: reported once and standing: never opens, never resolves by itself.
        samples: name of the evidence list that holds requests that show it.
        features: features that the failure is about, for grouping.
        invalid_rows: rows of the slice that broke the schema during the evidence, for grouping.
    """

    kind: AlertKind
    subject: Mapping[str, Any]
    holds: bool
    severity: Severity
    log_evidence: float
    log_threshold: float
    effect: float
    effect_unit: EffectUnit
    rows: int
    excess: float | None
    began_ms: int
    at_ms: int
    summary: str
    advice: str
    values: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    acknowledged: bool = False
    samples: str = ""
    features: frozenset[str] = frozenset()
    invalid_rows: int = 0


def percent(rate: float) -> str:
    """A rate for people, two or three figures.

    >>> [percent(x) for x in (0.098, 0.001, 0.00004, 1.0, 0.9996)]
    ['9.8 %', '0.1 %', '0.004 %', '100 %', '99.96 %']
    """
    value = 100 * rate
    if value >= 99 and value < 100:
        return f"{value:.2f} %"
    if value >= 10:
        return f"{value:.1f} %".replace(".0 %", " %")
    return f"{value:.2g} %"


def clock(at_ms: int) -> str:
    """Time of day, UTC.

    >>> clock(1_000)
    '00:00:01'
    """
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")
