"""Whose turn it is: probes take turns by the rows they have cost, features by what has paid.

One probe is asked about one request. A probe whose questions are dear (a search of 140 rows) so gets fewer
requests than one that asks four, and none starves another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from monitor.core.probes.answers import ProbeResult, Subject
from monitor.core.probes.dialogue import Probe, rng_of
from monitor.core.probes.replay import Replay
from monitor.core.probes.spending import Arm, Record, choose, learned

FOCUS: Final = 3
"""Features a probe of single features is asked about at once."""

WHOLE: Final = frozenset({"replay", "counterfactual", "single_feature", "feature_set", "interaction"})
"""Probes that are asked about all features: their trials speak of the request as a whole."""

REPLAY_ROWS: Final = 2
"""What goes before every probe."""

_FIRST_ROWS: Final[Mapping[str, float]] = {
    "counterfactual": 4.0,
    "single_feature": 100.0,
    "feature_set": 100.0,
    "interaction": 100.0,
}
_OTHER_FIRST_ROWS: Final = 20.0
_LEARN: Final = 0.2
_TRIED_MAX: Final = 500
"""Trials remembered of an arm: what is older fades by halves, for models change."""


class Turns:
    """Remembers what probes cost and what paid, in this process.

    Args:
        probes: to be asked; `replay`, which goes before all others, is not one of them.
    """

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = tuple(probes)
        self._rows = {p.name: _FIRST_ROWS.get(p.name, _OTHER_FIRST_ROWS) for p in probes}
        self._spent = dict.fromkeys(self._rows, 0.0)
        self._records: dict[Arm, Record] = {}

    def next(self, rows: float, requests_max: int) -> list[Probe]:
        """Probes of the next requests, one each, until about so many rows are spent.

        Where there are none to take turns, the replay alone.
        """
        if not self._probes:
            return [Replay()] * min(requests_max, max(1, int(rows / REPLAY_ROWS)))
        found: list[Probe] = []
        while len(found) < requests_max and (rows > 0 or not found):
            probe = min(self._probes, key=lambda one: self._spent[one.name])
            rows -= REPLAY_ROWS
            self._spent[probe.name] += self._rows[probe.name]
            rows -= self._rows[probe.name]
            found.append(probe)
        return found

    def aimed(self, probe: Probe, subject: Subject) -> Subject:
        """The request with the features that this probe should look at."""
        if probe.name in WHOLE:
            return subject
        arms = [(probe.name, name) for name in subject.space.axes if name in subject.features]
        chosen = choose(self._records, arms, FOCUS, rng_of(subject, f"turns/{probe.name}"))
        return replace(subject, focus=frozenset(feature for _, feature in chosen))

    def learn(self, results: Sequence[ProbeResult]) -> None:
        """Take in what probes cost and found."""
        for result in results:
            if result.probe in self._rows:
                before = self._rows[result.probe]
                # What was planned is put right, so that turns follow rows and not guesses.
                self._spent[result.probe] += result.queries - before
                self._rows[result.probe] = max(1.0, before + _LEARN * (result.queries - before))
        found = learned(results)
        for result in results:
            for feature in result.subject.focus or ():
                # Nothing to ask of it is as good as nothing found: else it would stay fresh for ever.
                found.setdefault((result.probe, feature), Record(1, 0))
        for arm, record in found.items():
            total = self._records.get(arm, Record()) + record
            while total.tried > _TRIED_MAX:
                total = Record(total.tried // 2, total.paid // 2)
            self._records[arm] = total
        least = min(self._spent.values(), default=0.0)
        self._spent = {name: spent - least for name, spent in self._spent.items()}
