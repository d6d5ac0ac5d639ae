"""The score along a feature, and over two: rows asked only to be drawn."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from monitor.core.probes.answers import Answer, Case, Features, ProbeResult, Subject
from monitor.core.probes.space import Axis
from monitor.core.probes.variants import put

CURVES_MAX: Final = 6
SURFACES_MAX: Final = 3
LINES_MAX: Final = 12
"""Requests along one feature."""

STEPS: Final = 33
SIDE: Final = 17
"""Values of a number along a curve, and along a side of a surface."""

VALUES_MAX: Final = 10
"""Values of a category that are drawn, the most frequent first."""


@dataclass(frozen=True)
class Curve:
    """One feature of one request moved, all else equal."""

    feature: str
    request_id: str
    here: Any
    values: tuple[Any, ...]
    rows: tuple[Features, ...]

    def told(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """As JSON, with the scores; null where the model refused."""
        scores = [answer.score for answer in answers]
        return {"request_id": self.request_id, "here": self.here, "values": self.values, "scores": scores}


@dataclass(frozen=True)
class Surface:
    """Two features of one request moved, all else equal: rows of `y`, columns of `x`."""

    features: tuple[str, str]
    request_id: str
    here: tuple[Any, Any]
    there: tuple[Any, Any] | None
    x: tuple[Any, ...]
    y: tuple[Any, ...]
    rows: tuple[Features, ...]

    def told(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """As JSON, with the scores, a list a value of `y`."""
        scores = [answer.score for answer in answers]
        width = len(self.x)
        return {
            "features": self.features,
            "request_id": self.request_id,
            "here": self.here,
            "there": self.there,
            "x": self.x,
            "y": self.y,
            "scores": [scores[i : i + width] for i in range(0, len(scores), width)],
        }


def telling(results: Sequence[ProbeResult]) -> list[str]:
    """Features by how often they flip alone, then by how far they move the score; sensitive ones left out."""
    flips: Counter[str] = Counter()
    moved: dict[str, float] = {}
    for result in results:
        if result.probe == "single_feature":
            for trial in result.trials:
                axis = result.subject.space.axes.get(trial.feature)
                if axis is not None and not axis.sensitive:
                    flips[trial.feature] += trial.flipped
                    moved[trial.feature] = moved.get(trial.feature, 0.0) + (trial.score_change or 0.0)
    return sorted(flips, key=lambda name: (-flips[name], -moved[name], name))


def curves(subjects: Sequence[Subject], features: Sequence[str]) -> list[Curve]:
    """Along the most telling features, of requests spread evenly over the scores."""
    ordered = sorted(subjects, key=lambda subject: subject.base.score or 0.0)
    if len(ordered) > LINES_MAX:
        places = np.linspace(0, len(ordered) - 1, LINES_MAX).round().astype(int)
        ordered = [ordered[place] for place in places]
    found = []
    for name in features[:CURVES_MAX]:
        for subject in ordered:
            here = subject.features.get(name)
            if subject.space.is_legal(name, here):
                values = _values(subject.space.axes[name], here, STEPS)
                rows = tuple(put(subject.features, {name: value}) for value in values)
                found.append(Curve(name, subject.request_id, here, values, rows))
    return found


def surfaces(results: Sequence[ProbeResult], features: Sequence[str]) -> list[Surface]:
    """Over pairs that act together, the most frequent first, and over the two most telling features."""
    cases: dict[tuple[str, str], tuple[Case, Subject]] = {}
    often: Counter[tuple[str, str]] = Counter()
    for result in results:
        for case in result.cases:
            hidden = any(result.subject.space.axes[name].sensitive for name in case.features)
            together = result.probe == "interaction" or (result.probe == "feature_set" and case.flipped)
            if together and len(case.features) == 2 and not hidden:
                first, second = sorted(case.features)
                often[first, second] += 1
                cases.setdefault((first, second), (case, result.subject))
    found = []
    for pair, _ in often.most_common(SURFACES_MAX):
        case, subject = cases[pair]
        found.append(_surface(subject, pair, (case.changed[pair[0]], case.changed[pair[1]])))
    leading = tuple(features[:2])
    if len(found) < SURFACES_MAX and len(leading) == 2 and tuple(sorted(leading)) not in often:
        subjects = [result.subject for result in results if result.probe == "single_feature"]
        whole = [s for s in subjects if all(s.space.is_legal(n, s.features.get(n)) for n in leading)]
        near = min(whole, key=lambda s: abs((s.base.score or 0.0) - (s.threshold or 0.5)), default=None)
        found += [] if near is None else [_surface(near, (leading[0], leading[1]), None)]
    return found


def _surface(subject: Subject, pair: tuple[str, str], there: tuple[Any, Any] | None) -> Surface:
    axes = subject.space.axes
    here = (subject.features[pair[0]], subject.features[pair[1]])
    x, y = (_values(axes[name], value, SIDE) for name, value in zip(pair, here, strict=True))
    rows = tuple(put(subject.features, {pair[0]: a, pair[1]: b}) for b, a in itertools.product(y, x))
    return Surface(pair, subject.request_id, here, there, x, y, rows)


def _values(axis: Axis, here: Any, count: int) -> tuple[Any, ...]:
    """The plausible range with the request's own value in it, or legal values."""
    if not axis.numeric:
        return tuple(dict.fromkeys([*axis.values[: VALUES_MAX - 1], here]))
    places = axis.places(here)
    own = float(here)  # an integer may be larger than any that numpy has
    low = min(axis.low, own) if np.isfinite(axis.low) else own - axis.unit
    high = max(axis.high, own) if np.isfinite(axis.high) else own + axis.unit
    inside = {axis.number(float(value), places) for value in np.linspace(low, high, count)}
    return tuple(sorted({*inside, here}))
