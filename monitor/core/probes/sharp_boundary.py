"""Sharp edges: the largest jump of the score within a step that nobody would notice.

After the scan, the intervals with the largest change of score are halved, always towards the half that
holds more of it, until a step is at most a hundredth of an interquartile range.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np

from monitor.core.probes.answers import Answers, Case, Features, ProbeResult, Subject, Trial
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.scan import Point, ask, fits, look
from monitor.core.probes.variants import RANK_FLOOR, case_of, in_words, put, worst

STEP_IQR: Final = 0.01
"""A step is small up to this many interquartile ranges."""

WHOLE_STEP_IQR: Final = 0.05
"""Where values are whole or rounded, one unit of the last place is a small step up to this size."""


@dataclass(frozen=True)
class _Edge:
    """An interval of one feature and the scores at its ends."""

    low: Point
    high: Point

    @property
    def jump(self) -> float:
        return abs((self.high.answer.score or 0.0) - (self.low.answer.score or 0.0))


@dataclass(frozen=True)
class SharpBoundary:
    """Configuration of the probe.

    Attributes:
        queries_max: rows a request may cost.
        kept: of these, rows kept for halving.
        jump_min: a score change within a small step that is an edge.
    """

    queries_max: int = 140
    kept: int = 40
    jump_min: float = 0.2

    name: ClassVar[str] = "sharp_boundary"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """Scan, halve the steepest, judge."""
        points = yield from look(subject, self.queries_max - self.kept, rng)
        left = self.queries_max - sum(map(len, points.values()))
        edges = [edge for name, seen in points.items() for edge in _edges(subject, name, seen)]
        edges = sorted((e for e in edges if e.jump >= self.jump_min), key=lambda edge: -edge.jump)
        steps = max((_steps(subject, edge) for edge in edges), default=1)
        edges = yield from self._halve(subject, edges[: max(1, left // max(steps, 1))], left)
        sharp = {
            name: max((e for e in edges if e.low.feature == name and _is_small(subject, e)),
                      key=lambda e: e.jump, default=None)
            for name, seen in points.items() if subject.space.axes[name].numeric
        }  # fmt: skip
        trials = [_trial(subject, self, name, edge) for name, edge in sharp.items()]
        found = [edge for edge in sharp.values() if edge is not None and edge.jump >= self.jump_min]
        return ProbeResult(self.name, subject, tuple(trials), worst(_case(self, subject, e) for e in found))

    def _halve(
        self, subject: Subject, edges: list[_Edge], left: int
    ) -> Generator[Sequence[Features], Answers, list[_Edge]]:
        while left > 0:
            wanted: list[tuple[int, float]] = []
            for place, edge in enumerate(edges):
                if edge.jump >= self.jump_min and (middle := _middle(subject, edge)) is not None:
                    wanted.append((place, middle))
            wanted = sorted(wanted, key=lambda one: -edges[one[0]].jump)[:left]
            if not wanted:
                break
            values = [(edges[place].low.feature, middle) for place, middle in wanted]
            found = yield from ask(subject, values)
            left -= len(wanted)
            at = {(p.feature, p.value): p for seen in found.values() for p in seen}
            for (place, _), key in zip(wanted, values, strict=True):
                edges[place] = _steeper(edges[place], at[key])
        return edges


def _edges(subject: Subject, name: str, seen: Sequence[Point]) -> list[_Edge]:
    """Intervals between neighbouring values, the request's own among them."""
    if not subject.space.axes[name].numeric:
        return []
    own = Point(name, subject.features[name], put(subject.features, {}), subject.base)
    known = sorted([own, *(p for p in seen if p.answer.error is None)], key=lambda p: float(p.value))
    return [_Edge(low, high) for low, high in itertools.pairwise(known)]


def _steps(subject: Subject, edge: _Edge) -> int:
    """Halvings until the interval is small."""
    axis = subject.space.axes[edge.low.feature]
    return max(0, math.ceil(math.log2(max(axis.distance(edge.low.value, edge.high.value) / STEP_IQR, 1.0))))


def _middle(subject: Subject, edge: _Edge) -> float | None:
    if _is_small(subject, edge):
        return None
    name = edge.low.feature
    axis = subject.space.axes[name]
    middle = axis.number((edge.low.value + edge.high.value) / 2, axis.places(subject.features[name]))
    between = edge.low.value < middle < edge.high.value
    return middle if between and fits(subject, name, middle) else None


def _is_small(subject: Subject, edge: _Edge) -> bool:
    axis = subject.space.axes[edge.low.feature]
    length = axis.distance(edge.low.value, edge.high.value)
    places = axis.places(subject.features[axis.name])
    if places is None:
        return length <= STEP_IQR
    last_place = 10.0**-places / axis.unit
    small = max(STEP_IQR, last_place if last_place <= WHOLE_STEP_IQR else 0.0)
    return length <= small * (1 + 1e-9)


def _steeper(edge: _Edge, middle: Point) -> _Edge:
    if middle.answer.error is not None:
        return replace(edge, high=middle, low=middle)
    return max(_Edge(edge.low, middle), _Edge(middle, edge.high), key=lambda half: half.jump)


def _trial(subject: Subject, probe: SharpBoundary, name: str, edge: _Edge | None) -> Trial:
    if edge is None:
        return Trial(name, score_change=0.0)
    sharp = edge.jump >= probe.jump_min
    flips = subject.decision(edge.low.answer) != subject.decision(edge.high.answer)
    axis = subject.space.axes[name]
    return Trial(
        name,
        flipped=sharp and flips,
        different=sharp,
        score_change=edge.jump,
        distance_iqr=axis.distance(edge.low.value, edge.high.value) if sharp and flips else None,
    )


def _case(probe: SharpBoundary, subject: Subject, edge: _Edge) -> Case:
    axis = subject.space.axes[edge.low.feature]
    case = case_of(probe.name, subject, (axis.name,), edge.high.row, edge.high.answer)
    travelled = axis.travelled(edge.low.value, edge.high.value)
    return replace(
        case,
        words=in_words(subject, axis.name, edge.low.value, edge.high.value),
        original=edge.low.row,
        before=edge.low.answer,
        flipped=subject.decision(edge.low.answer) != subject.decision(edge.high.answer),
        severity=edge.jump / (travelled + RANK_FLOOR),
        distance_iqr=axis.distance(edge.low.value, edge.high.value),
        distance_quantile=travelled,
    )
