"""A publisher that keeps what it is given."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.ports import OutboxEntry


class MemoryPublisher:
    """Keeps what is published, in order."""

    def __init__(self) -> None:
        self.entries: list[OutboxEntry] = []

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """See `monitor.ports.Publisher`."""
        self.entries.extend(entries)
