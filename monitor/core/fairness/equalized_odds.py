"""Equalised odds: true and false positive rates at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitor.core.counters import SliceCounts
from monitor.core.fairness.comparison import ROWS_MIN, compare
from monitor.core.fairness.equal_opportunity import EqualOpportunity
from monitor.core.fairness.extremes import greatest, smallest
from monitor.core.fairness.false_positive_rate import FalsePositiveRateGap
from monitor.core.fairness.readings import Comparison, Contrast, Extreme, GroupReading
from monitor.core.metrics.estimate import Estimate

EQUALIZED_ODDS: Final = "equalized_odds"
"""Field name in answers."""


def equalized_odds(
    groups: Mapping[str, SliceCounts],
    reference: str | None = None,
    level: float = 0.95,
    rows_min: int = ROWS_MIN,
) -> Comparison:
    """The greater of the gaps in true and in false positive rate, and the smaller of their ratios.

    A decision tells nothing of the group once the label is known. Every difference is a size, never
    negative; every ratio is at most 1. Both rates are measured at confidence `1 - (1 - level) / 2`, so that
    the ends of the two hold together (Bonferroni). A group has no value of its own: it has two rates.

    Args:
        groups: name → counters of groups that share no rows.
        reference: the group that others are held against.
        level: confidence level, in (0, 1).
        rows_min: labelled positives, and labelled negatives, from which a group is compared.

    Source: Hardt, Price and Srebro (2016), arXiv:1610.02413; maximum and minimum as in Fairlearn's
    `equalized_odds_difference` and `equalized_odds_ratio`.
    """
    half = 1 - (1 - level) / 2
    parts = [
        compare(
            {name: family(counts) for name, counts in groups.items()},
            reference,
            half,
            rows_min,
            absent=family.absent,
        )
        for family in (EqualOpportunity(), FalsePositiveRateGap())
    ]
    two = Estimate.undefined("two rates; see equal_opportunity and false_positive_rate")
    readings = {}
    for name in groups:
        tpr, fpr = (part.groups[name] for part in parts)
        readings[name] = GroupReading(
            tpr.rows + fpr.rows,
            two,
            _both(tpr.rest, fpr.rest),
            _both(tpr.overall, fpr.overall),
            None if tpr.reference is None or fpr.reference is None else _both(tpr.reference, fpr.reference),
        )
    worst, furthest = (_extreme(*(getattr(part, name) for part in parts)) for name in ("worst", "furthest"))
    return Comparison(two, readings, worst, furthest)


def _both(one: Contrast, other: Contrast) -> Contrast:
    return Contrast(
        _undefined_if_any(one.difference, other.difference) or greatest([one.difference, other.difference]),
        _undefined_if_any(one.ratio, other.ratio) or smallest([one.ratio, other.ratio]),
    )


def _extreme(one: Extreme, other: Extreme) -> Extreme:
    refusal = _undefined_if_any(one.difference, other.difference)
    if refusal:
        return Extreme("", "", refusal, refusal)
    wider = max(one, other, key=lambda part: part.difference.value or 0.0)
    return Extreme(
        wider.higher,
        wider.lower,
        greatest([one.difference, other.difference]),
        smallest([one.ratio, other.ratio]),
    )


def _undefined_if_any(*parts: Estimate) -> Estimate | None:
    """The maximum of two needs both."""
    return next((part for part in parts if part.value is None), None)
