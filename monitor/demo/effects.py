"""What a fault does to requests and answers: one small class for each way things go wrong.

An effect acts on the rows of a batch in place, before the model sees them or after it has answered, and draws
from the generator it is given, so that a seed repeats it. `share` is the probability that a row it may hit
is hit, in [0, 1]; rows are hit independently of all they hold and of what will become of them.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.demo.population import Row, draw_financial

Condition = Callable[[Row], bool]
Change = Callable[[Any, np.random.Generator], Any]

_CAREER_BREAK_SCORES: Final = (1.5, 3.35)
"""Beta parameters; 5.8 % of such scores reach the threshold, the false positive rate of the healthy model."""


class Effect:
    """Does nothing; the members of the family override one of the two."""

    def on_request(self, rows: Sequence[Row], rng: np.random.Generator) -> None:
        """Change features in place, before the model sees them."""

    def on_answer(self, rows: Sequence[Row], scores: NDArray[np.float64], rng: np.random.Generator) -> None:
        """Change scores in place, float64[len(rows)], after the model has answered."""


@dataclass(frozen=True)
class Edited(Effect):
    """One feature is changed in a share of the rows."""

    feature: str
    share: float
    change: Change

    def on_request(self, rows: Sequence[Row], rng: np.random.Generator) -> None:
        """Put the changed value in the place of the true one."""
        for row in _hit(rows, self.share, rng):
            row[self.feature] = self.change(row[self.feature], rng)


@dataclass(frozen=True)
class Dropped(Effect):
    """One feature is not sent in a share of the rows."""

    feature: str
    share: float

    def on_request(self, rows: Sequence[Row], rng: np.random.Generator) -> None:
        """Take the feature out."""
        for row in _hit(rows, self.share, rng):
            del row[self.feature]


@dataclass(frozen=True)
class SomebodyElse(Effect):
    """In a share of the rows of one slice, the financial features are those of another applicant.

    Each feature keeps its distribution, so nothing but the errors can show it.
    """

    who: Condition
    share: float

    def on_request(self, rows: Sequence[Row], rng: np.random.Generator) -> None:
        """Give rows of the slice the profile of another applicant."""
        hit = _hit([row for row in rows if self.who(row)], self.share, rng)
        for row, other in zip(hit, draw_financial(rng, len(hit)), strict=True):
            row.update(other)


@dataclass(frozen=True)
class MarkedDown(Effect):
    """In a share of the rows of one slice, the answer ignores the applicant and is nearly always a refusal.

    As many bad applicants of the slice are granted as before: the false positive rate stays, the false
    negative rate rises. That is a breach of equal opportunity and of nothing else.
    """

    who: Condition
    share: float

    def on_answer(self, rows: Sequence[Row], scores: NDArray[np.float64], rng: np.random.Generator) -> None:
        """Give rows of the slice a score that is nearly always below the threshold."""
        hit = np.array([self.who(row) for row in rows], np.bool_) & (rng.random(len(rows)) < self.share)
        scores[hit] = rng.beta(*_CAREER_BREAK_SCORES, int(hit.sum()))


def _hit(rows: Sequence[Row], share: float, rng: np.random.Generator) -> list[Row]:
    return [rows[i] for i in np.flatnonzero(rng.random(len(rows)) < share).tolist()]


def constant(value: Any) -> Change:
    """Whatever it was, it is `value` now."""
    return lambda _value, _rng: value


def times(factor: float) -> Change:
    """Another unit, rounded to cents."""
    return lambda value, _rng: round(value * factor, 2)


def as_text(value: Any, _rng: np.random.Generator) -> str:
    """The number as a string of its digits."""
    return str(value)


def gibberish(value: str, rng: np.random.Generator) -> str:
    """Random lower-case letters, as many as the text had."""
    return "".join(string.ascii_lowercase[i] for i in rng.integers(0, 26, len(value)).tolist())


def raised(value: float, _rng: np.random.Generator) -> float:
    """A share in [0, 1] moved up by a fifth of what is left, within the range it has always had."""
    return round(min(0.86, value + 0.2 * (1 - value)), 4)
