"""Does the model repeat its own score?

The unchanged request, twice. Asked first: a model that answers otherwise than it did, or otherwise each
time, is reported as that, and its other probes are not blamed on robustness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monitor.core.probes.answers import ProbeResult, Subject, Trial
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.variants import case_of, put, trial_of

TWICE = "twice"
"""Variant of the trial "two answers to the same question are one"."""


@dataclass(frozen=True)
class Replay:
    """Configuration of the probe.

    Attributes:
        tolerance: scores this close are the same: records carry rounded scores.
    """

    tolerance: float = 1e-6

    name: ClassVar[str] = "replay"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:  # noqa: ARG002 - draws nothing
        """One batch of two. `answer` of the result is the first; None where the model refused."""
        row = put(subject.features, {})
        first, second = yield [row, row]
        answers = [answer for answer in (first, second) if answer.error is None]
        seen = trial_of(subject, "", [(row, first), (row, second)])
        moved = [answer for answer in answers if subject.differs(answer, self.tolerance)]
        unlike = len(answers) == 2 and (
            abs((first.score or 0.0) - (second.score or 0.0)) > self.tolerance
            or subject.decision(first) != subject.decision(second)
        )
        trials = [
            Trial("", "", seen.flipped, seen.flipped, bool(moved), seen.error, seen.score_change, None, None),
            Trial("", TWICE, different=unlike, error=seen.error),
        ]
        cases = [case_of(self.name, subject, (), row, answer, "nothing changed") for answer in moved[:1]]
        kept = answers[0] if answers else None
        return ProbeResult(self.name, subject, tuple(trials), tuple(cases), answer=kept)


def alike(one: Mapping[str, Any], other: Mapping[str, Any], tolerance: float = Replay.tolerance) -> bool:
    """Whether two stored answers are one: the same kind of error, or the same score and decision."""
    if one["error"] or other["error"]:
        return bool(one["error"] == other["error"])
    decided = {one["decision"], other["decision"]} - {None}
    return len(decided) < 2 and abs(one["score"] - other["score"]) <= tolerance


def repeats(result: ProbeResult) -> bool:
    """Whether the model answered, gave one answer twice, and the one it had given before."""
    return result.answer is not None and not any(t.different or t.flipped or t.error for t in result.trials)
