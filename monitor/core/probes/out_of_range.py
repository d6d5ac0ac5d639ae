"""Values that cannot be: refused, or scored as if they could?

Numbers just beyond the bounds and far beyond them; categories that no list names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from monitor.core.probes.answers import ProbeResult, Subject
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.space import Axis
from monitor.core.probes.variants import case_of, put, trial_of, worst
from monitor.core.schema.feature import FeatureType

FAR_UNITS: Final = 100.0
"""Interquartile ranges beyond the bound that are far: no unit change of a plausible value is meant."""

UNKNOWN: Final = "(unknown)"
"""A category that no schema lists."""


@dataclass(frozen=True)
class OutOfRange:
    """Configuration of the probe.

    Attributes:
        queries_max: rows a request may cost.
    """

    queries_max: int = 140

    name: ClassVar[str] = "out_of_range"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """One batch; a trial per feature, different where anything was answered without an error."""
        names = [n for n in subject.space.axes if subject.features.get(n) is not None]
        names = [n for n in names if subject.focus is None or n in subject.focus]
        rng.shuffle(names)
        asked = [(name, value) for name in names for value in impossible(subject.space.axes[name])]
        asked = asked[: self.queries_max]
        rows = [put(subject.features, {name: value}) for name, value in asked]
        answers = (yield rows) if rows else ()
        trials, cases = [], []
        for name in dict.fromkeys(name for name, _ in asked):
            mine = [(r, a) for (n, _), r, a in zip(asked, rows, answers, strict=True) if n == name]
            trial = trial_of(subject, name, mine)
            trials.append(replace(trial, near=False, distance_iqr=None, distance_quantile=None))
            cases += [case_of(self.name, subject, (name,), r, a) for r, a in mine if subject.differs(a)]
        return ProbeResult(self.name, subject, tuple(trials), worst(cases))


def impossible(axis: Axis) -> list[Any]:
    """Values outside what the schema allows; none where it allows everything.

    >>> impossible(Axis("age", FeatureType.INTEGER, minimum=0, maximum=120, unit=20))
    [-1, -2000, 121, 2120]
    """
    if not axis.numeric:
        return [UNKNOWN] if axis.values and UNKNOWN not in axis.values and axis.values[0] is not False else []
    found: list[float] = []
    near = 1.0 if axis.type is FeatureType.INTEGER else axis.unit
    for bound, side in ((axis.minimum, -1.0), (axis.maximum, 1.0)):
        if math.isfinite(bound):
            found += [bound + side * near, bound + side * FAR_UNITS * axis.unit]
    whole = axis.type is FeatureType.INTEGER
    return [round(value) for value in found] if whole else found
