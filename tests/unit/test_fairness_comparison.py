"""Gaps between groups: intervals hold their level, worst pairs are told honestly, sums suffice."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.core.counters import CALIBRATION_BINS, CALIBRATION_PARTS, SliceCounts
from monitor.core.fairness import FAMILIES
from monitor.core.fairness.calibration_gap import CalibrationGap, calibration_bins
from monitor.core.fairness.comparison import compare
from monitor.core.fairness.equalized_odds import equalized_odds
from monitor.core.fairness.mean_score import MeanScore
from monitor.core.fairness.readings import Verdict
from monitor.core.fairness.recovery import difference, inverse, ratio
from monitor.core.fairness.sums import Moments, Sums, Trials
from monitor.core.metrics.estimate import Estimate
from tests.support.fold import fold, logit_normal_rows


def holds(found: Estimate, truth: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


NEWCOMBE_1998 = [
    # a, m, b, n, the published interval of method 10 (without correction for continuity), Table II
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0000),
    (10, 10, 0, 10, 0.6075, 1.0000),
]


@pytest.mark.parametrize(("a", "m", "b", "n", "low", "high"), NEWCOMBE_1998)
def test_differences_of_rates_are_newcombes(a: int, m: int, b: int, n: int, low: float, high: float) -> None:
    found = difference(Trials(a, m).measure(0.95), Trials(b, n).measure(0.95))
    assert ends(found) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(
    ("p1", "n1", "p2", "n2"),
    [(0.1, 40, 0.2, 400), (0.03, 300, 0.05, 60), (0.5, 30, 0.5, 30), (0.9, 80, 0.7, 1_000)],
)
def test_intervals_of_rates_hold_their_level(p1: float, n1: int, p2: float, n2: int) -> None:
    """Exact coverage: every pair of counts, weighted with its probability."""
    hits1, hits2 = np.arange(n1 + 1), np.arange(n2 + 1)
    mass1, mass2 = stats.binom.pmf(hits1, n1, p1), stats.binom.pmf(hits2, n2, p2)
    some1, some2 = np.flatnonzero(mass1 > 1e-4), np.flatnonzero(mass2 > 1e-4)
    covered = np.zeros(2)
    for i in some1:
        one = Trials(int(i), n1).measure(0.95)
        for j in some2:
            other = Trials(int(j), n2).measure(0.95)
            times = ratio(one, other)
            covered += (
                mass1[i]
                * mass2[j]
                * np.array(
                    [holds(difference(one, other), p1 - p2), times.value is None or holds(times, p1 / p2)]
                )
            )
    assert (covered > 0.93).all(), covered
    assert (covered < 0.985).all(), covered


def test_ratios_agree_with_the_logarithmic_interval_where_rows_are_many() -> None:
    found = ratio(Trials(4_000, 10_000).measure(0.95), Trials(5_000, 10_000).measure(0.95))
    expected = stats.contingency.relative_risk(4_000, 10_000, 5_000, 10_000).confidence_interval(0.95)
    assert ends(found) == pytest.approx((expected.low, expected.high), rel=1e-3)


def test_differences_of_means_agree_with_welch() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.gamma(2, 500, 400), rng.gamma(2, 25, 300)
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    found = compare({"a": moments(one), "b": moments(other)})
    assert ends(found.worst.difference) == pytest.approx((welch.low, welch.high), rel=0.01)
    assert found.worst.ratio.value == pytest.approx(other.mean() / one.mean())


def moments(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Moments:
    return Moments(len(values), float(values.sum()), float((values**2).sum()))


def test_a_credit_limit_twenty_times_lower_is_found_in_means() -> None:
    rng = np.random.default_rng(2)
    limits = {"Male": rng.lognormal(9, 0.8, 500), "Female": rng.lognormal(9, 0.8, 500) / 20}
    found = compare({name: moments(values) for name, values in limits.items()}, reference="Male")
    women = found.groups["Female"].reference
    assert women is not None
    assert holds(women.ratio, 1 / 20)
    assert women.ratio.high is not None
    assert women.ratio.high < 1 / 15
    assert found.groups["Male"].reference is None
    assert found.apart is Verdict.YES


def test_means_of_both_signs_have_no_ratio() -> None:
    found = compare({"a": Moments(50, -10.0, 100.0), "b": Moments(50, 10.0, 100.0)})
    assert found.worst.difference.value == pytest.approx(0.4)
    assert found.worst.ratio.reason == "a ratio needs quantities that are not negative"


def test_the_worst_pair_of_many_alike_groups_is_no_gap() -> None:
    """Simultaneous: ten groups of one rate are told apart in at most 5 % of windows; pairwise it is half."""
    rng = np.random.default_rng(3)
    apart = loose = 0
    for _ in range(200):
        hits = rng.binomial(300, 0.3, 10)
        groups = {str(i): Trials(int(h), 300) for i, h in enumerate(hits)}
        found = compare(groups)
        apart += found.apart is Verdict.YES
        pair = found.worst
        naive = difference(groups[pair.higher].measure(0.95), groups[pair.lower].measure(0.95))
        loose += naive.low is not None and naive.low > 0
    assert apart <= 16  # 5 % of 200, and three standard errors
    assert loose > 60


def test_the_worst_pairs_interval_holds_the_true_greatest_gap() -> None:
    rng = np.random.default_rng(4)
    rates, rows = np.array([0.30, 0.32, 0.35, 0.28]), np.array([200, 900, 150, 400])
    covered = np.zeros(2)
    for _ in range(400):
        hits = rng.binomial(rows, rates)
        found = compare(
            {str(i): Trials(int(h), int(n)) for i, (h, n) in enumerate(zip(hits, rows, strict=True))}
        )
        covered += [holds(found.worst.difference, 0.07), holds(found.worst.ratio, 0.28 / 0.35)]
    assert (covered / 400 > 0.95).all(), covered


def test_four_fifths() -> None:
    for hits, expected in ((600, Verdict.NO), (900, Verdict.YES), (780, Verdict.UNCLEAR)):
        found = compare({"a": Trials(1_000, 2_000), "b": Trials(hits, 2_000)})
        assert found.four_fifths is expected


def test_the_calibration_gap_is_that_of_the_rows() -> None:
    rows = logit_normal_rows(np.random.default_rng(5), 3_000, 0.4, 1.5, sharpness=1.6)
    counts = fold(rows)
    sums = CalibrationGap()(counts)
    errors = rows.scores - rows.labels
    assert sums.mean == pytest.approx(errors.mean(), abs=1e-6)
    assert sums.variance == pytest.approx(errors.var(ddof=1), rel=0.03)
    bins = calibration_bins(counts)
    assert sum(part.rows for part in bins) == 3_000
    for part in bins:
        inside = (rows.scores >= part.from_) & (rows.scores < part.to)
        assert part.score == pytest.approx(rows.scores[inside].mean(), abs=1e-6)
        assert part.observed.value == pytest.approx(rows.labels[inside].mean())
        json.dumps(part.to_dict())
    assert calibration_bins(SliceCounts(counts.scalars)) == []
    assert compare({"a": CalibrationGap()(SliceCounts(counts.scalars)), "b": sums}).worst.higher == ""


def test_few_labels_that_all_agree_do_not_make_the_calibration_gap_certain() -> None:
    counts = SliceCounts.zero()
    assert counts.calibration is not None
    cells = counts.calibration.reshape(CALIBRATION_BINS, CALIBRATION_PARTS)
    cells[1] = 40, 0, int(40 * 0.07 * (1 << 24))
    found = CalibrationGap()(counts).measure(0.95)
    assert holds(found, 0.0)


def test_the_mean_score_is_that_of_the_rows() -> None:
    rows = logit_normal_rows(np.random.default_rng(6), 500, 0.4, 1.5)
    sums = MeanScore()(fold(rows))
    assert (sums.mean, sums.variance) == pytest.approx(
        (rows.scores.mean(), rows.scores.var(ddof=1)), abs=1e-5
    )


def test_equalized_odds_takes_the_wider_rate_and_needs_both() -> None:
    rng = np.random.default_rng(7)
    groups = {name: fold(logit_normal_rows(rng, 800, 0.3, separation)) for name, separation in
              (("a", 2.0), ("b", 0.8))}  # fmt: skip
    found = equalized_odds(groups, reference="a")
    each = {family.name: compare({n: family(c) for n, c in groups.items()}) for family in FAMILIES}
    gaps = [each[name].worst.difference.value for name in ("equal_opportunity", "false_positive_rate")]
    assert found.worst.difference.value == max(gap for gap in gaps if gap is not None)
    wider = each["equal_opportunity" if gaps[0] == found.worst.difference.value else "false_positive_rate"]
    assert ends(found.worst.difference)[0] < ends(wider.worst.difference)[0]
    reference = found.groups["b"].reference
    assert reference is not None
    assert reference.difference.value == found.worst.difference.value
    assert found.groups["a"].reference is None
    assert found.groups["a"].value.value is None
    one_class = {"a": groups["a"], "b": fold(logit_normal_rows(rng, 100, 1e-9, 1.0))}
    assert equalized_odds(one_class).worst.difference.value is None


def test_groups_without_rows_say_why() -> None:
    for family in FAMILIES:
        found = compare(
            {"a": family(SliceCounts.zero()), "b": family(SliceCounts.zero())}, absent=family.absent
        )
        assert found.overall.reason == family.absent
        assert found.groups["a"].value.reason == family.absent
        assert found.groups["a"].rest.difference.reason == family.absent
        assert found.worst.difference.reason == family.absent
    assert compare({}).overall.value is None
    alone = compare({"a": Trials(50, 100)})
    assert alone.groups["a"].rest.difference.reason == "there is no other group"


def test_an_end_at_infinity_is_null_in_json() -> None:
    found = compare({"a": Trials(20, 40), "b": Trials(0, 40)})
    answer = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert answer["groups"]["a"]["to_rest"]["ratio"] == {"value": None, "reason": "a ratio to 0"}
    assert answer["worst_pair"]["ratio"]["value"] == 0.0
    few = ratio(Trials(20, 40).measure(0.999), Trials(1, 40).measure(0.999))
    assert math.isfinite(ends(few)[1])
    assert inverse(Estimate(0.0)).reason == "a ratio to 0"


TRIALS = st.integers(1, 10_000).flatmap(
    lambda rows: st.builds(Trials, hits=st.integers(0, rows), rows=st.just(rows))
)


@given(st.lists(TRIALS, min_size=1, max_size=6))
def test_gaps_agree_with_the_rates_themselves(parts: list[Trials]) -> None:
    groups: dict[str, Sums] = {str(i): part for i, part in enumerate(parts)}
    found = compare(groups, rows_min=1)
    rates = [part.hits / part.rows for part in parts]
    overall = sum(part.hits for part in parts) / sum(part.rows for part in parts)
    assert found.overall.value == pytest.approx(overall)
    if len(parts) > 1:
        gap = found.worst.difference
        assert gap.value == pytest.approx(max(rates) - min(rates))
        low, high = ends(gap)
        assert gap.value is not None
        assert 0 <= low <= gap.value <= high <= 1 + 1e-9
        assert found.furthest.difference.value == pytest.approx(max(abs(rate - overall) for rate in rates))
    if len(parts) > 1 and max(rates) > 0:
        times = found.worst.ratio
        assert times.value == pytest.approx(min(rates) / max(rates))
        low, high = ends(times)
        assert times.value is not None
        assert 0 <= low <= times.value + 1e-9
        assert times.value - 1e-9 <= high <= 1
    for name, group in found.groups.items():
        for part in (group.rest, group.overall):
            if part.difference.value is not None:
                low, high = ends(part.difference)
                assert low <= part.difference.value <= high
        if group.overall.difference.value is not None:
            assert group.overall.difference.value == pytest.approx(rates[int(name)] - overall, abs=1e-9)
    json.dumps(found.to_dict(), allow_nan=False)
