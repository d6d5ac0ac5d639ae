"""The machine's clock."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Time of day, and time that never goes back."""

    def now_ms(self) -> int:
        """Epoch ms."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    async def sleep(self, wait_s: float) -> None:
        """Wait."""
        await asyncio.sleep(wait_s)
