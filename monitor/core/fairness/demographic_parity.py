"""Demographic parity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.fairness.sums import Trials


@dataclass(frozen=True)
class DemographicParity:
    """The share of decisions that are positive, `P(decision = 1 | group)`: the same where groups fare alike.

    Needs no labels, and asks for it whatever the groups' labels are: where base rates differ, a perfect model
    fails it. Its ratio is what the four-fifths rule of thumb judges (`comparison.FOUR_FIFTHS`).

    Source: Dwork et al. (2012), doi:10.1145/2090236.2090255; 29 CFR 1607.4 D (four-fifths).

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.DECIDED, Scalar.POSITIVE]] = 10, 5
    >>> DemographicParity()(counts)
    Trials(hits=5, rows=10)
    """

    name: ClassVar[str] = "demographic_parity"
    title: ClassVar[str] = "positive rate"
    absent: ClassVar[str] = "no decisions"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Trials:
        """See `Family`."""
        return Trials(counts[Scalar.POSITIVE], counts[Scalar.DECIDED])
