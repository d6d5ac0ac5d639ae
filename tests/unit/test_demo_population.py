"""The demo's population: shares, independence, and a healthy model that serves every slice alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitor.demo.model import CreditModel, encode
from monitor.demo.population import (
    ANDROID_SHARE,
    FEATURES,
    FINANCIAL,
    MERCHANTS,
    NEW_USER_DAYS,
    NEW_USER_SHARE,
    RACES,
    THRESHOLD,
    People,
    Row,
    draw,
    draw_financial,
)

ROWS = 40_000


@cache
def people() -> People:
    return draw(np.random.default_rng(11), ROWS)


@cache
def scores() -> NDArray[np.float64]:
    return CreditModel(7).score(people().rows)


def column(name: str) -> list[Any]:
    return [row[name] for row in people().rows]


def share(condition: Callable[[Row], bool]) -> float:
    return sum(map(condition, people().rows)) / ROWS


def test_a_seed_draws_the_same_people() -> None:
    first, again = (draw(np.random.default_rng(3), 50) for _ in range(2))
    assert first.rows == again.rows
    assert (first.repays == again.repays).all()
    assert all(tuple(row) == FEATURES for row in first.rows)


def test_shares_are_the_declared_ones() -> None:
    assert share(lambda row: row["device_type"] == "Android") == pytest.approx(ANDROID_SHARE, abs=0.01)
    assert share(lambda row: row["account_age_days"] < NEW_USER_DAYS) == pytest.approx(
        NEW_USER_SHARE, abs=0.005
    )
    assert share(lambda row: row["gender"] == "Female") == pytest.approx(0.5, abs=0.01)
    for name, wanted in RACES:
        assert share(lambda row, name=name: row["race"] == name) == pytest.approx(wanted, abs=0.01)  # type: ignore[misc]


def test_merchants_have_a_long_tail() -> None:
    counts = Counter(column("merchant"))
    assert set(counts) <= set(MERCHANTS)
    assert counts[MERCHANTS[0]] > 0.15 * ROWS
    assert sum(counts[name] for name in MERCHANTS[100:]) < 0.15 * ROWS


@pytest.mark.parametrize(
    ("first", "second"),
    list(combinations(["gender", "race", "device_type", "occupation", "new", "repays", "band"], 2)),
)
def test_who_an_applicant_is_says_nothing_of_the_rest(first: str, second: str) -> None:
    def values(name: str) -> list[Any]:
        derived = {
            "new": lambda: [row["account_age_days"] < NEW_USER_DAYS for row in people().rows],
            "repays": people().repays.tolist,
            "band": lambda: [min(int(row["age"]) // 15, 4) for row in people().rows],
        }
        return derived[name]() if name in derived else column(name)

    table = Counter(zip(values(first), values(second), strict=True))
    rows, columns = ({key[i] for key in table} for i in (0, 1))
    counts = [[table[a, b] for b in columns] for a in rows]
    assert stats.chi2_contingency(counts).pvalue > 1e-4


def test_labels_are_bernoulli_draws_of_the_chance() -> None:
    chance, repays = people().chance, people().repays
    for low in np.arange(0, 1, 0.1):
        inside = (chance >= low) & (chance < low + 0.1)
        expected, spread = chance[inside].sum(), np.sqrt((chance * (1 - chance))[inside].sum())
        assert abs(repays[inside].sum() - expected) < 4.5 * spread
    assert repays.mean() == pytest.approx(0.5, abs=0.02)


def test_another_profile_has_the_same_distribution() -> None:
    others = draw_financial(np.random.default_rng(5), 5_000)
    for name in FINANCIAL:
        own = [row[name] for row in people().rows[:5_000]]
        assert stats.ks_2samp(own, [row[name] for row in others]).pvalue > 1e-4


def rates(who: NDArray[np.bool_]) -> dict[str, float]:
    granted, repays = scores()[who] >= THRESHOLD, people().repays[who]
    return {
        "error_rate": float((granted != repays).mean()),
        "false_negative_rate": float((~granted[repays]).mean()),
        "false_positive_rate": float(granted[~repays].mean()),
        "positive_rate": float(granted.mean()),
    }


def test_the_model_errs_in_a_tenth_and_refuses_some_good_applicants() -> None:
    found = rates(np.ones(ROWS, np.bool_))
    assert found["error_rate"] == pytest.approx(0.105, abs=0.01)
    assert found["false_negative_rate"] == pytest.approx(0.15, abs=0.015)
    assert found["false_positive_rate"] == pytest.approx(0.06, abs=0.01)


@pytest.mark.parametrize("feature", ["gender", "race", "device_type", "occupation"])
def test_no_slice_starts_with_a_gap_worth_acting_on(feature: str) -> None:
    values = np.array(column(feature))
    for value in np.unique(values):
        mine, rest = rates(values == value), rates(values != value)
        for metric, rate in mine.items():
            odds_ratio = rate / (1 - rate) / (rest[metric] / (1 - rest[metric]))
            size = (values == value).sum() * (0.5 if "false" in metric else 1.0)
            slack = np.exp(4 * np.sqrt(1 / (size * rate * (1 - rate))))
            assert 1 / (1.05 * slack) < odds_ratio < 1.05 * slack, (value, metric)
            assert size < 3_000 or 1 / 1.25 < odds_ratio < 1.25, (value, metric)


def test_the_model_reads_what_serving_code_gets() -> None:
    row = people().rows[0]
    broken: list[Row] = [
        row,
        row | {"debt_ratio": str(row["debt_ratio"])},
        {name: value for name, value in row.items() if name != "late_payments"},
        row | {"income": float("nan")},
        row | {"income": "plenty", "amount_payable": [1], "debt_ratio": None},
        {},
    ]
    answers = CreditModel(7).score(broken)
    assert ((answers >= 0) & (answers <= 1)).all()
    assert answers[0] == answers[1]
    assert np.isnan(encode(broken)[4, FINANCIAL.index("income")])
    assert CreditModel(7).score([]).shape == (0,)


def test_a_seed_trains_the_same_model() -> None:
    sample = people().rows[:200]
    assert (CreditModel(7).score(sample) == scores()[:200]).all()
    assert (CreditModel(8).score(sample) != scores()[:200]).any()
