"""Times at which traffic is known not to be as usual: holidays, maintenance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Silence:
    """A stretch of event time, epoch ms: [from_ms, to_ms), and again every `repeat_ms` if that is not 0."""

    from_ms: int
    to_ms: int
    repeat_ms: int = 0

    def touches(self, start_ms: int, end_ms: int) -> bool:
        """Whether any of [start_ms, end_ms) lies in it.

        >>> [Silence(10, 20, 100).touches(t, t + 5) for t in (0, 6, 19, 20, 106, 206, 121)]
        [False, True, True, False, True, True, False]
        """
        if self.repeat_ms and start_ms >= self.from_ms:
            ahead_ms = (start_ms - self.from_ms) // self.repeat_ms * self.repeat_ms
            start_ms, end_ms = start_ms - ahead_ms, end_ms - ahead_ms
            return start_ms < self.to_ms or end_ms > self.from_ms + self.repeat_ms
        return start_ms < self.to_ms and end_ms > self.from_ms
