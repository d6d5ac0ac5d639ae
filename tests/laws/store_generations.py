"""Generations of stubs on a store's own clock, for tests whose steps have to come in a certain one.

On a server a generation passes in real time: on a busy machine a step may come after its own has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tests.laws.store_backends import WAITS_S, Backend

HALF_MS: Final = WAITS_S["brief"] * 500
"""Length of a generation of the model `brief`: half its label wait."""

_ATTEMPTS: Final = 20


class Generations:
    """Waits for them to begin, and knows whether the steps between two waits came in time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._reader = backend.reader()
        self._expected: int | None = None
        self._late = False

    def go_on(self, count: int) -> None:
        """Return when so many more have begun (of the first call: from now on).

        The steps that follow, until the next call, have to come in the last of them.
        """
        assert not self.late(), "what came before came too late"
        self._expected = (self._present() if self._expected is None else self._expected) + count
        self._backend.pass_ms(self._expected * HALF_MS - self._reader.now_ms())

    def late(self) -> bool:
        """Whether a step may have come after its generation: one that has not ended now, had not before."""
        self._late = self._late or self._expected not in {None, self._present()}
        return self._late

    def _present(self) -> int:
        return self._reader.now_ms() // HALF_MS


async def punctual(backend: Backend, attempt: Callable[[Generations], Awaitable[None]]) -> None:
    """Try on a fresh store of one shard until an attempt was in time.

    One that was late proves nothing, whatever it found. One that was in time and failed is a failure.
    """
    for _ in range(_ATTEMPTS):
        backend.fresh(1)
        generations = Generations(backend)
        try:
            await attempt(generations)
        except AssertionError:
            if not generations.late():
                raise
        if not generations.late():
            return
    raise AssertionError(f"late {_ATTEMPTS} times: this machine is too busy for generations of {HALF_MS} ms")
