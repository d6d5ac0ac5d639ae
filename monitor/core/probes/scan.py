"""The first look along every feature: a coarse grid of quantiles and the plausible ends.

Quantiles say where the traffic is, the ends how far it goes; without the ends a smooth model shows only
three quarters of its flips.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from monitor.core.probes.answers import Answer, Answers, Features, Subject
from monitor.core.probes.space import Axis
from monitor.core.probes.variants import put

INTERIOR: Final = 4
"""Quantiles of the grid between the ends: 4 find what 16 do, once the rest is spent near the decision."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value of one feature and the answer to it."""

    feature: str
    value: Any
    row: Features
    answer: Answer


def candidates(subject: Subject, axis: Axis, interior: int, beside: float | None = None) -> list[Any]:
    """Values to try of one feature, plausible with the rest of the request: the ends first.

    Args:
        subject: the request.
        axis: the feature.
        interior: quantiles between the ends.
        beside: share of the reference; given, the two values so far from the request's own take their place.
    """
    here = subject.features[axis.name]
    if axis.numeric:
        places = axis.places(here)
        inner = axis.grid(interior) if beside is None else axis.around(here, beside)[:interior]
        tried: Sequence[Any] = [axis.number(v, places) for v in [axis.low, axis.high, *inner]]
    else:
        tried = axis.values
    return [value for value in dict.fromkeys(tried) if value != here and fits(subject, axis.name, value)]


def fits(subject: Subject, name: str, value: Any) -> bool:
    """Whether the request with one value changed could come: plausible, and no further out than it was."""
    axis, here = subject.space.axes[name], subject.features[name]
    if axis.numeric and not min(axis.low, here) <= value <= max(axis.high, here):
        return False
    return subject.space.plausible(put(subject.features, {name: value}), (name,))


def look(
    subject: Subject, rows_max: int, rng: np.random.Generator, beside: float | None = None
) -> Generator[Sequence[Features], Answers, dict[str, list[Point]]]:
    """One round: every searchable feature along its grid.

    Args:
        subject: the request.
        rows_max: rows to ask at most; short of them grids become coarser, then features are drawn.
        rng: for the draw.
        beside: see `candidates`.

    Returns:
        Feature → its points, in the order asked.
    """
    names = list(subject.searchable())
    interior = max(0, min(INTERIOR, rows_max // max(len(names), 1) - 2))
    if len(names) * 2 > rows_max:
        names = [names[i] for i in sorted(rng.choice(len(names), rows_max // 2, replace=False))]
    axes = subject.space.axes
    wanted = [
        (name, value)
        for name in names
        for value in candidates(subject, axes[name], interior, beside)[: interior + 2]
    ]
    return (yield from ask(subject, wanted))


def ask(
    subject: Subject, wanted: Sequence[tuple[str, Any]]
) -> Generator[Sequence[Features], Answers, dict[str, list[Point]]]:
    """Values of single features, in one round."""
    rows = [put(subject.features, {name: value}) for name, value in wanted]
    answers = yield rows
    found: dict[str, list[Point]] = {}
    for (name, value), row, answer in zip(wanted, rows, answers, strict=True):
        found.setdefault(name, []).append(Point(name, value, row, answer))
    return found


def merge(points: Mapping[str, list[Point]], more: Mapping[str, list[Point]]) -> dict[str, list[Point]]:
    """Points of both, feature by feature."""
    return {name: [*points.get(name, []), *more.get(name, [])] for name in {**points, **more}}


def pull(subject: Subject, answer: Answer) -> float:
    """How far an answer has moved towards the other decision: positive is nearer, in score.

    Where nothing decides, any movement counts.
    """
    change = subject.change(answer)
    if change is None:
        return -np.inf
    decided = subject.decision(subject.base)
    if decided is None or subject.threshold is None:
        return abs(change)
    return -change if subject.base.score is not None and subject.base.score >= subject.threshold else change
