"""The smallest change of one feature that changes the decision.

A grid along every feature finds where the decision is another; each bracket between the last value of the
same decision and the first of the other one is halved until it is tight. Only the nearest brackets are worth
it, and a bracket whose near end is already further than the best flip is left. Where nothing flips, the rest
is spent beside the values that came closest.

Sources: scan, bracket and bisect on score-only access, as in decision-based attacks (Chen, Jordan and
Wainwright 2020, doi:10.1109/SP40000.2020.00045) with one feature at a time, which steps of trees allow and
gradients do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monitor.core.probes.answers import Answers, Features, ProbeResult, Subject, Trial
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.scan import Point, ask, candidates, fits, look, merge, pull
from monitor.core.probes.variants import case_of, trial_of, worst

Points = dict[str, list[Point]]


@dataclass(frozen=True)
class _Bracket:
    """Between `near`, of the same decision, and `far`, of the other."""

    feature: str
    near: float
    far: float
    least: float  # distance of `near` from the request, in interquartile ranges
    most: float  # of `far`


@dataclass(frozen=True)
class SingleFeature:
    """Configuration of the probe.

    Attributes:
        queries_max: rows a request may cost.
        refined: brackets halved at a time.
        kept: of `queries_max`, rows kept for halving.
        tight: a bracket is tight when it is this share of its distance, or this many interquartile ranges.
    """

    queries_max: int = 140
    refined: int = 3
    kept: int = 18
    tight: float = 0.002

    name: ClassVar[str] = "single_feature"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """Scan, then refine."""
        points = yield from look(subject, self.queries_max - self.kept, rng)
        left = self.queries_max - _count(points)
        if not _flipped(subject, points):
            points, left = yield from self._closer(subject, points, left)
        points = yield from self._halve(subject, points, left)
        trials = [trial_of(subject, name, _asked(found)) for name, found in points.items()]
        best = _best(subject, points)
        cases = worst(case_of(self.name, subject, (p.feature,), p.row, p.answer) for p in best)
        return ProbeResult(self.name, subject, (_whole(trials), *trials) if trials else (), cases)

    def _closer(
        self, subject: Subject, points: Points, left: int
    ) -> Generator[Sequence[Features], Answers, tuple[Points, int]]:
        """Nothing flips: look beside what came closest, a few rows at a time, until something does."""
        while left > self.kept // 3 and not _flipped(subject, points):
            wanted = _beside(subject, points, min(self.refined * 2, left - self.kept // 3))
            if not wanted:
                break
            points = merge(points, (yield from ask(subject, wanted)))
            left -= len(wanted)
        return points, left

    def _halve(
        self, subject: Subject, points: Points, left: int
    ) -> Generator[Sequence[Features], Answers, Points]:
        while left > 0:
            wanted = [
                (bracket.feature, middle)
                for bracket in _brackets(subject, points)
                if (middle := self._middle(subject, bracket)) is not None
            ][: min(self.refined, left)]
            if not wanted:
                break
            points = merge(points, (yield from ask(subject, wanted)))
            left -= len(wanted)
        return points

    def _middle(self, subject: Subject, bracket: _Bracket) -> float | None:
        """The legal value half way; None where the bracket is tight."""
        axis = subject.space.axes[bracket.feature]
        if bracket.most - bracket.least <= self.tight * max(bracket.most, 0.1):
            return None
        places = axis.places(subject.features[bracket.feature])
        middle = axis.number((bracket.near + bracket.far) / 2, places)
        between = min(bracket.near, bracket.far) < middle < max(bracket.near, bracket.far)
        return middle if between and fits(subject, bracket.feature, middle) else None


def _brackets(subject: Subject, points: Points) -> list[_Bracket]:
    """One per feature and side on which something flips, nearest first, without those that cannot win."""
    found = []
    for name, seen in points.items():
        axis = subject.space.axes[name]
        if not axis.numeric:
            continue
        here = float(subject.features[name])
        for side in (-1, 1):
            near = here
            for point in sorted(seen, key=lambda p: side * p.value):
                if side * (point.value - here) <= 0:
                    continue
                if subject.flips(point.answer):
                    far = float(point.value)
                    found.append(
                        _Bracket(name, near, far, axis.distance(here, near), axis.distance(here, far))
                    )
                    break
                near = float(point.value)
    best = min((bracket.most for bracket in found), default=math.inf)
    return sorted((b for b in found if b.least < best), key=lambda b: b.most)


def _beside(subject: Subject, points: Points, count: int) -> list[tuple[str, Any]]:
    """Values next to the points that came closest to the other decision, the most promising first."""
    wanted: dict[tuple[str, Any], float] = {}
    for name, seen in points.items():
        axis = subject.space.axes[name]
        if not axis.numeric:
            rest = [v for v in candidates(subject, axis, 0) if v not in {p.value for p in seen}]
            top = max((pull(subject, p.answer) for p in seen), default=0.0)
            wanted |= {(name, value): top / 2 for value in rest[:count]}
            continue
        places = axis.places(subject.features[name])
        known = sorted([(p.value, pull(subject, p.answer)) for p in seen] + [(subject.features[name], 0.0)])
        for (low, one), (high, other) in itertools.pairwise(known):
            middle = axis.number((low + high) / 2, places)
            if low < middle < high and fits(subject, name, middle):
                # The better end promises most; a step between unlike ends hides less than a wide one.
                wanted[name, middle] = max(one, other)
    best = sorted(wanted, key=lambda pair: -wanted[pair])
    return best[:count]


def _best(subject: Subject, points: Points) -> list[Point]:
    """Per feature the nearest flip, or else the largest change."""
    found = []
    for name, seen in points.items():
        axis, here = subject.space.axes[name], subject.features[name]
        flips = [p for p in seen if subject.flips(p.answer)]
        answered = [p for p in seen if p.answer.error is None]
        if flips:
            found.append(min(flips, key=lambda p: axis.distance(here, p.value)))
        elif answered:
            found.append(max(answered, key=lambda p: abs(subject.change(p.answer) or 0.0)))
    return found


def _whole(trials: Sequence[Trial]) -> Trial:
    """The request as a whole: it flips where any feature does."""
    iqr = min((t.distance_iqr for t in trials if t.distance_iqr is not None), default=None)
    quantile = min((t.distance_quantile for t in trials if t.distance_quantile is not None), default=None)
    return Trial(
        "",
        flipped=any(t.flipped for t in trials),
        near=any(t.near for t in trials),
        different=any(t.different for t in trials),
        error=next((t.error for t in trials), None) if all(t.error for t in trials) else None,
        score_change=max((t.score_change for t in trials if t.score_change is not None), default=None),
        distance_iqr=iqr,
        distance_quantile=quantile,
    )


def _asked(points: Sequence[Point]) -> list[tuple[Features, Any]]:
    return [(point.row, point.answer) for point in points]


def _flipped(subject: Subject, points: Points) -> bool:
    return any(subject.flips(p.answer) for seen in points.values() for p in seen)


def _count(points: Points) -> int:
    return sum(map(len, points.values()))
