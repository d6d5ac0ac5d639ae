"""What a model predicts, guessed from its labels and its answers.

Labels speak first, for they are what the model is measured by; answers speak where there are none. What
the sample leaves open is said, so that a person looks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.tasks.binary import plain_class
from monitor.core.tasks.multiclass import CLASSES_MAX

NUMBER_CLASSES_MAX: Final = 20
"""More distinct whole numbers than these are amounts rather than classes."""

_SURE_LABELS: Final = 20
"""Fewer labels of two values may be two amounts."""

ClassName = bool | int | str


@dataclass(frozen=True)
class TaskGuess:
    """What a model predicts.

    Attributes:
        task: binary, multiclass or regression.
        why: what in the sample says so.
        doubts: what a person should look at.
    """

    task: str
    why: str
    doubts: tuple[str, ...] = ()


def guess_task(answers: Mapping[str, Iterable[Any]]) -> TaskGuess:
    """What a model predicts, from the values of `label` and of the fields that it may answer with.

    >>> guess_task({"label": [12.5, 80.0, 31.2]}).task, guess_task({"label": ["a", "b", "c"]}).task
    ('regression', 'multiclass')
    >>> guess_task({"label": ["good", "bad"], "score": [0.2, 0.7]}).why
    'labels have two values'
    """
    seen = {field: [value for value in values if _is_there(value)] for field, values in answers.items()}
    if any(isinstance(value, dict | list) for value in seen.get("probabilities", ())):
        return TaskGuess("multiclass", "records have probabilities")
    return _by_labels(seen) or _by_answers(seen) or _by_default(seen)


def _by_labels(seen: Mapping[str, Sequence[Any]]) -> TaskGuess | None:
    labels = [label for label in seen.get("label", ()) if isinstance(label, bool | int | float | str)]
    if not labels:
        return None
    distinct = Counter(map(plain_class, labels))
    numbers = _numbers(labels)
    outside = _outside(seen)
    if numbers and len(numbers) == len(labels):
        if any(not float(number).is_integer() for number in numbers):
            return TaskGuess("regression", f"labels are numbers with a fraction, e.g. {_example(numbers)}")
        if len(distinct) > NUMBER_CLASSES_MAX:
            return TaskGuess("regression", f"labels are {len(distinct):,} different numbers")
        if outside and (len(distinct) > 2 or len(labels) < _SURE_LABELS) and not _among(seen, distinct):
            return TaskGuess("regression", f"labels are numbers and {outside}")
        if len(distinct) > 2:
            doubt = "task: labels are a few whole numbers; if they are amounts, say --task regression"
            return TaskGuess("multiclass", f"labels are {len(distinct)} whole numbers", (doubt,))
    if len(distinct) > CLASSES_MAX:
        doubt = f"task: labels have {len(distinct):,} values, and at most {CLASSES_MAX} classes can be told"
        return TaskGuess("binary", "labels are texts", (doubt,))
    if len(distinct) > 2:
        return TaskGuess("multiclass", f"labels have {len(distinct)} values")
    doubts = [f"score: {outside}, but that of a binary model is a probability"] if outside else []
    if len(distinct) == 1:
        doubts.append(
            f"task: every label is {next(iter(distinct))!r}; the other classes are not in the sample"
        )
        return TaskGuess("binary", "labels have one value", tuple(doubts))
    return TaskGuess("binary", "labels have two values", tuple(doubts))


def _by_answers(seen: Mapping[str, Sequence[Any]]) -> TaskGuess | None:
    outside = _outside(seen)
    if outside:
        return TaskGuess("regression", outside)
    if seen.get("score"):
        return TaskGuess("binary", "scores are between 0 and 1")
    decisions = {
        plain_class(value) for value in seen.get("decision", ()) if isinstance(value, bool | int | str)
    }
    if len(decisions) > 2:
        doubt = "task: no labels in the sample; that of several classes is guessed from decisions"
        return TaskGuess("multiclass", f"decisions have {len(decisions)} values", (doubt,))
    if seen.get("value") and not seen.get("decision"):
        return TaskGuess("regression", "records have a value and neither score nor decision")
    return None


def _by_default(seen: Mapping[str, Sequence[Any]]) -> TaskGuess:
    what = "decisions have two values at most" if seen.get("decision") else "nothing in the sample says more"
    return TaskGuess("binary", what, ("task: binary for want of labels; --task says another",))


def _outside(seen: Mapping[str, Sequence[Any]]) -> str:
    """What shows that answers are amounts; empty where nothing does."""
    for field in ("score", "decision", "value"):
        numbers = _numbers(seen.get(field, ()))
        if field == "value" and (seen.get("score") or seen.get("decision")):
            continue  # then it is rather a feature
        beyond = [number for number in numbers if not 0 <= number <= 1]
        if field != "score":  # classes are whole numbers, -1 and 2 among them
            beyond = [number for number in numbers if not float(number).is_integer()]
            if len(set(numbers)) > NUMBER_CLASSES_MAX:
                beyond = numbers
        if beyond:
            return f"{field}s are numbers such as {_example(beyond)}"
    return ""


def _among(seen: Mapping[str, Sequence[Any]], classes: Mapping[str, int]) -> bool:
    """Whether decisions are made, and every one is a label too."""
    decisions = [value for value in seen.get("decision", ()) if isinstance(value, bool | int | float | str)]
    return bool(decisions) and all(plain_class(value) in classes for value in decisions)


def guess_classes(answers: Mapping[str, Iterable[Any]]) -> tuple[tuple[ClassName, ...], tuple[str, ...]]:
    """The classes of a multiclass model, as labels name them, and what a person should look at.

    >>> guess_classes({"label": ["dog", "cat"], "probabilities": [{"cat": 0.4, "dog": 0.5, "cow": 0.1}]})
    (('cat', 'cow', 'dog'), ())
    """
    found: dict[str, ClassName] = {}
    lengths: set[int] = set()
    for field in ("label", "decision", "probabilities"):
        for value in answers.get(field, ()):
            if field == "probabilities":
                lengths |= {len(value)} if isinstance(value, list) else set()
                names: Iterable[Any] = value if isinstance(value, dict) else ()
            else:
                names = (value,)
            for name in names:
                if isinstance(name, float) and _is_there(name) and name.is_integer():
                    found.setdefault(plain_class(name), int(name))
                elif isinstance(name, bool | int | str):
                    found.setdefault(plain_class(name), name)
    numeric = all(isinstance(name, int) for name in found.values())
    order: Callable[[ClassName], Any] = int if numeric else str
    classes = tuple(sorted(found.values(), key=order))[:CLASSES_MAX]
    doubts = []
    if lengths:
        doubts.append("classes: probabilities are a list; put the classes in its order")
    if lengths and lengths != {len(classes)}:
        sizes = " or ".join(map(str, sorted(lengths)))
        doubts.append(f"classes: probabilities have {sizes} entries, but {len(classes)} classes were seen")
    if len(found) > CLASSES_MAX:
        doubts.append(f"classes: {len(found):,} were seen; at most {CLASSES_MAX} can be told")
    if len(classes) < 2:
        doubts.append("classes: fewer than two in the sample; name every one")
    return classes, tuple(doubts)


def guess_unit(answers: Mapping[str, Iterable[Any]]) -> float:
    """An ordinary size of the labels, else of the values, to one digit; 1 where there is none.

    >>> guess_unit({"label": [212_000, 340_000, 185_500]}), guess_unit({})
    (200000.0, 1.0)
    """
    for field in ("label", "value", "score", "decision"):
        sizes = sorted(abs(number) for number in _numbers(answers.get(field, ())) if number)
        if sizes:
            unit = float(f"{sizes[len(sizes) // 2]:.0e}")
            return unit if 1e-100 < unit < 1e100 else 1.0
    return 1.0


def _numbers(values: Iterable[Any]) -> list[float]:
    found = []
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_there(value):
            try:
                found.append(float(value))
            except OverflowError:  # an integer beyond the range of floats
                continue
    return found


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _example(numbers: Sequence[float]) -> str:
    return f"{numbers[0]:,.6g}"
