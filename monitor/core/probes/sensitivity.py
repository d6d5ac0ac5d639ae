"""How much the score moves when a feature moves a little, each way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monitor.core.probes.answers import ProbeResult, Subject
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.scan import fits
from monitor.core.probes.variants import case_of, put, trial_of, worst


@dataclass(frozen=True)
class Sensitivity:
    """Configuration of the probe.

    Attributes:
        steps_iqr: sizes of the steps, in interquartile ranges; whole numbers move by one at least.
        queries_max: rows a request may cost.
    """

    steps_iqr: tuple[float, ...] = (0.05, 0.1, 0.25)
    queries_max: int = 140

    name: ClassVar[str] = "sensitivity"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """One batch; a trial per feature. Numbers only: categories have no small step."""
        names = [n for n in subject.searchable() if subject.space.axes[n].numeric]
        rng.shuffle(names)
        asked = [(name, value) for name in names for value in self._near(subject, name)][: self.queries_max]
        rows = [put(subject.features, {name: value}) for name, value in asked]
        answers = (yield rows) if rows else ()
        trials, cases = [], []
        for name in dict.fromkeys(name for name, _ in asked):
            mine = [(r, a) for (n, _), r, a in zip(asked, rows, answers, strict=True) if n == name]
            trials.append(trial_of(subject, name, mine))
            cases += [case_of(self.name, subject, (name,), r, a) for r, a in mine if subject.flips(a)]
        return ProbeResult(self.name, subject, tuple(trials), worst(cases))

    def _near(self, subject: Subject, name: str) -> list[Any]:
        axis, here = subject.space.axes[name], subject.features[name]
        places = axis.places(here)
        least = 0.0 if places is None else 10.0**-places
        values = [
            axis.number(here + side * max(step * axis.unit, least), places)
            for step in self.steps_iqr
            for side in (-1, 1)
        ]
        return [value for value in dict.fromkeys(values) if value != here and fits(subject, name, value)]
