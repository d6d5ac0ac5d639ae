"""Sets of features that change the decision only together.

One scan gives the best value of every feature. Where none flips alone, the best are tried in pairs, then
one more is added at a time; what flips is pruned in reverse until no member can be left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monitor.core.probes.answers import Answer, Answers, Features, ProbeResult, Subject
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.scan import Point, look, pull
from monitor.core.probes.variants import case_of, put, trial_of

Changes = Mapping[str, Any]
Asked = list[tuple[Changes, Features, Answer]]


@dataclass(frozen=True)
class FeatureSet:
    """Configuration of the probe.

    Attributes:
        queries_max: rows a request may cost.
        kept: of these, rows kept for pairs and larger sets.
        first: pairs tried before anything is learned from them.
        size_max: features of a set.
    """

    queries_max: int = 140
    kept: int = 20
    first: int = 10
    size_max: int = 4

    name: ClassVar[str] = "feature_set"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """Scan, pair, add one in, prune."""
        points = yield from look(subject, self.queries_max - self.kept, rng)
        left = self.queries_max - sum(map(len, points.values()))
        single = [p for seen in points.values() for p in seen if subject.flips(p.answer)]
        if single or len(points) < 2:  # a set that needs no company is the business of another probe
            return ProbeResult(self.name, subject, ())
        asked, left = yield from self._pairs(subject, points, left)
        flips = _flips(subject, asked)
        if not flips:
            more, left = yield from self._grow(subject, points, asked, left)
            asked += more
            flips = _flips(subject, more)
        if flips:
            changes, row, answer = min(flips, key=lambda one: (len(one[0]), -pull(subject, one[2])))
            changes, row, answer, more = yield from _pruned(subject, changes, row, answer, left)
            asked += more
            names = tuple(changes)
        elif asked:
            changes, row, answer = max(asked, key=lambda one: pull(subject, one[2]))
            names = tuple(changes)
        else:
            return ProbeResult(self.name, subject, ())
        trials = [trial_of(subject, "", [(row, answer)], names)]
        if flips:
            trials += [trial_of(subject, name, [(row, answer)], names) for name in names]
        return ProbeResult(
            self.name, subject, tuple(trials), (case_of(self.name, subject, names, row, answer),)
        )

    def _pairs(
        self, subject: Subject, points: Mapping[str, list[Point]], left: int
    ) -> Generator[Sequence[Features], Answers, tuple[Asked, int]]:
        """Pairs of the best values by the sum of their effects; the rest follows what the first ones show."""
        scored = [
            (pull(subject, a.answer) + pull(subject, b.answer), {a.feature: a.value, b.feature: b.value})
            for one, other in itertools.combinations(points.values(), 2)
            for a, b in itertools.product(_tops(subject, one), _tops(subject, other))
        ]
        ordered = [
            changes
            for effect, changes in sorted(scored, key=lambda pair: -pair[0])
            if np.isfinite(effect) and _plausible(subject, changes)
        ]
        asked = yield from _ask(subject, ordered[: min(self.first, left)])
        left -= len(asked)
        if _flips(subject, asked) or not asked:
            return asked, left
        # What came closest together is worth trying with others at other values.
        gain = dict.fromkeys(points, -np.inf)
        for changes, _, answer in asked:
            for name in changes:
                gain[name] = max(gain[name], pull(subject, answer))
        rest = ordered[self.first :]
        rest.sort(key=lambda changes: -max(gain[name] for name in changes))
        more = yield from _ask(subject, rest[: max(0, left - self.size_max)])
        return [*asked, *more], left - len(more)

    def _grow(
        self, subject: Subject, points: Mapping[str, list[Point]], asked: Asked, left: int
    ) -> Generator[Sequence[Features], Answers, tuple[Asked, int]]:
        """Add the next best feature to the best set, one at a time."""
        found: Asked = []
        if not asked:
            return found, left
        best = dict(max(asked, key=lambda one: pull(subject, one[2]))[0])
        tops = sorted(
            (top for seen in points.values() for top in _tops(subject, seen)[:1]),
            key=lambda point: -pull(subject, point.answer),
        )
        for point in tops:
            if left <= len(best) or len(best) >= self.size_max or _flips(subject, found):
                break
            grown = {**best, point.feature: point.value}
            if point.feature in best or not _plausible(subject, grown):
                continue
            found += yield from _ask(subject, [grown])
            left -= 1
            best = grown
        return found, left


def _tops(subject: Subject, points: Sequence[Point], count: int = 2) -> list[Point]:
    """The values of one feature that moved the score most towards the other decision."""
    return sorted(points, key=lambda point: -pull(subject, point.answer))[:count]


def _plausible(subject: Subject, changes: Changes) -> bool:
    return subject.space.plausible(put(subject.features, changes), tuple(changes))


def _ask(subject: Subject, wanted: Sequence[Changes]) -> Generator[Sequence[Features], Answers, Asked]:
    rows = [put(subject.features, changes) for changes in wanted]
    answers = (yield rows) if rows else ()
    return list(zip(wanted, rows, answers, strict=True))


def _flips(subject: Subject, asked: Asked) -> Asked:
    return [one for one in asked if subject.flips(one[2])]


def _pruned(
    subject: Subject, changes: Changes, row: Features, answer: Answer, left: int
) -> Generator[Sequence[Features], Answers, tuple[Changes, Features, Answer, Asked]]:
    """Take members out while the rest still flips; pairs are minimal, since no single feature flips."""
    tried: Asked = []
    while len(changes) > 2 and left >= len(changes):
        smaller = [{k: v for k, v in changes.items() if k != name} for name in changes]
        asked = yield from _ask(subject, [s for s in smaller if _plausible(subject, s)])
        tried += asked
        left -= len(asked)
        flips = _flips(subject, asked)
        if not flips:
            break
        changes, row, answer = flips[0]
    return changes, row, answer, tried
