"""A feature left out, or null: refused, or answered as if nothing were wrong?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from monitor.core.probes.answers import ProbeResult, Subject
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.variants import case_of, put, trial_of, worst

ABSENT: Final = "absent"
NULL: Final = "null"


@dataclass(frozen=True)
class Missing:
    """Configuration of the probe.

    Attributes:
        queries_max: rows a request may cost.
    """

    queries_max: int = 140

    name: ClassVar[str] = "missing"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """One batch of two rows a feature. What the schema allows is no finding, but its change is told."""
        names = [n for n in subject.space.axes if subject.features.get(n) is not None]
        names = [n for n in names if subject.focus is None or n in subject.focus]
        if 2 * len(names) > self.queries_max:
            names = [names[i] for i in sorted(rng.choice(len(names), self.queries_max // 2, replace=False))]
        asked: list[tuple[str, str, dict[str, Any]]] = []
        for name in names:
            rest = {key: value for key, value in subject.features.items() if key != name}
            asked += [(name, ABSENT, rest), (name, NULL, put(subject.features, {name: None}))]
        answers = (yield [row for _, _, row in asked]) if asked else ()
        trials, cases = [], []
        for (name, variant, row), answer in zip(asked, answers, strict=True):
            axis = subject.space.axes[name]
            legal = not axis.required if variant == ABSENT else axis.nullable
            trial = replace(trial_of(subject, name, [(row, answer)]), variant=variant, near=False)
            if legal:
                trial = replace(trial, different=False)
            trials.append(replace(trial, distance_iqr=None, distance_quantile=None))
            if trial.different:
                cases.append(case_of(self.name, subject, (name,), row, answer))
        return ProbeResult(self.name, subject, tuple(trials), worst(cases))
