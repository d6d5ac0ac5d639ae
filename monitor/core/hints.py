"""Early hints of one worker: something it reads has changed. They draw attention and never alert.

River's ADWIN (Bifet and Gavaldà 2007) watches means of some rows, each in [0, 1]. It sees one worker's share
of the traffic, keeps no promise about false alarms over all signals, and knows no reference: all that is the
evaluator's, some seconds later. A hint is kept beside the evidence, and alerts that open near it quote it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN

from monitor.core.understood import understood

Floats = NDArray[np.float64]

HINTS: Final = "hints"
"""Name of the list of samples that holds them."""

BATCH_ROWS: Final = 20
"""Rows whose mean is one observation: an update a row costs too much, and one of hundreds sees late."""

_LATELY: Final = 10
DELTA: Final = 0.002
"""River's own default for the probability of a false change."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A change one worker saw.

    Attributes:
        signal: what changed: `invalid_share`, `mean_score`, `positive_share`, `label_share`, `error_share`.
        at_ms: event time of the newest row it rests on.
        before: mean until then.
        after: mean of the last 200 rows.
    """

    signal: str
    at_ms: int
    before: float
    after: float

    @property
    def text(self) -> str:
        """For people.

        >>> Hint("mean_score", 0, 0.31, 0.449).text
        'mean score 0.31 → 0.449'
        """
        return f"{self.signal.replace('_', ' ')} {self.before:.3g} → {self.after:.3g}"

    def pack(self) -> bytes:
        """Stored form."""
        packed: bytes = msgpack.packb([self.signal, self.at_ms, self.before, self.after])
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> Hint:
        """Read the stored form.

        >>> hint = Hint("mean_score", 5, 0.25, 0.5)
        >>> Hint.unpack(hint.pack()) == hint
        True
        """
        with understood("a hint"):
            signal, at_ms, before, after = msgpack.unpackb(data)
            return cls(str(signal), int(at_ms), float(before), float(after))


class _Signal:
    """Rows on their way to the next observation, and the detector."""

    def __init__(self) -> None:
        self.adwin: Any = ADWIN(delta=DELTA, clock=1)
        # Of its window, kept beside it: asking costs more than an update, and only a change drops anything.
        self.width = 0
        self.total = 0.0
        self.rest: Floats = np.zeros(0)
        self.lately: deque[float] = deque(maxlen=_LATELY)

    def add(self, values: Floats) -> tuple[float, float] | None:
        rows = np.concatenate([self.rest, values])
        whole = len(rows) // BATCH_ROWS * BATCH_ROWS
        self.rest = rows[whole:]
        changed = None
        for mean in rows[:whole].reshape(-1, BATCH_ROWS).mean(axis=1).tolist():
            self.adwin.update(mean)
            self.lately.append(mean)
            if self.adwin.drift_detected:
                # What ADWIN keeps of its window still holds much of what was before.
                before = self.total / self.width if self.width else 0.0
                changed = (before, sum(self.lately) / len(self.lately))
                self.width, self.total = int(self.adwin.width), float(self.adwin.total)
            else:
                self.width += 1
                self.total += mean
        return changed


class Watch:
    """The signals of one model in one worker."""

    def __init__(self) -> None:
        self._signals: dict[str, _Signal] = {}

    def see(self, signals: Mapping[str, Floats], at_ms: int) -> list[Hint]:
        """Take what a chunk adds.

        Args:
            signals: name → values in [0, 1], one a row, float64[n].
            at_ms: event time of the newest row.

        Returns:
            What has changed just now.
        """
        found = []
        for name, values in signals.items():
            changed = self._signals.setdefault(name, _Signal()).add(values)
            if changed is not None:
                found.append(Hint(name, at_ms, *changed))
        return found
