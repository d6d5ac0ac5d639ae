"""A model in memory that keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monitor.core.probes.answers import Answer


class MemoryModelClient:
    """Answers by a function of one row; see `monitor.ports.ModelClient`.

    Args:
        answer: of a row: a score, or an `Answer`, errors among them.
    """

    def __init__(self, answer: Callable[[Mapping[str, Any]], Answer | float]) -> None:
        self._answer = answer
        self.asked: list[Mapping[str, Any]] = []
        self.calls = 0
        self.closed = False

    async def ask(self, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Answer each row."""
        self.asked += rows
        self.calls += 1
        found = [self._answer(row) for row in rows]
        return [one if isinstance(one, Answer) else Answer(score=float(one)) for one in found]

    async def close(self) -> None:
        """Note it."""
        self.closed = True
