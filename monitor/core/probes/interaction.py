"""Two features that act only together: each change alone leaves the score where it was, both move it far.

Every feature is asked at two values. Those that do next to nothing alone are then asked in pairs, all of them
where rows allow. What an additive model does, or a rule on one feature, never shows here; a rule on two does.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from monitor.core.probes.answers import Answer, ProbeResult, Subject
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.scan import fits
from monitor.core.probes.space import Axis
from monitor.core.probes.variants import case_of, put, trial_of, worst

SCORE_END: Final = 0.001
"""Nearer to 0 or 1 log odds say nothing: trees saturate, and records round."""


@dataclass(frozen=True)
class Interaction:
    """Configuration of the probe, for scores that are probabilities.

    Attributes:
        queries_max: rows a request may cost.
        alone: changes of the log odds up to this are next to nothing.
        beyond: and from this on they are far.
    """

    queries_max: int = 140
    alone: float = 0.5
    beyond: float = 3.0

    name: ClassVar[str] = "interaction"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """Singles, then pairs; a trial about the request, and the sets that act together."""
        names = list(subject.searchable())
        rng.shuffle(names)
        singles = [
            (name, value)
            for name in names[: self.queries_max // 4]
            for value in _two(subject, subject.space.axes[name], rng)
        ]
        if log_odds(subject.base) is None or len(singles) < 2:
            return ProbeResult(self.name, subject, ())
        answers = yield [put(subject.features, {name: value}) for name, value in singles]
        quiet = [
            point
            for point, answer in zip(singles, answers, strict=True)
            if (moved := _moved(subject, answer)) is not None and abs(moved) <= self.alone
        ]
        pairs = [
            {a: x, b: y}
            for (a, x), (b, y) in itertools.combinations(quiet, 2)
            if a != b and subject.space.plausible(put(subject.features, {a: x, b: y}), (a, b))
        ]
        rng.shuffle(pairs)
        pairs = pairs[: self.queries_max - len(singles)]
        if not pairs:
            return ProbeResult(self.name, subject, ())
        rows = [put(subject.features, changes) for changes in pairs]
        answers = yield rows
        found = [
            (tuple(sorted(changes)), row, answer)
            for changes, row, answer in zip(pairs, rows, answers, strict=True)
            if (moved := _moved(subject, answer)) is not None and abs(moved) >= self.beyond
        ]
        trial = replace(
            trial_of(subject, "", list(zip(rows, answers, strict=True))),
            near=False, distance_iqr=None, distance_quantile=None,
        )  # fmt: skip
        cases = [case_of(self.name, subject, together, row, answer) for together, row, answer in found]
        sets = tuple(dict.fromkeys(together for together, _, _ in found))
        return ProbeResult(self.name, subject, (trial,), worst(cases), together=sets)


def log_odds(answer: Answer) -> float | None:
    """Of a score, kept away from the ends; None where it is no probability.

    >>> log_odds(Answer(score=0.5)), log_odds(Answer(score=2.0)), log_odds(Answer(error="http 400"))
    (0.0, None, None)
    """
    if answer.score is None or not 0 <= answer.score <= 1:
        return None
    p = min(max(answer.score, SCORE_END), 1 - SCORE_END)
    return math.log(p / (1 - p))


def _moved(subject: Subject, answer: Answer) -> float | None:
    before, after = log_odds(subject.base), log_odds(answer)
    return None if before is None or after is None else after - before


def _two(subject: Subject, axis: Axis, rng: np.random.Generator) -> list[Any]:
    """Both plausible ends of a number, or two other categories."""
    here = subject.features[axis.name]
    if axis.numeric:
        places = axis.places(here)
        tried: list[Any] = [axis.number(axis.low, places), axis.number(axis.high, places)]
    else:
        tried = [axis.values[i] for i in rng.permutation(len(axis.values))]
    return [v for v in dict.fromkeys(tried) if v != here and fits(subject, axis.name, v)][:2]
