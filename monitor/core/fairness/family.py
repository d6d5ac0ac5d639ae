"""What a fairness criterion is: a quantity that groups should share."""

from __future__ import annotations

from typing import ClassVar, Protocol

from monitor.core.counters import SliceCounts
from monitor.core.fairness.sums import Sums


class Family(Protocol):
    """A pure function from the counters of a group to the sums that are compared.

    Attributes:
        name: field name in answers.
        title: the quantity in words, "positive rate".
        absent: why a group has no rows, where it has none.
        ratios: whether a ratio of two groups means something; not for quantities that cross 0.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    absent: ClassVar[str]
    ratios: ClassVar[bool]

    def __call__(self, counts: SliceCounts) -> Sums:
        """The sums of one group in one window."""
        ...
