"""The value in another unit: does anything notice?

Changes that stay within the schema's bounds come first: those no validation can catch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from monitor.core.drift.units import CHANGES, Change
from monitor.core.probes.answers import ProbeResult, Subject
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.space import Axis
from monitor.core.probes.variants import case_of, put, shown, trial_of, worst

COMMON: Final = (10.0, 100.0, 1e3, 1e6, -1.0)
"""Factors tried, up and down, of a feature whose unit is not declared."""

CHANGES_MAX: Final = 8
"""Changes tried of one feature: 17 numeric features fit into 140 rows."""


@dataclass(frozen=True)
class UnitChange:
    """Configuration of the probe.

    Attributes:
        queries_max: rows a request may cost.
    """

    queries_max: int = 140

    name: ClassVar[str] = "unit_change"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """One batch; a trial per feature."""
        names = [n for n, axis in subject.space.axes.items() if axis.numeric]
        names = [n for n in names if subject.space.is_legal(n, subject.features.get(n))]
        names = [n for n in names if subject.focus is None or n in subject.focus]
        rng.shuffle(names)
        asked = [
            (name, change, value)
            for name in names
            for change, value in converted(subject.space.axes[name], subject.features[name])
        ][: self.queries_max]
        rows = [put(subject.features, {name: value}) for name, _, value in asked]
        answers = (yield rows) if rows else ()
        trials, cases = [], []
        for name in dict.fromkeys(name for name, _, _ in asked):
            mine = [
                (change, row, answer)
                for (n, change, _), row, answer in zip(asked, rows, answers, strict=True)
                if n == name
            ]
            trial = trial_of(subject, name, [(row, answer) for _, row, answer in mine])
            trials.append(replace(trial, near=False, distance_iqr=None, distance_quantile=None))
            cases += [
                case_of(self.name, subject, (name,), row, answer, f"{shown(subject, name, row)}: {c.words}")
                for c, row, answer in mine
                if subject.differs(answer)
            ]
        return ProbeResult(self.name, subject, tuple(trials), worst(cases))


def converted(axis: Axis, value: float) -> list[tuple[Change, Any]]:
    """Changes that fit the feature's unit, or the common ones, and the value after each.

    >>> from monitor.core.schema.feature import FeatureType
    >>> [x for _, x in converted(Axis("t", FeatureType.NUMBER, measure="Celsius"), 20.0)]
    [68.0, 293.15]
    """
    fitting = [change for change in CHANGES if _fits(axis, change)]
    found = {}
    for change in fitting:
        after = change.slope * float(value) + change.intercept
        after = round(after) if isinstance(value, int) else round(after, 9)
        if after != value and after not in found:
            found[after] = change
    ordered = sorted(found, key=lambda after: not axis.minimum <= after <= axis.maximum)
    return [(found[after], after) for after in ordered[:CHANGES_MAX]]


def _fits(axis: Axis, change: Change) -> bool:
    if not axis.measure:
        return change.intercept == 0 and (change.slope in COMMON or 1 / change.slope in COMMON)
    words = {_singular(word) for word in re.findall(r"[a-z]+", axis.measure.lower())}
    meant = " ".join(re.findall(r"instead of ([a-z ]+)", change.words.lower()))
    return bool(words & {_singular(word) for word in meant.split()})


def _singular(word: str) -> str:
    return word.removesuffix("s")
