"""How a probe and a model talk: the probe yields rows and is sent answers, until it returns a result.

A probe that bisects needs several rounds, and a model behind a network wants few, large batches. So a
probe is a generator, and a `Conversation` runs many at once and merges what they ask. Whoever does the
asking (a loop here, a task with a token bucket in a worker) owns the waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import ClassVar, Protocol

import numpy as np

from monitor.core.probes.answers import Answer, Answers, Features, ProbeResult, Subject

Rounds = Generator[Sequence[Features], Answers, ProbeResult]
Ask = Callable[[Sequence[Features]], Answers]


class Probe(Protocol):
    """A question about a model, asked of one request at a time.

    Attributes:
        name: in results, settings and reports.
    """

    name: ClassVar[str]

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """Yield batches of rows, be sent their answers in the same order, return what was found."""
        ...


def rng_of(subject: Subject, probe: str) -> np.random.Generator:
    """Randomness of a probe of a request: the same request draws the same again, anywhere."""
    seed = blake2b(f"{probe}/{subject.request_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed, "big"))


class Conversation:
    """Dialogues of many probes and subjects, advanced together.

    Ask what `pending` holds, `tell` the answers, until nothing is pending. Rows of one dialogue stay together
    and in order.

    Args:
        jobs: probe and subject of each dialogue.
    """

    def __init__(self, jobs: Sequence[tuple[Probe, Subject]]) -> None:
        self._rounds = [probe.rounds(subject, rng_of(subject, probe.name)) for probe, subject in jobs]
        self._asked: list[Sequence[Features]] = [()] * len(jobs)
        self._totals = [(0, 0)] * len(jobs)
        self._results: list[ProbeResult | None] = [None] * len(jobs)
        for place in range(len(jobs)):
            self._advance(place, None)

    @property
    def pending(self) -> list[Features]:
        """Rows to ask now; empty when all dialogues have ended."""
        return [row for rows in self._asked for row in rows]

    def tell(self, answers: Answers) -> None:
        """Answers to `pending`, in its order.

        Raises:
            ValueError: as many answers as rows are needed.
        """
        if len(answers) != sum(map(len, self._asked)):
            raise ValueError(f"{len(answers)} answers to {sum(map(len, self._asked))} rows")
        at = 0
        for place, rows in enumerate(self._asked):
            if rows:
                self._advance(place, answers[at : at + len(rows)])
                at += len(rows)

    @property
    def results(self) -> list[ProbeResult]:
        """Of the dialogues that have ended, in the order of the jobs."""
        return [result for result in self._results if result is not None]

    def _advance(self, place: int, answers: Answers | None) -> None:
        """Send one dialogue its answers; a round without rows is answered at once."""
        queries, calls = self._totals[place]
        try:
            rows = next(self._rounds[place]) if answers is None else self._rounds[place].send(answers)
            while not rows:
                rows = self._rounds[place].send(())
        except StopIteration as end:
            self._results[place] = _counted(end.value, queries, calls)
            self._asked[place] = ()
            return
        self._asked[place] = rows
        self._totals[place] = (queries + len(rows), calls + 1)


def drive(probe: Probe, subject: Subject, ask: Ask) -> ProbeResult:
    """One probe on one request, asking at once.

    Args:
        probe: what to ask.
        subject: about which request.
        ask: rows to answers, in order.
    """
    return drive_all([(probe, subject)], ask)[0]


def drive_all(
    jobs: Sequence[tuple[Probe, Subject]], ask: Ask, rows_max: int | None = None
) -> list[ProbeResult]:
    """Many probes and requests, their rounds merged into common batches.

    Args:
        jobs: probe and subject of each dialogue.
        ask: rows to answers, in order.
        rows_max: rows of one batch; None for no limit.

    Returns:
        Results in the order of the jobs.
    """
    talk = Conversation(jobs)
    while rows := talk.pending:
        step = rows_max or len(rows)
        answers: list[Answer] = []
        for start in range(0, len(rows), step):
            answers += ask(rows[start : start + step])
        talk.tell(answers)
    return talk.results


def _counted(result: ProbeResult, queries: int, calls: int) -> ProbeResult:
    return replace(result, queries=queries, calls=calls)
