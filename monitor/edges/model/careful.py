"""Asking with care: in batches, never raising, each row blamed for itself, a failing endpoint left alone.

A batch is refused as a whole although one row is at fault. So its rows are asked again one by one: halving
would send more rows as soon as two are at fault, and rows are what an endpoint pays for. An outage is not
searched like that: when `ALONE_MAX` rows in a row are answered 500 and none otherwise, the rest is believed
to be as they are.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from monitor.core.probes.answers import Answer
from monitor.core.probes.endpoint import Failure, is_refusal
from monitor.edges.model.breaker import Breaker, Circuit

Row = Mapping[str, Any]

Spend = Callable[[int], Awaitable[None]]
"""Called with a number of rows before they are sent, returns when they may be."""

ALONE_MAX: Final = 32
"""Rows asked alone and answered 500, none otherwise, after which the endpoint is down and not its input."""

_DOWN: Final = "http 500"


class Exchange(Protocol):
    """One call."""

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Places of rows that can go into one call each; every row is in one group."""
        ...

    async def call(self, rows: Sequence[Row]) -> list[Answer] | str:
        """Answers of one call, or the class of error that befell all of it. Does not raise."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Careful:
    """A `monitor.ports.ModelClient` around an exchange.

    Args:
        exchange: one call.
        rows_max: rows of one call.
        breaker: that decides when the endpoint is left alone.
        spend: called before every call with its rows, those asked again too: a budget of what is really sent.
        now_s: the clock of the breaker.
    """

    def __init__(
        self,
        exchange: Exchange,
        rows_max: int,
        breaker: Breaker,
        spend: Spend | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange = exchange
        self._rows_max = rows_max
        self.breaker = breaker
        self._spend = spend
        self._now_s = now_s

    @property
    def circuit(self) -> Circuit:
        """State of the breaker."""
        return self.breaker.state(self._now_s())

    async def ask(self, rows: Sequence[Row]) -> list[Answer]:
        """See `monitor.ports.ModelClient`."""
        found: list[Answer] = [Answer(error=Failure.OPEN)] * len(rows)
        for group in self._exchange.groups(rows):
            for start in range(0, len(group), self._rows_max):
                places = group[start : start + self._rows_max]
                answers = await self._guarded([rows[place] for place in places])
                for place, answer in zip(places, answers, strict=True):
                    found[place] = answer
        return found

    async def close(self) -> None:
        """See `monitor.ports.ModelClient`."""
        await self._exchange.close()

    async def _guarded(self, rows: Sequence[Row]) -> list[Answer]:
        """One batch, if the breaker lets it through; while half open its first row goes ahead."""
        if self.circuit is Circuit.HALF_OPEN and len(rows) > 1:
            return [*await self._guarded(rows[:1]), *await self._guarded(rows[1:])]
        if not self.breaker.admit(self._now_s()):
            return [Answer(error=Failure.OPEN)] * len(rows)
        well = False
        try:
            answers = await self._batch(rows)
            well = any(answer.error is None or _is_alive(answer.error) for answer in answers)
        finally:  # a task that is cancelled must not leave the breaker waiting
            self.breaker.settle(well, self._now_s())
        return answers

    async def _batch(self, rows: Sequence[Row]) -> list[Answer]:
        answers = await self._call(rows)
        if isinstance(answers, list):
            return answers
        if len(rows) == 1 or not is_refusal(answers):
            return [Answer(error=answers)] * len(rows)
        found: list[Answer] = []
        for row in rows:
            one = await self._call([row])
            if isinstance(one, str) and not is_refusal(one):
                break
            found.append(Answer(error=one) if isinstance(one, str) else one[0])
            if len(found) == ALONE_MAX and all(answer.error == _DOWN for answer in found):
                one = _DOWN
                break
        error = one if isinstance(one, str) else answers
        return [*found, *[Answer(error=error)] * (len(rows) - len(found))]

    async def _call(self, rows: Sequence[Row]) -> list[Answer] | str:
        if self._spend is not None:
            await self._spend(len(rows))
        return await self._exchange.call(rows)


def _is_alive(error: str) -> bool:
    """Whether an error shows that the endpoint reads what it is sent: it looked at the row and refused."""
    return is_refusal(error) and error.startswith("http 4")
