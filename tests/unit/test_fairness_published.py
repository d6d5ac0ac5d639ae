"""Fairlearn's published examples, from the product's own counters.

Source: fairlearn/fairlearn, docs/user_guide/assessment/perform_fairness_assessment.rst,
common_fairness_metrics.rst and intersecting_groups.rst, whose values are doctests over these rows.
"""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.fairness.comparison import compare
from monitor.core.fairness.demographic_parity import DemographicParity
from monitor.core.fairness.equal_opportunity import EqualOpportunity
from monitor.core.fairness.equalized_odds import equalized_odds
from monitor.core.fairness.false_positive_rate import FalsePositiveRateGap
from monitor.core.fairness.readings import Comparison
from tests.support.fold import Rows, fold

Y_TRUE = np.array([0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1])
Y_PRED = np.array([0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0])
SF = np.array([*"bbabbcccaacabccbcc"])
G_2 = np.array([8, 6, 8, 8, 8, 8, 6, 6, 6, 8, 6, 6, 6, 6, 8, 6, 6, 6])


def grouped(names: list[str]) -> dict[str, SliceCounts]:
    """Counters of each group; scores are not part of the examples."""
    nothing = np.full(len(Y_TRUE), np.nan)
    rows = Rows.of(nothing, Y_PRED, Y_TRUE)
    return {name: fold(rows.take(np.flatnonzero(np.array(names) == name))) for name in sorted(set(names))}


GROUPS = grouped([*SF])


def compared(family: DemographicParity | EqualOpportunity | FalsePositiveRateGap) -> Comparison:
    return compare({name: family(counts) for name, counts in GROUPS.items()}, rows_min=1)


def values(comparison: Comparison) -> list[float | None]:
    return [group.value.value for group in comparison.groups.values()]


def test_rows_and_rates_of_groups() -> None:
    assert [counts[Scalar.REQUESTS] for counts in GROUPS.values()] == [4, 6, 8]
    assert values(compared(EqualOpportunity())) == pytest.approx([0.5, 0.6, 0.4])
    assert values(compared(FalsePositiveRateGap())) == pytest.approx([1.0, 0.0, 2 / 3])
    assert values(compared(DemographicParity())) == pytest.approx([0.75, 0.5, 0.5])


def test_rates_of_all_rows() -> None:
    for family, expected in (
        (EqualOpportunity(), 0.5),
        (FalsePositiveRateGap(), 0.666667),
        (DemographicParity(), 0.555556),
    ):
        assert compared(family).overall.value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("family", "gap", "ratio", "to_overall"),
    [
        (EqualOpportunity(), 0.20, 0.666667, 0.10),
        (FalsePositiveRateGap(), 1.00, 0.0, 0.666667),
        (DemographicParity(), 0.25, 0.666667, 0.194444),
    ],
)
def test_differences_and_ratios(
    family: DemographicParity | EqualOpportunity | FalsePositiveRateGap,
    gap: float,
    ratio: float,
    to_overall: float,
) -> None:
    found = compared(family)
    assert found.worst.difference.value == pytest.approx(gap, abs=1e-6)
    assert found.worst.ratio.value == pytest.approx(ratio, abs=1e-6)
    assert found.furthest.difference.value == pytest.approx(to_overall, abs=1e-6)


def test_to_overall_is_the_difference_and_the_ratio_of_the_rates_themselves() -> None:
    """As `MetricFrame.ratio(method="to_overall")` defines it: the smallest, each at most 1."""
    for family in (EqualOpportunity(), DemographicParity()):
        found = compared(family)
        overall = found.overall.value
        assert overall is not None
        for group in found.groups.values():
            assert group.value.value is not None
            assert group.overall.difference.value == pytest.approx(group.value.value - overall)
            assert group.overall.ratio.value == pytest.approx(group.value.value / overall)
        ratios = [value / overall for value in values(found) if value is not None]
        assert found.furthest.ratio.value == pytest.approx(min(min(x, 1 / x) for x in ratios))


def test_equalized_odds() -> None:
    found = equalized_odds(GROUPS, rows_min=1)
    assert found.worst.difference.value == pytest.approx(1.0)
    assert found.worst.ratio.value == pytest.approx(0.0)
    assert found.furthest.difference.value == pytest.approx(2 / 3)


def test_intersections() -> None:
    crossed = grouped([f"{one}{other}" for one, other in zip(SF, G_2, strict=True)])
    family = EqualOpportunity()
    found = compare({name: family(counts) for name, counts in crossed.items()}, rows_min=1)
    recalls = {name: group.value.value for name, group in found.groups.items()}
    assert recalls == pytest.approx({"a6": 0, "a8": 1, "b6": 2 / 3, "b8": 0.5, "c6": 0.5, "c8": 0})
    assert found.worst.difference.value == 1.0


def test_these_groups_are_too_small_to_be_compared_by_default() -> None:
    family = DemographicParity()
    found = compare({name: family(counts) for name, counts in GROUPS.items()})
    assert values(found) == pytest.approx([0.75, 0.5, 0.5])
    assert found.worst.difference.value is None
    assert found.worst.difference.reason == "insufficient data: fewer than two groups have 30 rows"
    assert found.groups["a"].rest.difference.reason == "insufficient data: 4 rows, 30 are needed"
    assert found.apart == found.four_fifths == "unclear"
