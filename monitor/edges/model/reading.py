"""Scores and decisions in a response, where they usually are or where a path says.

>>> [answer.score for answer in read({"predictions": [[0.3, 0.7], [0.9, 0.1]]}, 2, Reading())]
[0.7, 0.1]
>>> read([{"score": 0.4, "decision": False}], 1, Reading())
[Answer(score=0.4, decision=0, error=None)]
>>> read({"out": {"p": [0.2, 0.4]}}, 2, Reading(score="$.out.p[*]"))[1].score
0.4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from monitor.core.mapping import parse_path
from monitor.core.probes.answers import Answer, is_score
from monitor.core.probes.endpoint import Endpoint, Failure

_LISTS: Final = ("predictions", "scores", "probabilities", "results", "outputs", "data")
_SCORES: Final = ("score", "probability", "probabilities", "scores", "prediction", "predictions", "value")
_DEPTH_MAX: Final = 8
_CLASS_MAX: Final = 2**31
"""No class has a greater number."""

Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class Path:
    """A path with at most one `[*]`, which stands for every item of a list.

    Attributes:
        before: steps to the list, or to the value.
        after: steps in each item; None where there is no `[*]`.
    """

    before: Steps
    after: Steps | None

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read `$.predictions[*].score`.

        Raises:
            MappingError: not a path.
        """
        head, star, tail = text.partition("[*]")
        return cls(parse_path(head), parse_path("$" + tail) if star else None)

    def find(self, document: Any, count: int) -> list[Any] | None:
        """One value a row; None where there are not as many."""
        found = _walk(document, self.before)
        if self.after is not None:
            found = [_walk(item, self.after) for item in found] if isinstance(found, list) else None
        elif count == 1 and not (isinstance(found, list) and len(found) == 1):
            found = [found]
        return found if isinstance(found, list) and len(found) == count else None


@dataclass(frozen=True)
class Reading:
    """How responses are read; the fields are those of `Endpoint`."""

    score: str | None = None
    decision: str | None = None
    positive_class: bool | int | str = 1

    @classmethod
    def of(cls, endpoint: Endpoint) -> Reading:
        """As an endpoint says."""
        return cls(endpoint.score, endpoint.decision, endpoint.positive_class)

    @cached_property
    def score_path(self) -> Path | None:
        """Of scores."""
        return None if self.score is None else Path.parse(self.score)

    @cached_property
    def decision_path(self) -> Path | None:
        """Of decisions."""
        return None if self.decision is None else Path.parse(self.decision)

    def answers(self, items: Sequence[Any], decisions: Sequence[Any] | None = None) -> list[Answer]:
        """One answer an item: a number, a list of probabilities, a label, or an object that holds one."""
        given = [None] * len(items) if decisions is None else decisions
        return [self._answer(item, decision) for item, decision in zip(items, given, strict=True)]

    def _answer(self, item: Any, decision: Any) -> Answer:
        if isinstance(item, dict) and decision is None:
            decision = item.get("decision")
        score = self._score(item, 0)
        if isinstance(score, Failure):
            return Answer(error=score)
        if decision is None and isinstance(item, str | bool):
            decision = item
        return Answer(score=score, decision=self._decision(decision))

    def _score(self, item: Any, depth: int) -> float | Failure:
        if depth > _DEPTH_MAX:
            return Failure.NO_SCORE
        if item is None:
            return Failure.NOT_A_NUMBER  # how NaN is written by those that cannot write it
        if isinstance(item, bool | int | float):
            return _finite(item)
        if isinstance(item, str):
            return self._label(item)
        if isinstance(item, list):
            return self._score(item[-1], depth + 1) if len(item) in {1, 2} else Failure.NO_SCORE
        for key in (str(self.positive_class), *_SCORES):
            if key in item:
                return self._score(item[key], depth + 1)
        return Failure.NO_SCORE

    def _label(self, text: str) -> float | Failure:
        """A class as text is a score of 1 or 0; a number as text is that number."""
        if isinstance(self.positive_class, str):
            return float(text == self.positive_class)
        try:
            return _finite(float(text))
        except ValueError:
            return Failure.NO_SCORE

    def _decision(self, value: Any) -> int | None:
        if isinstance(value, int | float):
            within = -_CLASS_MAX <= value <= _CLASS_MAX  # neither NaN nor infinities are
            return int(value) if within and value == int(value) else None
        return None if value is None else int(str(value) == str(self.positive_class))


def read(document: Any, count: int, reading: Reading) -> list[Answer] | Failure:
    """Answers in a response to `count` rows, or why there are not as many."""
    if reading.score_path is not None:
        items = reading.score_path.find(document, count)
    else:
        items = _items(document, count)
    if items is None:
        return Failure.ROW_COUNT if _has_list(document) else Failure.NO_SCORE
    decisions = None
    if reading.decision_path is not None:
        decisions = reading.decision_path.find(document, count)
        if decisions is None:
            return Failure.ROW_COUNT
    return reading.answers(items, decisions)


def _items(document: Any, count: int) -> list[Any] | None:
    if isinstance(document, list):
        # The probabilities of one row may come without a list around them.
        alone = count == 1 and len(document) > 1 and not isinstance(document[0], list | dict)
        return [document] if alone else document if len(document) == count else None
    held: list[list[Any]] = (
        [document[key] for key in _LISTS if isinstance(document.get(key), list)]
        if isinstance(document, dict)
        else []
    )
    for items in held:
        if len(items) == count:
            return items
    several = any(not items or isinstance(items[0], list | dict) for items in held)
    return [document] if count == 1 and not several else None


def _has_list(document: Any) -> bool:
    return isinstance(document, list) or (
        isinstance(document, dict) and any(isinstance(document.get(key), list) for key in _LISTS)
    )


def _finite(value: float) -> float | Failure:
    try:
        number = float(value)
    except OverflowError:
        return Failure.NOT_A_NUMBER
    return number if is_score(number) else Failure.NOT_A_NUMBER


def _walk(value: Any, steps: Steps) -> Any:
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value
