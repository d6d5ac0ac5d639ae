"""Findings counted, and held against what is tolerated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from monitor.core.probes.answers import ProbeResult
from monitor.core.probes.endpoint import is_refusal

Part = Literal["flips", "near", "different", "found"]

FINDINGS: Final[Mapping[str, tuple[Part, bool, str]]] = {
    "replay": ("different", False, "answered otherwise when asked again"),
    "type_conversion": ("different", False, "another type answered differently, without an error"),
    "missing": ("different", False, "a missing value answered differently, without an error"),
    "out_of_range": ("different", False, "an impossible value answered, without an error"),
    "unit_change": ("different", False, "another unit answered differently, without an error"),
    "single_feature": ("near", True, "the decision flips within 0.25 interquartile ranges of one feature"),
    "feature_set": ("flips", True, "the decision flips by features only together"),
    "counterfactual": ("flips", False, "the decision flips with a protected feature"),
    "sharp_boundary": ("different", False, "the score jumps within a step nobody would notice"),
    "sensitivity": ("flips", False, "the decision flips with a small step of one feature"),
    "interaction": ("found", True, "two features act only together"),
}
"""Probe → what of its trials is the finding, whether of the request as a whole, and in words.

Where it is not of the whole, the worst feature (and type, where it has types) is what is held against a
tolerance.
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """Trials of one probe, feature and variant."""

    trials: int = 0
    flips: int = 0
    near: int = 0
    different: int = 0
    errors: int = 0
    found: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.trials + other.trials,
            self.flips + other.flips,
            self.near + other.near,
            self.different + other.different,
            self.errors + other.errors,
            self.found + other.found,
        )


Key = tuple[str, str, str]
"""Probe, feature ("" for the request as a whole), variant."""


def tallies(results: Iterable[ProbeResult]) -> dict[Key, Tally]:
    """Count trials; those about which the model was not heard count for nothing."""
    counted: dict[Key, Tally] = {}
    for result in results:
        for trial in result.trials:
            if trial.error is not None and not is_refusal(trial.error):
                continue
            key = (result.probe, trial.feature, trial.variant)
            counted[key] = counted.get(key, Tally()) + Tally(
                1,
                int(trial.flipped),
                int(trial.near),
                int(trial.different),
                int(trial.error is not None),
                int(bool(result.together) and trial.feature == ""),
            )
    return counted


@dataclass(frozen=True)
class Verdict:
    """One tolerance and what was measured.

    Attributes:
        probe: its name.
        finding: in words.
        allowed: share tolerated.
        count: findings of the worst feature.
        trials: of it.
        where: that feature, and its variant; "" for requests as a whole.
    """

    probe: str
    finding: str
    allowed: float
    count: int
    trials: int
    where: str = ""

    @property
    def measured(self) -> float:
        """Share found; 0 where nothing was tried."""
        return self.count / self.trials if self.trials else 0.0

    @property
    def broken(self) -> bool:
        """More than is tolerated, or nothing that it could be said of: what was not tried is not kept."""
        return not self.trials or self.measured > self.allowed


def judge(counted: Mapping[Key, Tally], allowed: Mapping[str, float]) -> list[Verdict]:
    """Hold what was counted against tolerances, in the order of `FINDINGS`.

    >>> [verdict.broken for verdict in judge({}, {"counterfactual": 0.01})]
    [True]
    """
    found = []
    for probe, (part, whole, words) in FINDINGS.items():
        if probe not in allowed:
            continue
        mine = [
            (feature, variant, tally)
            for (name, feature, variant), tally in counted.items()
            if name == probe and (feature == "" or not whole)
        ]
        feature, variant, tally = max(
            mine, key=lambda one: getattr(one[2], part) / one[2].trials, default=("", "", Tally())
        )
        where = f"{feature} as {variant}" if feature and variant else feature
        found.append(Verdict(probe, words, allowed[probe], getattr(tally, part), tally.trials, where))
    return found


def shares(texts: Sequence[str]) -> dict[str, float]:
    """Tolerances as people write them.

    >>> shares(["counterfactual=1%", "replay=0"])
    {'counterfactual': 0.01, 'replay': 0.0}

    Raises:
        ValueError: no probe, or no share.
    """
    found = {}
    for text in texts:
        probe, _, value = text.partition("=")
        if probe not in FINDINGS:
            raise ValueError(f"no probe {probe!r}; there are {', '.join(FINDINGS)}")
        try:
            share = float(value[:-1]) / 100 if value.endswith("%") else float(value)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise ValueError(f"{text!r}: expected a share such as {probe}=1% or {probe}=0.01")
        found[probe] = share
    return found
