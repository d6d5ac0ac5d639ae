"""Early hints of this worker, on their way to the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.core.hints import Watch

log = logging.getLogger(__name__)

Signals = Sequence[tuple[str, Mapping[str, NDArray[np.float64]]]]
"""Per model: name → values in [0, 1], one a row."""


class Attention:
    """Watches what was counted, and keeps hints until a flush has carried them."""

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}
        self._waiting: dict[str, list[bytes]] = {}

    def waiting(self, model: str) -> list[bytes]:
        """Hints that the next flush is to carry, stored form."""
        return self._waiting.get(model, [])

    def counted(self, signals: Signals, at_ms: int, *, carried: bool) -> None:
        """Take what a flush counted.

        Args:
            signals: of each model in it.
            at_ms: event time of its newest row.
            carried: it had the waiting hints of these models with it.
        """
        for model, values in signals:
            if carried:
                self._waiting.pop(model, None)
            for hint in self._watches.setdefault(model, Watch()).see(values, at_ms):
                self._waiting.setdefault(model, []).append(hint.pack())
                log.info("hint: %s", hint.text, extra={"model": model})
