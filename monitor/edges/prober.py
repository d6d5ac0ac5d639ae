"""Probing one model: requests of the traffic in, questions to the model, results to the store.

Ingest offers every batch and never waits: a few rows are taken into a bounded list, the rest is forgotten.
A task of its own picks from that list, asks within the budget, and adds what came of it to the store. Like
ingest it knows neither HTTP nor Redis.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from monitor.core.batch import PredictionBatch
from monitor.core.counters import ALL_SLICE, KINDS, PROBE_WORK, Tier
from monitor.core.probes import (
    PROBES,
    Answer,
    Conversation,
    FeatureSpace,
    Probe,
    ProbeResult,
    Subject,
)
from monitor.core.probes.endpoint import is_refusal
from monitor.core.probes.replay import Replay, repeats
from monitor.core.probes.results import (
    SETS_FAMILY,
    SETS_MAX,
    Added,
    Work,
    WorstCase,
    count,
    set_name,
    worst_of,
)
from monitor.core.probes.sampling import Candidate, is_tail, pick, sampled
from monitor.core.probes.turns import Turns
from monitor.core.slices.assign import OUTSIDE
from monitor.edges.prepare import until_answered
from monitor.ports import Clock, ModelClient, ProbeCells, ProbeFlush, RankedCase, Store

log = logging.getLogger(__name__)

WAITING_MAX: Final = 256
"""Requests that wait to be picked; further ones are dropped and counted."""

REQUEST_BYTES_MAX: Final = 65_536
"""A request whose features are larger is dropped and counted: it waits as JSON, a tenth of what it takes when
decoded and less, so that all that wait take 16 MB at most."""

CASE_BYTES_MAX: Final = 65_536
"""A case that is larger is counted and not kept."""

ROUND_ROWS: Final = 150.0
"""Rows of a round, at least: a search of 140 rows fits."""

ROUND_S: Final = 1.5
"""Seconds of the budget a round should take."""

LANES: Final = 2
"""Rounds at a time."""

_PAUSE_S: Final = 1.0
_IDLE_S: Final = 0.25
_FEATURES_MAX: Final = 10_000
_KIND_OF: Final = {kind.name: kind for kind in KINDS}

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ProbedModel:
    """What is known of a model that is probed.

    Attributes:
        name: the model's name.
        space: what its features may be.
        threshold: scores from here on are decided for; None where nothing is decided.
        tiers: to count in.
        probes: to be asked; `replay` goes before every other one.
        sample: share of requests that may be picked.
        budget_rows_per_s: rows a second, of all workers together.
    """

    name: str
    space: FeatureSpace
    threshold: float | None
    tiers: Sequence[Tier]
    probes: tuple[Probe, ...] = PROBES
    sample: float = 0.01
    budget_rows_per_s: float = 50.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that may be picked."""

    request_id: str
    version: str
    features: str  # JSON
    base: Answer
    slices: tuple[int, ...]
    tail: bool


class Prober:
    """Asks one model.

    Args:
        model: what is known of it.
        store: opened.
        client: of the model, within the budget.
        clock: for pacing.
        owner: of the results, unique to this process and model.

    Attributes:
        done: what it did since its start, by `Work`.
    """

    def __init__(
        self, model: ProbedModel, store: Store, client: ModelClient, clock: Clock, owner: str
    ) -> None:
        self._model = model
        self._store = store
        self._client = client
        self._clock = clock
        self._owner = owner
        self._sequence = 0
        self._adding = asyncio.Lock()
        self._waiting: list[_Waiting] = []
        self._turns = Turns([probe for probe in model.probes if probe.name != Replay.name])
        self._features: dict[str, int] | None = None
        self._sets: dict[str, int] = {}
        self._work = dict.fromkeys(Work, 0)
        self.done: Counter[Work] = Counter()

    @property
    def budget_rows_per_s(self) -> float:
        """Rows a second, of all workers together."""
        return self._model.budget_rows_per_s

    def offer(self, batch: PredictionBatch, members: Ints) -> None:
        """Take in the few rows of a counted batch that are in the sample. Never waits.

        Args:
            batch: predictions.
            members: slice ids of each row, int64[n, m], `OUTSIDE` where it is in none.
        """
        for row in sampled(batch.keys, self._model.sample).tolist():
            score, decision = float(batch.answers.numbers[row]), int(batch.answers.decisions[row])
            if not np.isfinite(score):
                continue
            if len(self._waiting) >= WAITING_MAX:
                self._work[Work.DROPPED] += 1
                continue
            features = batch.features[row]
            told = json.dumps(features)
            if len(told) > REQUEST_BYTES_MAX:
                self._work[Work.DROPPED] += 1
                continue
            slices = tuple(i for i in members[row].tolist() if i != OUTSIDE)
            base = Answer(score, decision if decision >= 0 else None)
            tail = is_tail(self._model.space, features)
            self._waiting.append(
                _Waiting(batch.request_ids[row], batch.versions[row] or "", told, base, slices, tail)
            )

    def returned(self, rows: int) -> None:
        """Note rows of probes that came back as traffic."""
        self._work[Work.RETURNED] += rows

    async def run(self) -> None:
        """Probe for ever; an outage of the store is waited out.

        A search ends in small questions, one after the other: while one round waits for their answers,
        another uses the budget.
        """
        await asyncio.gather(*(self._lane() for _ in range(LANES)))

    async def _lane(self) -> None:
        while True:
            if not await self.round():
                await self._clock.sleep(_IDLE_S)

    async def round(self) -> bool:
        """Pick, ask and count once. Returns whether there was anything to pick from."""
        if not self._waiting:
            return False
        waiting, self._waiting = self._waiting, []
        probes = self._turns.next(
            max(ROUND_ROWS, ROUND_S * self._model.budget_rows_per_s), requests_max=len(waiting)
        )
        picked = pick([self._candidate(one) for one in waiting], len(probes))
        subjects = [self._subject(waiting[place]) for place in picked]
        replays = await self._converse([(Replay(), subject) for subject in subjects])
        asked = zip(probes, subjects, strict=True)
        steady = [
            (probe, self._turns.aimed(probe, replace(subject, base=replay.answer)))
            for (probe, subject), replay in zip(asked, replays, strict=True)
            if replay.answer is not None and repeats(replay) and probe.name != Replay.name
        ]
        results = await self._converse(steady)
        self._turns.learn(results)
        self._work[Work.REQUESTS] += len(subjects)
        self._work[Work.UNSTEADY] += sum(
            replay.answer is not None and not repeats(replay) for replay in replays
        )
        await self._add([*replays, *results])
        if all(replay.answer is None for replay in replays):
            await self._clock.sleep(_PAUSE_S)  # nothing answers: the circuit is open, or soon will be
        return True

    async def _converse(self, jobs: Sequence[tuple[Probe, Subject]]) -> list[ProbeResult]:
        talk = Conversation(jobs)
        while rows := talk.pending:
            answers = await self._client.ask(rows)
            self._work[Work.ROWS] += len(rows)
            self._work[Work.ERRORS] += sum(answer.error is not None for answer in answers)
            talk.tell(answers)
            await asyncio.sleep(0)  # ingest first
        return talk.results

    def _candidate(self, one: _Waiting) -> Candidate:
        threshold, score = self._model.threshold, one.base.score
        margin = None if threshold is None or score is None else abs(score - threshold)
        return Candidate(one.request_id, one.slices, margin, one.tail)

    def _subject(self, one: _Waiting) -> Subject:
        return Subject(
            one.request_id, self._model.name, one.version, json.loads(one.features), one.base,
            self._model.threshold, one.slices, space=self._model.space,
        )  # fmt: skip

    async def _add(self, results: Sequence[ProbeResult]) -> None:
        heard = [_heard(result) for result in results]
        numbers = await self._numbers()
        sets = {set_name(together) for result in heard for together in result.together} - self._sets.keys()
        if sets:
            names = sorted(sets)
            ids = await self._answered(
                lambda: self._store.ids(self._model.name, SETS_FAMILY, names, SETS_MAX)
            )
            self._sets |= dict(zip(names, ids, strict=True))
        added = count(
            heard, [probe.name for probe in PROBES], numbers.get, lambda name: self._sets.get(name) or None
        )
        work, self._work = self._work, dict.fromkeys(Work, 0)
        self.done.update(work)
        for cell, amount in work.items():
            if amount:
                added.add((PROBE_WORK.name, ALL_SLICE), int(cell), amount)
        cases, evidence = self._kept(worst_of(heard))
        async with self._adding:  # sequences arrive in order
            self._sequence += 1
            flush = ProbeFlush(
                self._model.name,
                self._owner,
                self._sequence,
                _cells(added),
                self._model.tiers,
                evidence,
                cases,
            )
            await self._answered(lambda: self._store.add_probes(flush))

    def _kept(self, cases: Sequence[WorstCase]) -> tuple[list[RankedCase], dict[str, list[bytes]]]:
        """Cases for the list of the worst, and for the lists that alerts quote."""
        ranked: list[RankedCase] = []
        lists: dict[str, list[bytes]] = {}
        for case in cases:
            record: dict[str, Any] = case.record(self._model.space.masking)
            value = json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
            if len(value) > CASE_BYTES_MAX:
                continue
            ranked.append(RankedCase(case.id, case.rank_text, case.group, value))
            sample: bytes = msgpack.packb(
                {"request_id": case.request_id, "case": value}, unicode_errors="replace"
            )
            for name in case.lists:
                lists.setdefault(f"{self._model.name}/{name}", []).append(sample)
        return ranked, lists

    async def _numbers(self) -> Mapping[str, int]:
        """Numbers of features: their ids in the registry that violations use too, less one."""
        if self._features is None:
            names = list(self._model.space.axes)
            ids = await self._answered(
                lambda: self._store.ids(self._model.name, "features", names, _FEATURES_MAX)
            )
            self._features = {name: place - 1 for name, place in zip(names, ids, strict=True) if place > 0}
        return self._features

    async def _answered(self, call: Any) -> Any:
        return await until_answered(call, self._clock, lambda: None)


def _heard(result: ProbeResult) -> ProbeResult:
    """Without trials and cases about which the model was not heard: an outage is no word about robustness."""
    trials = tuple(t for t in result.trials if t.error is None or is_refusal(t.error))
    return result if len(trials) == len(result.trials) else replace(result, trials=trials)


def _cells(added: Added) -> list[ProbeCells]:
    return [
        ProbeCells(_KIND_OF[kind], slice_id, cells, amounts)
        for (kind, slice_id), (cells, amounts) in added.arrays().items()
    ]
