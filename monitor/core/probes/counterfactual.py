"""Another sex, another race, everything else equal: is the decision another?

Each protected feature is swapped for every other legal value, its declared proxies with it: a husband
becomes a wife. One answer that changes is a case; how often answers change is tested against a tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from monitor.core.probes.answers import ProbeResult, Subject
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.scan import INTERIOR
from monitor.core.probes.variants import case_of, put, trial_of, worst

VALUES_MAX: Final = 10
"""Values a protected feature is swapped for, the most frequent first."""


@dataclass(frozen=True)
class Counterfactual:
    """The probe; it has nothing to configure: what is protected is part of the space."""

    name: ClassVar[str] = "counterfactual"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:  # noqa: ARG002 - draws nothing
        """One batch; a trial per protected feature."""
        asked = [
            (name, changes)
            for name, axis in subject.space.axes.items()
            if axis.protected and subject.space.is_legal(name, subject.features.get(name))
            for changes in swaps(subject, name)
        ]
        rows = [put(subject.features, changes) for _, changes in asked]
        answers = (yield rows) if rows else ()
        trials, cases = [], []
        for name in dict.fromkeys(name for name, _ in asked):
            mine = [
                (tuple(changes), row, answer)
                for (n, changes), row, answer in zip(asked, rows, answers, strict=True)
                if n == name
            ]
            trials.append(trial_of(subject, name, [(row, answer) for _, row, answer in mine]))
            cases += [
                case_of(self.name, subject, names, row, answer)
                for names, row, answer in mine
                if subject.differs(answer)
            ]
        return ProbeResult(self.name, subject, tuple(trials), worst(cases))


def swaps(subject: Subject, name: str) -> list[dict[str, Any]]:
    """What changes in each swap of a protected feature: the feature first, then proxies.

    Seen-together is not asked for here: a rare combination is no excuse. Bounds and relations are.
    """
    space, here = subject.space, subject.features[name]
    axis = space.axes[name]
    values: tuple[Any, ...] = axis.values
    if axis.numeric:
        places = axis.places(here)
        values = tuple(axis.number(v, places) for v in [axis.low, *axis.grid(INTERIOR), axis.high])
    found = []
    for value in [v for v in dict.fromkeys(values) if v != here][:VALUES_MAX]:
        changes = {name: value}
        for proxy, counterparts in space.constraints.proxies.get(name, {}).items():
            before = subject.features.get(proxy)
            if isinstance(before, str | int | float) and before in counterparts:
                changes[proxy] = counterparts[before]
        if space.plausible(put(subject.features, changes), tuple(changes), joint=False):
            found.append(changes)
    return found
