"""What a probe asks about, what a model answers, and what came of it.

A *subject* is one request of the traffic with the model's answer. A probe sends *variants* of it and makes
*trials*: one trial is one question that has a yes or no, "did the decision flip when sex was swapped?".
Trials are what is counted; *cases* are the few that are shown to people, with all it takes to ask again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.core.counters import ALL_SLICE
from monitor.core.probes.space import FeatureSpace

Features = Mapping[str, Any]

_SCORE_MAX: Final = 1e100

SAME: Final = 1e-9
"""Scores closer than this are one score: sums of floats in another order differ by less."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model to one row: a score, or why there is none.

    Attributes:
        score: of the positive class, or the value a regression predicts; see `is_score`.
        decision: as the model said it, 0 or 1 or a number of a class; None where a threshold decides.
        error: a short class of error, "http 400", "refused", "not a number".

    Raises:
        ValueError: both a score and an error, or neither.
    """

    score: float | None = None
    decision: int | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if (self.score is None) == (self.error is None):
            raise ValueError("an answer is a score or an error")


def is_score(value: float) -> bool:
    """Whether a number can be a score: finite, and small enough that squares of differences are.

    >>> [is_score(value) for value in (0.5, -1e9, float("nan"), 1e308)]
    [True, True, False, False]
    """
    return abs(value) <= _SCORE_MAX


Answers = Sequence[Answer]


@dataclass(frozen=True)
class Subject:
    """One request to be probed.

    Attributes:
        request_id: also the seed.
        model: its name.
        version: of the model.
        features: as they were sent.
        base: the model's answer to them; never an error.
        threshold: scores from here on are decided for; None where answers bring decisions or none are made.
        slices: ids of the slices it belongs to; all traffic among them.
        space: what its features may be.
        focus: features that searches may change; None for all.
    """

    request_id: str
    model: str
    version: str
    features: Features
    base: Answer
    threshold: float | None
    slices: tuple[int, ...] = (ALL_SLICE,)
    space: FeatureSpace = field(kw_only=True, repr=False, compare=False)
    focus: frozenset[str] | None = field(default=None, kw_only=True)

    def decision(self, answer: Answer) -> int | None:
        """What an answer decides; None where it is an error or nothing decides."""
        if answer.decision is not None or answer.score is None or self.threshold is None:
            return answer.decision
        return int(answer.score >= self.threshold)

    def flips(self, answer: Answer) -> bool:
        """Whether an answer decides otherwise than the base."""
        before, after = self.decision(self.base), self.decision(answer)
        return before is not None and after is not None and before != after

    def change(self, answer: Answer) -> float | None:
        """Score after minus score before; None for an error."""
        if answer.score is None or self.base.score is None:
            return None
        return answer.score - self.base.score

    def differs(self, answer: Answer, tolerance: float = SAME) -> bool:
        """Whether an answer is another score or decision, without being an error."""
        change = self.change(answer)
        return change is not None and (abs(change) > tolerance or self.flips(answer))

    def searchable(self) -> tuple[str, ...]:
        """Features that a search may change, in the schema's order: in focus, changeable, and sent."""
        return tuple(
            name
            for name, axis in self.space.axes.items()
            if axis.changeable
            and (self.focus is None or name in self.focus)
            and self.space.is_legal(name, self.features.get(name))
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """One question with a yes or no, and the sizes that go with it.

    Attributes:
        feature: that was changed; "" where the question is about the request as a whole.
        variant: which of several kinds of change, where the probe has kinds; "" where not.
        flipped: the decision changed.
        near: it changed within `NEAR_IQR`.
        different: score or decision changed, and no error said so.
        error: class of error, where the model refused.
        score_change: the largest |score after - score before|.
        distance_iqr: least distance of a change that flips, in interquartile ranges.
        distance_quantile: the same in shares of the reference that lie between.
    """

    feature: str = ""
    variant: str = ""
    flipped: bool = False
    near: bool = False
    different: bool = False
    error: str | None = None
    score_change: float | None = None
    distance_iqr: float | None = None
    distance_quantile: float | None = None


NEAR_IQR: Final = 0.25
"""A flip within a quarter of the interquartile range is one that noise in the input could bring."""


@dataclass(frozen=True)
class Case:
    """A change worth showing.

    Attributes:
        probe: that found it.
        features: changed ones.
        words: the change for people, "age 39 → 40".
        original: the request as it was, all of it.
        changed: the request as it was asked again, all of it.
        before: the model's answer to `original`.
        after: and to `changed`.
        flipped: whether the decision changed.
        severity: what cases are ranked by, at least 0: |score change| over what was travelled.
        distance_iqr: of the change, where it has a length.
        distance_quantile: the same in shares of the reference.
        variant: as of the trial it belongs to.
    """

    probe: str
    features: tuple[str, ...]
    words: str
    original: Features
    changed: Features
    before: Answer
    after: Answer
    flipped: bool
    severity: float
    distance_iqr: float | None = None
    distance_quantile: float | None = None
    variant: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """What one probe found on one request.

    Attributes:
        probe: its name.
        subject: the request.
        trials: to be counted.
        cases: to be shown, worst first.
        queries: rows the model was asked.
        calls: batches they went in, before batches of several subjects are merged.
        answer: the model's present answer to the unchanged request, where the probe asked for it.
        together: sets of features whose joint effect goes beyond the sum of their own.
    """

    probe: str
    subject: Subject
    trials: tuple[Trial, ...]
    cases: tuple[Case, ...] = ()
    queries: int = 0
    calls: int = 0
    answer: Answer | None = None
    together: tuple[tuple[str, ...], ...] = ()

    @property
    def flips(self) -> int:
        """Trials that changed the decision."""
        return sum(trial.flipped for trial in self.trials)

    @property
    def errors(self) -> int:
        """Trials the model refused."""
        return sum(trial.error is not None for trial in self.trials)
