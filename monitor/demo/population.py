"""A seeded population of credit applications with known truth.

Whether an applicant repays is a Bernoulli draw from a logistic function of six financial features,
independent between applicants. Who an applicant is (gender, race, device, age of the account, occupation,
merchant) is drawn independently of those six, so no slice starts with a gap, and a fault planted in
one slice cannot show in another that merely overlaps with it.

The positive class is *repays*, the positive decision is *grant*: a false negative is a good applicant
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

THRESHOLD: Final = 0.65
"""Grant where the probability of repayment reaches this: 15 % of good applicants are refused."""

NEW_USER_DAYS: Final = 30
"""An account younger than this many days belongs to a new user."""

NEW_USER_SHARE: Final = 0.08
ANDROID_SHARE: Final = 0.45

FEATURES: Final = (
    "age",
    "income",
    "amount_payable",
    "term_months",
    "credit_utilisation",
    "late_payments",
    "debt_ratio",
    "gender",
    "race",
    "device_type",
    "account_age_days",
    "occupation",
    "merchant",
    "employer",
)
"""Every feature of a request, in the order of a row."""

FINANCIAL: Final = FEATURES[1:7]
"""The features that decide repayment, and the only ones the model reads."""

GENDERS: Final = ("Female", "Male")
RACES: Final = (("White", 0.58), ("Hispanic", 0.19), ("Black", 0.13), ("Asian", 0.10))
TERMS: Final = (12, 24, 36, 48, 60)
OCCUPATIONS: Final = (
    "Administration",
    "Construction",
    "Driver",
    "Education",
    "Engineering",
    "Farming",
    "Healthcare",
    "Hospitality",
    "Management",
    "Retail",
    "Sales",
    "Student",
)

_TRADES: Final = (
    "Bakery", "Bikes", "Books", "Cameras", "Carpets", "Ceramics", "Computers", "Electronics", "Flowers",
    "Furniture", "Garden", "Jewellery", "Kitchens", "Lighting", "Music", "Optics", "Outdoor", "Pets",
    "Sports", "Travel",
)  # fmt: skip
_HOUSES: Final = ("Alder", "Birch", "Cedar", "Elm", "Harbour", "Hill", "Lake", "Maple", "North", "River")
MERCHANTS: Final = tuple(f"{house} {trade}" for trade in _TRADES for house in _HOUSES)
"""200 names; traffic falls with rank as 1 / rank, so most of them are rare."""

_FAMILIES: Final = (
    "Anderson", "Baker", "Carter", "Dawson", "Ellis", "Fletcher", "Graham", "Harper", "Irving",
    "Jensen", "Keller", "Lawson", "Mercer", "Norris", "Osborne", "Palmer", "Quinn", "Ramsey", "Sawyer",
    "Turner", "Underwood", "Vaughan", "Walker", "Young", "Bennett", "Coleman", "Dalton", "Emerson",
    "Foster", "Griffin", "Hayes", "Jordan", "Lambert", "Marshall", "Newton", "Parker", "Reynolds",
    "Sutton", "Thornton", "Webster",
)  # fmt: skip
_BUSINESSES: Final = (
    "Logistics", "Engineering", "Hospital", "School District", "Foods", "Insurance", "Motors",
    "Builders", "Hotels", "Software", "Textiles", "Energy", "Printing", "Pharmacy", "Consulting",
    "Airlines", "Farms", "Media", "Security", "Plumbing", "Chemicals", "Shipping", "Paper", "Steel",
    "Dental Care", "Law Offices", "Catering", "Cleaning", "Furniture", "Telecom", "Railways", "Water",
    "Mining", "Timber", "Glass", "Tools", "Robotics", "Gardens", "Recycling", "Supplies",
)  # fmt: skip
EMPLOYERS: Final = tuple(f"{family} {business}" for family in _FAMILIES for business in _BUSINESSES)
"""1,600 names, all equally common: a free text as far as any closed list is concerned."""

_MERCHANT_CDF: Final = np.cumsum(1 / np.arange(1, len(MERCHANTS) + 1)) / np.sum(
    1 / np.arange(1, len(MERCHANTS) + 1)
)
_SPREAD: Final = 6.0
"""Standard deviation of the logit of repayment: how sharp the truth is; a perfect model still errs in 9 %."""

Row = dict[str, Any]
"""The features of one request as a client sends them."""


@dataclass(frozen=True)
class People:
    """A draw from the population.

    Attributes:
        rows: one dictionary of features per applicant, in the order of `FEATURES`.
        repays: what will become known of each, bool[n].
        chance: true probability of repayment, float64[n] in (0, 1).
    """

    rows: list[Row]
    repays: NDArray[np.bool_]
    chance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


def draw(rng: np.random.Generator, count: int) -> People:
    """Draw `count` independent applicants; the same generator state draws the same people.

    >>> people = draw(np.random.default_rng(7), 3)
    >>> len(people), tuple(people.rows[0]) == FEATURES
    (3, True)
    """
    columns, chance = _financial(rng, count)
    repays = rng.random(count) < chance
    new = rng.random(count) < NEW_USER_SHARE
    account_age_days = np.where(
        new,
        rng.integers(0, NEW_USER_DAYS, count),
        NEW_USER_DAYS + np.minimum(rng.exponential(700, count), 5_000).astype(np.int64),
    )
    race_cdf = np.cumsum([share for _, share in RACES])
    race_names = [name for name, _ in RACES]
    everything: dict[str, list[Any]] = {
        "age": np.clip(rng.gamma(6.0, 4.5, count) + 18, 18, 90).astype(np.int64).tolist(),
        **columns,
        "gender": _named(GENDERS, rng.integers(0, len(GENDERS), count)),
        "race": _named(race_names, np.searchsorted(race_cdf[:-1], rng.random(count), side="right")),
        "device_type": _named(("iPhone", "Android"), (rng.random(count) < ANDROID_SHARE).astype(np.int64)),
        "account_age_days": account_age_days.tolist(),
        "occupation": _named(OCCUPATIONS, rng.integers(0, len(OCCUPATIONS), count)),
        "merchant": _named(MERCHANTS, np.searchsorted(_MERCHANT_CDF[:-1], rng.random(count), side="right")),
        "employer": _named(EMPLOYERS, rng.integers(0, len(EMPLOYERS), count)),
    }
    rows = [
        dict(zip(FEATURES, values, strict=True))
        for values in zip(*(everything[name] for name in FEATURES), strict=True)
    ]
    return People(rows, repays, chance)


def draw_financial(rng: np.random.Generator, count: int) -> list[Row]:
    """The financial features of `count` applicants and nothing else: somebody else's profile."""
    columns, _ = _financial(rng, count)
    return [
        dict(zip(FINANCIAL, values, strict=True))
        for values in zip(*(columns[name] for name in FINANCIAL), strict=True)
    ]


def _financial(rng: np.random.Generator, count: int) -> tuple[dict[str, list[Any]], NDArray[np.float64]]:
    """Columns of the financial features and the chance of repayment that follows from them."""
    income, amount, utilisation, debt = rng.standard_normal((4, count))
    late = np.minimum(rng.poisson(1.2, count), 9)
    term = rng.integers(0, len(TERMS), count)
    signal = (
        0.48 * income
        - 0.48 * amount
        - 0.45 * utilisation
        - 0.35 * debt
        - 0.40 * (late - 1.2) / np.sqrt(1.2)
        - 0.15 * (term - 2) / np.sqrt(2)
    )
    chance = 1 / (1 + np.exp(-_SPREAD * signal))
    # Values are rounded as a client would send them; the truth is drawn from the unrounded ones.
    columns: dict[str, list[Any]] = {
        "income": (10 * np.rint(5_200 * np.exp(0.45 * np.clip(income, -3.5, 3.5)))).astype(np.int64).tolist(),
        "amount_payable": np.round(3_000 * np.exp(0.7 * np.clip(amount, -3.5, 3.5)), 2).tolist(),
        "term_months": _named(TERMS, term),
        "credit_utilisation": np.round(1 / (1 + np.exp(0.8 - 0.9 * np.clip(utilisation, -3, 3))), 4).tolist(),
        "late_payments": late.tolist(),
        "debt_ratio": np.round(np.exp(-1.3 + 0.5 * np.clip(debt, -3.5, 3.5)), 4).tolist(),
    }
    return columns, chance


def _named(names: tuple[Any, ...] | list[Any], index: NDArray[np.int64] | NDArray[np.intp]) -> list[Any]:
    """The name at each index."""
    return [names[i] for i in index.tolist()]
