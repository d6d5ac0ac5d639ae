"""Where a nearer flip may hide: intervals between asked values, by the chance that the score crosses inside.

Between two known scores the unknown ones are taken for a Brownian bridge over the quantiles of the feature:
it crosses a level ℓ above both ends a and b with probability

    exp(-2 (ℓ - a)(ℓ - b) / (σ² w))

with w the share of the reference between them and σ² what the feature's own scores have shown so far,
mean of (difference² / width). Smooth and flat features rule themselves out, rough ones near the threshold
come first.

Source: one-step search under a Wiener model, Kushner (1964), doi:10.1115/1.3653121; the crossing
probability is the reflection principle's.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

from monitor.core.probes.answers import Subject
from monitor.core.probes.scan import Point, candidates, fits, pull

Points = dict[str, list[Point]]

WIDTH_MIN: Final = 1e-4
"""Least width of an interval, in shares of the reference: between quantiles nothing is known of it."""


def promising(subject: Subject, points: Points, count: int, chance_min: float) -> list[tuple[str, Any]]:
    """Values worth asking next, the likeliest first.

    Args:
        subject: the request.
        points: what was asked.
        count: values at most.
        chance_min: intervals below this are left out.
    """
    if subject.threshold is None or subject.base.score is None:
        return []
    level = abs(subject.base.score - subject.threshold)
    best = nearest(subject, points)
    wanted: dict[tuple[str, Any], float] = {}
    for name, seen in points.items():
        axis = subject.space.axes[name]
        if not axis.numeric:
            done = {p.value for p in seen}
            top = max((pull(subject, p.answer) for p in seen), default=0.0)
            if best > 1.0:
                for value in candidates(subject, axis, 0):
                    if value not in done:
                        wanted[name, value] = min(max(top / max(level, 1e-9), 0.0), 0.5)
            continue
        here, places = float(subject.features[name]), axis.places(subject.features[name])
        known = sorted(
            [(float(p.value), pull(subject, p.answer)) for p in seen if not p.answer.error] + [(here, 0.0)]
        )
        spans = [
            (low, one, high, other, max(axis.travelled(low, high), WIDTH_MIN))
            for (low, one), (high, other) in itertools.pairwise(known)
        ]
        rough = sum((other - one) ** 2 / width for _, one, _, other, width in spans) / max(len(spans), 1)
        for low, one, high, other, width in spans:
            near = min(abs(low - here), abs(high - here)) / axis.unit
            if near >= best or max(one, other) >= level or rough == 0:
                continue
            limit = best * axis.unit
            inner, outer = max(low, here - limit), min(high, here + limit)
            middle = axis.number(axis.middle(inner, outer), places)
            if not low < middle < high or not fits(subject, name, middle):
                continue
            wanted[name, middle] = math.exp(-2 * (level - one) * (level - other) / (rough * width))
    likely = [key for key in wanted if wanted[key] >= chance_min]
    return sorted(likely, key=lambda key: -wanted[key])[:count]


def nearest(subject: Subject, points: Points) -> float:
    """Distance of the nearest flip, in interquartile ranges; inf without one."""
    return min(
        (
            subject.space.axes[name].distance(subject.features[name], p.value)
            for name, seen in points.items()
            for p in seen
            if subject.flips(p.answer)
        ),
        default=math.inf,
    )
