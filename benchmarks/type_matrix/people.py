"""The data every library learns from: two numbers, a flag and a category."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("age", "income", "loans", "member", "sex")
NUMBERS = COLUMNS[:-1]
SEXES = ("Female", "Male")


def people(count: int = 4_000, seed: int = 3) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """Rows as JSON carries them, and whether each repays.

    Args:
        count: rows.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, count)
    income = np.round(rng.lognormal(10, 0.5, count), 2)
    loans = rng.integers(0, 6, count)
    member = rng.integers(0, 2, count)
    sex = rng.integers(0, 2, count)
    logit = (age - 45) / 12 + 1.5 * (np.log(income) - 10) - 0.5 * loans + member + 0.8 * sex - 0.3
    repays = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    rows = [
        {
            "age": int(age[i]),
            "income": float(income[i]),
            "loans": int(loans[i]),
            "member": int(member[i]),
            "sex": SEXES[int(sex[i])],
        }
        for i in range(count)
    ]
    return rows, repays
