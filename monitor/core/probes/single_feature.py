"""The smallest change of one feature that changes the decision.

A grid along every feature finds where the decision is another; each bracket between the last value of the
same decision and the first of the other one is halved until it is tight. Only the nearest brackets are worth
it, and a bracket whose near end is already further than the best flip is left. The rest is spent
where a nearer flip may hide.

Sources: scan, bracket and bisect on score-only access, as in decision-based attacks (Chen, Jordan and
Wainwright 2020, doi:10.1109/SP40000.2020.00045) with one feature at a time, which steps of trees allow and
gradients do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monitor.core.probes.answers import ProbeResult, Subject, Trial
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.hiding import Points, promising
from monitor.core.probes.scan import Point, ask, fits, look, merge
from monitor.core.probes.variants import case_of, trial_of, worst


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
        looked: rows of a round, intervals that may hide a nearer flip among them.
        kept: of `queries_max`, rows kept for both.
        beside: share of the reference between the request's value and the grid's inner ones.
        tight: a bracket is tight when it is this share of its distance, or this many interquartile ranges.
        chance_min: intervals that are less likely to hide a nearer flip are not looked into.
    """

    queries_max: int = 140
    refined: int = 3
    looked: int = 6
    kept: int = 18
    beside: float = 0.1
    tight: float = 0.002
    chance_min: float = 0.01

    name: ClassVar[str] = "single_feature"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """Scan, then halve brackets, and look where a nearer flip may hide, while rows are left."""
        points = yield from look(subject, self.queries_max - self.kept, rng, self.beside)
        left = self.queries_max - sum(map(len, points.values()))
        while left > 0:
            wanted: list[tuple[str, Any]] = [
                (bracket.feature, middle)
                for bracket in _brackets(subject, points)
                if (middle := self._middle(subject, bracket)) is not None
            ][: self.refined]
            wanted += promising(subject, points, self.looked - len(wanted), self.chance_min)
            wanted = list(dict.fromkeys(wanted))
            if not wanted:
                break
            points = merge(points, (yield from ask(subject, wanted[:left])))
            left -= len(wanted)
        trials = [trial_of(subject, name, [(p.row, p.answer) for p in seen]) for name, seen in points.items()]
        best = _best(subject, points)
        cases = worst(case_of(self.name, subject, (p.feature,), p.row, p.answer) for p in best)
        return ProbeResult(self.name, subject, (_whole(trials), *trials) if trials else (), cases)

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
