"""A circuit breaker: an endpoint that fails is left alone for a while.

Source: Nygard, Release It! (2007), chapter 5.
"""

from __future__ import annotations

from enum import StrEnum


class Circuit(StrEnum):
    """States of a breaker."""

    CLOSED = "closed"  # asked
    OPEN = "open"  # left alone
    HALF_OPEN = "half open"  # one row is let through, to see


class Breaker:
    """Opens after failures in a row, lets one row through after a wait, closes when that is answered.

    Each further failure doubles the wait.

    Args:
        failures_max: failures in a row that open it.
        wait_s: time it stays open at first.
        wait_max_s: and at most.
    """

    def __init__(self, failures_max: int, wait_s: float, wait_max_s: float) -> None:
        self._failures_max = failures_max
        self._first_wait_s = wait_s
        self._wait_max_s = wait_max_s
        self._failures = 0
        self._wait_s = wait_s
        self._until_s: float | None = None
        self._trying = False
        self.opened = 0
        """How often it has opened."""

    def state(self, now_s: float) -> Circuit:
        """At a time of a clock that does not go back."""
        if self._until_s is None:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if now_s >= self._until_s and not self._trying else Circuit.OPEN

    def admit(self, now_s: float) -> bool:
        """Whether to call; while half open, only the first who asks. `settle` has to follow."""
        state = self.state(now_s)
        self._trying = self._trying or state is Circuit.HALF_OPEN
        return state is not Circuit.OPEN

    def settle(self, well: bool, now_s: float) -> None:
        """How an admitted call went."""
        tried, self._trying = self._trying, False
        if well:
            self._failures, self._until_s, self._wait_s = 0, None, self._first_wait_s
            return
        self._failures += 1
        if tried:
            self._wait_s = min(2 * self._wait_s, self._wait_max_s)
        if tried or self._failures >= self._failures_max:
            self.opened += self._until_s is None
            self._until_s = now_s + self._wait_s
