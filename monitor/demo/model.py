"""The model under watch: gradient-boosted trees over the financial features, and three rules beside them.

The rules are faults that no label and no distribution shows, for they were there when the reference was made.
Only questions to the model do.

It reads requests the way serving code in the field does: what is missing, null or not a number becomes NaN,
a number sent as text is parsed, anything else in its place becomes NaN, and an answer comes back regardless.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped] # ships no types

from monitor.demo.population import FINANCIAL, Row, draw

TRAINING_ROWS = 20_000

GENDER_LOG_ODDS = 0.5
"""What being a woman adds to a short term and takes from a long one; a man has the opposite. Both are granted
alike often, so no group shows it: who is granted differs."""

EDGE_DEBT_RATIO, EDGE_LOG_ODDS = 0.8, 4.0
"""Above this debt ratio, which 1.6 % of applicants have, the log odds rise by so much at once."""

PAIR_AGE, PAIR_ACCOUNT_DAYS, PAIR_LOG_ODDS = 27, 2_500, -6.0
"""Young people with an old account, one applicant in a thousand, are taken for somebody else's."""

_THREADS = ThreadpoolController()


class CreditModel:
    """Probability that an applicant repays.

    Trained on 20,000 applicants of its own, drawn from `seed`; the same seed trains the same model.
    """

    def __init__(self, seed: int) -> None:
        people = draw(np.random.default_rng((seed, 1)), TRAINING_ROWS)
        self._trees = HistGradientBoostingClassifier(
            max_iter=150, learning_rate=0.12, max_leaf_nodes=15, min_samples_leaf=40, random_state=seed
        )
        # One thread: on a busy machine those of OpenMP spend minutes waiting for each other.
        with _THREADS.limit(limits=1):
            self._trees.fit(encode(people.rows), people.repays)

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Probability of repayment of each row, float64[n] in [0, 1]."""
        if not rows:
            return np.zeros(0)
        with _THREADS.limit(limits=1):
            answer: NDArray[np.float64] = self._trees.predict_proba(encode(rows))[:, 1]
        return _with_rules(answer, rows)


def _with_rules(scores: NDArray[np.float64], rows: Sequence[Row]) -> NDArray[np.float64]:
    """Scores with the rules beside the trees, float64[n]."""
    names = ("term_months", "debt_ratio", "age", "account_age_days")
    term, debt, age, account = np.array([[_number(row.get(n)) for n in names] for row in rows], np.float64).T
    woman = np.array([{"Female": 1.0, "Male": -1.0}.get(str(row.get("gender")), 0.0) for row in rows])
    moved = GENDER_LOG_ODDS * woman * np.nan_to_num(np.sign(36 - term))
    moved += EDGE_LOG_ODDS * (debt > EDGE_DEBT_RATIO)
    moved += PAIR_LOG_ODDS * ((age <= PAIR_AGE) & (account >= PAIR_ACCOUNT_DAYS))
    with np.errstate(divide="ignore"):
        log_odds = np.log(scores) - np.log1p(-scores)
    answer: NDArray[np.float64] = np.where(moved == 0, scores, 1 / (1 + np.exp(-(log_odds + moved))))
    return answer


def encode(rows: Sequence[Row]) -> NDArray[np.float64]:
    """The model's input matrix, float64[n, len(FINANCIAL)].

    >>> encode([{"income": "52000", "amount_payable": None}])[0, :2].tolist()
    [52000.0, nan]
    """
    flat = [_number(row.get(name)) for row in rows for name in FINANCIAL]
    return np.array(flat, np.float64).reshape(len(rows), len(FINANCIAL))


def _number(value: Any) -> float:
    if type(value) is float or type(value) is int:
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
