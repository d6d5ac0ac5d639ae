"""The store's clock, but for its leaps.

After a failover the store may tell another machine's time, and one look at a clock that is a day ahead would
take event time of a quiet stream a day ahead. So a leap is believed only when it has gone on for a while;
until then time goes on as this machine counts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAP_MS: Final = 10_000
"""What the store's clock may gain or lose between two looks, beyond the time that passed."""

BELIEVED_S: Final = 60.0
"""A clock that leapt and goes on from there for so long is right: it was wrong before."""


@dataclass(frozen=True)
class SteadyClock:
    """What is known of the time.

    Attributes:
        now_ms: at the last look, epoch ms; 0 before the first.
        looked_s: monotonic time of the last look.
        leapt_s: monotonic time since which the store's clock is elsewhere, None while it is not.
    """

    now_ms: int = 0
    looked_s: float = 0.0
    leapt_s: float | None = None

    def look(self, told_ms: int, at_s: float) -> SteadyClock:
        """Take what the store's clock tells at a monotonic time. The first look is taken as it is.

        >>> clock = SteadyClock().look(1_000_000, 0.0).look(1_000_500, 0.5)
        >>> ahead = clock.look(90_000_000, 1.0)
        >>> ahead.now_ms, ahead.look(1_001_500, 1.5).now_ms, ahead.look(90_060_000, 61.0).now_ms
        (1001000, 1001500, 90060000)
        """
        passed_ms = round(1000 * (at_s - self.looked_s))
        if not self.now_ms:
            return SteadyClock(told_ms, at_s)
        if abs(told_ms - self.now_ms - passed_ms) <= LEAP_MS:
            return SteadyClock(max(self.now_ms, told_ms), at_s)  # one that lost a little is waited for
        leapt_s = at_s if self.leapt_s is None else self.leapt_s
        if at_s - leapt_s >= BELIEVED_S:
            return SteadyClock(told_ms, at_s)
        return SteadyClock(self.now_ms + passed_ms, at_s, leapt_s)
