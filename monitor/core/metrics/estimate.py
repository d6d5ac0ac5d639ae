"""What a metric answers, and what a metric is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from monitor.core.counters import Kind, Scalar, SliceCounts

CONTRADICTION: Final = "the counters contradict each other: the store is damaged"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval, or the reason why there is none; never a 0 that means "no data".

    Attributes:
        value: the metric, None where it is undefined.
        low: lower end of the confidence interval, None where there is no value or too few rows for one.
        high: upper end.
        reason: why there is no value; None exactly where there is one.
        error_bound: how far `value` can be from the metric of the unbinned rows, at worst; None for
            metrics that are exact.
        estimated: labels of these rows are not known; the value is what is expected of them.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    error_bound: float | None = None
    estimated: bool = False

    @classmethod
    def undefined(cls, reason: str) -> Estimate:
        """No data.

        >>> Estimate.undefined("no labelled rows").to_dict()
        {'value': None, 'reason': 'no labelled rows'}
        """
        return cls(None, reason=reason)

    def to_dict(self) -> dict[str, float | str | None]:
        """The form of query answers.

        >>> Estimate(0.5, 0.25, 0.75).to_dict()
        {'value': 0.5, 'low': 0.25, 'high': 0.75}
        """
        if self.value is None:
            return {"value": None, "reason": self.reason}
        answer: dict[str, float | str | None] = {"value": self.value, "low": self.low, "high": self.high}
        if self.error_bound is not None:
            answer["error_bound"] = self.error_bound
        if self.estimated:
            answer["estimate"] = True
        return answer


class Metric(Protocol):
    """A pure function of the counters of one slice in one window.

    Attributes:
        name: field name in query answers.
        kind: the array it reads besides the scalars; where that is not kept finely enough, it is undefined.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """The estimate.

        Args:
            counts: sums of one slice in one window.
            level: confidence level of the interval, in (0, 1).
        """
        ...


def unlabelled(counts: SliceCounts, otherwise: str) -> Estimate:
    """Undefined: no labels at all, or else what is missing among them."""
    return Estimate.undefined("no labelled rows" if counts[Scalar.LABELLED] == 0 else otherwise)


def no_curve(counts: SliceCounts) -> Estimate:
    """Undefined: nothing to draw a score curve from, or else it was not kept."""
    if counts[Scalar.RATED] == 0:
        return unlabelled(counts, "no labelled scores")
    return Estimate.undefined("score curves are not kept for this window")
