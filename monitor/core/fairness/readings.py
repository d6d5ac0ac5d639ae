"""What is said of groups: each one's quantity and gaps, the worst pair, and what that amounts to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from monitor.core.metrics.estimate import Estimate

FOUR_FIFTHS: Final = 0.8
"""Ratio of selection rates from which the rule of thumb of 29 CFR 1607.4 D finds adverse impact."""


OVERALL: Final = "(all)"
"""Name of all groups together in an `Extreme`."""


class Verdict(StrEnum):
    """Whether something is so, as far as the rows can tell at the level asked for."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Contrast:
    """One group against something else: `difference` is group minus other, `ratio` is group over other."""

    difference: Estimate
    ratio: Estimate

    @classmethod
    def undefined(cls, reason: str) -> Contrast:
        """No comparison."""
        return cls(Estimate.undefined(reason), Estimate.undefined(reason))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"difference": estimate_dict(self.difference), "ratio": estimate_dict(self.ratio)}


@dataclass(frozen=True, slots=True)
class GroupReading:
    """One group.

    Attributes:
        rows: rows the quantity rests on.
        value: the quantity.
        rest: against all other groups together.
        overall: against all groups together, itself among them.
        reference: against the named reference; None without one.
    """

    rows: int
    value: Estimate
    rest: Contrast
    overall: Contrast
    reference: Contrast | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        answer: dict[str, Any] = {
            "rows": self.rows,
            "value": estimate_dict(self.value),
            "to_rest": self.rest.to_dict(),
            "to_overall": self.overall.to_dict(),
        }
        if self.reference is not None:
            answer["to_reference"] = self.reference.to_dict()
        return answer


@dataclass(frozen=True, slots=True)
class Extreme:
    """The greatest gap: its difference is never negative, its ratio never above 1.

    Attributes:
        higher, lower: the two groups; one of them may be `OVERALL`.
        difference: higher minus lower, with a simultaneous interval.
        ratio: the smallest ratio of any two, which is lower over higher.
    """

    higher: str
    lower: str
    difference: Estimate
    ratio: Estimate

    @classmethod
    def undefined(cls, reason: str) -> Extreme:
        """No pair."""
        return cls("", "", Estimate.undefined(reason), Estimate.undefined(reason))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "higher": self.higher,
            "lower": self.lower,
            "difference": estimate_dict(self.difference),
            "ratio": estimate_dict(self.ratio),
        }


@dataclass(frozen=True)
class Comparison:
    """All that is said of one quantity.

    Attributes:
        overall: the quantity of all groups together.
        groups: by name, in the order given.
        worst: the two groups furthest apart (Fairlearn's `between_groups`).
        furthest: the group furthest from all traffic (Fairlearn's `to_overall`).
    """

    overall: Estimate
    groups: Mapping[str, GroupReading]
    worst: Extreme
    furthest: Extreme

    @property
    def apart(self) -> Verdict:
        """Whether any two groups differ at all: the lower end of the worst pair's difference is above 0."""
        gap = self.worst.difference
        return Verdict.YES if gap.low is not None and gap.low > 0 else Verdict.UNCLEAR

    @property
    def four_fifths(self) -> Verdict:
        """Whether the smallest ratio is at least four fifths; unclear where its interval holds 0.8."""
        found = self.worst.ratio
        if found.low is not None and found.low >= FOUR_FIFTHS:
            return Verdict.YES
        if found.high is not None and found.high < FOUR_FIFTHS:
            return Verdict.NO
        return Verdict.UNCLEAR

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "overall": estimate_dict(self.overall),
            "groups": {name: group.to_dict() for name, group in self.groups.items()},
            "worst_pair": self.worst.to_dict(),
            "furthest_from_overall": self.furthest.to_dict(),
            "apart": self.apart.value,
        }


def estimate_dict(value: Estimate) -> dict[str, float | str | None]:
    """An estimate as JSON; an end at infinity is null."""
    return {
        key: None if isinstance(part, float) and math.isinf(part) else part
        for key, part in value.to_dict().items()
    }
