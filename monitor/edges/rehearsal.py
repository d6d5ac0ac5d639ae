"""Probing a model before it is deployed: the sample in, every probe asked, one document out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.counters import ALL_SLICE
from monitor.core.errors import ServiceError
from monitor.core.probes import (
    PROBES,
    Answer,
    Conversation,
    Features,
    FeatureSpace,
    Probe,
    ProbeResult,
    Subject,
)
from monitor.core.probes.endpoint import is_refusal
from monitor.core.probes.replay import Replay, alike, repeats
from monitor.core.probes.results import asked_again
from monitor.core.probes.sampling import Candidate, is_tail, pick
from monitor.core.rehearsal.curves import curves, surfaces, telling
from monitor.core.rehearsal.document import About, document
from monitor.core.rehearsal.tolerances import judge, tallies
from monitor.ports import ModelClient

BLOCK: Final = 10
"""Requests that are probed together."""

LOOKED_AT: Final = 4
"""Requests asked for each that is probed, so that those near the threshold and in the tail can be picked."""


@dataclass(frozen=True)
class Rehearsal:
    """What to ask.

    Attributes:
        model: its name.
        endpoint: its address, for the report.
        sample: name of the file of requests, for the report.
        space: what features may be.
        threshold: scores from here on are decided for; None where nothing is decided.
        requests: to be probed, at most.
        probes: to be asked; `replay` goes first in any case.
        allowed: probe → share of requests its finding is tolerated in.
    """

    model: str
    endpoint: str
    sample: str
    space: FeatureSpace
    threshold: float | None
    requests: int = 100
    probes: tuple[Probe, ...] = PROBES
    allowed: Mapping[str, float] | None = None


class _Asked:
    """A client that counts."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self.rows = 0
        self.errors: Counter[str] = Counter()

    async def ask(self, rows: Sequence[Features]) -> list[Answer]:
        """Ask.

        Raises:
            ServiceError: most rows met an outage.
        """
        answers = await self._client.ask(rows)
        errors = Counter(answer.error for answer in answers if answer.error is not None)
        self.rows += len(rows)
        self.errors += errors
        lost = Counter({error: count for error, count in errors.items() if not is_refusal(error)})
        if 2 * lost.total() > len(rows):
            raise ServiceError(f"the model does not answer: {lost.most_common(1)[0][0]}")
        return answers

    async def converse(self, jobs: Sequence[tuple[Probe, Subject]]) -> list[ProbeResult]:
        """Run dialogues to their end."""
        talk = Conversation(jobs)
        while rows := talk.pending:
            talk.tell(await self.ask(rows))
        return talk.results


async def rehearse(
    plan: Rehearsal,
    records: Sequence[Mapping[str, Any]],
    client: ModelClient,
    at: str,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Ask everything.

    Args:
        plan: what to ask.
        records: requests in plain form.
        client: of the model.
        at: the present time as text, for the report.
        advance: called once a request.

    Returns:
        See `monitor.core.rehearsal.document`.

    Raises:
        ServiceError: the model does not answer, or stopped.
    """
    asked = _Asked(client)
    subjects, refused = await _subjects(plan, records, asked)
    replays: list[ProbeResult] = []
    results: list[ProbeResult] = []
    for start in range(0, len(subjects), BLOCK):
        block = subjects[start : start + BLOCK]
        heard = await asked.converse([(Replay(), subject) for subject in block])
        steady = [s for s, replay in zip(block, heard, strict=True) if repeats(replay)]
        jobs = [(p, subject) for subject in steady for p in plan.probes if p.name != Replay.name]
        replays += heard
        results += await asked.converse(jobs)
        for _ in block:
            advance()
    unsteady = sum(not repeats(replay) for replay in replays)
    every = [*replays, *results] if any(p.name == Replay.name for p in plan.probes) else results
    drawn = await _drawn(asked, results)
    counted = tallies(every)
    about = About(
        plan.model, plan.endpoint, plan.sample, at, plan.threshold, len(subjects), refused, unsteady,
        asked.rows, dict(asked.errors.most_common()),
    )  # fmt: skip
    return document(about, every, counted, judge(counted, plan.allowed or {}), drawn, plan.space.masking)


def _named(record: Mapping[str, Any], number: int) -> str:
    request_id = record.get("request_id")
    return f"row-{number}" if request_id is None else str(request_id)


async def _subjects(
    plan: Rehearsal, records: Sequence[Mapping[str, Any]], asked: _Asked
) -> tuple[list[Subject], int]:
    """Requests to probe, with the model's answers, and how many it refused."""
    looked_at = records[: LOOKED_AT * plan.requests]
    answers = await asked.ask([record["features"] for record in looked_at])
    found = [
        Subject(
            _named(record, number), plan.model, str(record.get("model_version", "")),
            record["features"], answer, plan.threshold, _groups(plan.space, record["features"]),
            space=plan.space,
        )
        for number, (record, answer) in enumerate(zip(looked_at, answers, strict=True), 1)
        if answer.error is None
    ]  # fmt: skip
    if not found:
        why = Counter(answer.error for answer in answers).most_common(1)
        raise ServiceError(
            f"the model answered no request of the sample: {why[0][0] if why else 'it is empty'}"
        )
    candidates = [
        Candidate(s.request_id, s.slices, _margin(s), is_tail(plan.space, s.features)) for s in found
    ]
    return [found[place] for place in pick(candidates, plan.requests)], len(looked_at) - len(found)


def _groups(space: FeatureSpace, features: Features) -> tuple[int, ...]:
    """All traffic, and a group a value of each protected feature, so that none is left out."""
    numbers = [ALL_SLICE]
    offset = ALL_SLICE + 1
    for name, axis in space.axes.items():
        if axis.protected:
            if features.get(name) in axis.values:
                numbers.append(offset + axis.values.index(features[name]))
            offset += len(axis.values)
    return tuple(numbers)


def _margin(subject: Subject) -> float | None:
    score, threshold = subject.base.score, subject.threshold
    return None if score is None or threshold is None else abs(score - threshold)


async def _drawn(asked: _Asked, results: Sequence[ProbeResult]) -> dict[str, Any]:
    """Curves and surfaces."""
    features = telling(results)
    subjects = list({result.subject.request_id: result.subject for result in results}.values())
    lines: dict[str, list[dict[str, Any]]] = {}
    for curve in curves(subjects, features):
        lines.setdefault(curve.feature, []).append(curve.told(await asked.ask(curve.rows)))
    maps = [surface.told(await asked.ask(surface.rows)) for surface in surfaces(results, features)]
    return {"curves": lines, "surfaces": maps}


async def ask_case(case: Mapping[str, Any], client: ModelClient) -> dict[str, Any]:
    """Both requests of a stored case, each asked alone.

    Returns:
        The case, what was stored and what is said now of each, and whether that is the same.

    Raises:
        ValueError: sensitive values were not stored.
    """
    sides: dict[str, dict[str, Any]] = {}
    for side, stored in (("original", "before"), ("changed", "after")):
        (answer,) = await client.ask([asked_again(case[side])])
        now = {"score": answer.score, "decision": answer.decision, "error": answer.error}
        sides[side] = {"stored": case[stored], "now": now}
    same = all(alike(side["stored"], side["now"]) for side in sides.values())
    return {"case": dict(case), **sides, "same": same}
