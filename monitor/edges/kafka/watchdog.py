"""Ends a worker that has records to read and makes no progress, because nothing inside would notice.

A partition that was assigned and never placed stands still, too: what waits there nobody knows.

Outages that are known are waited out: the store is away (said by the caller), or the brokers are (their end
offsets, asked over a connection of its own, cannot be had). A transaction marker at the tail is no lag: the
position moves past it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from monitor.core.errors import KafkaError
from monitor.edges.kafka.flow import Flow
from monitor.ports import Clock, Partition

_CHECKS_PER_PATIENCE: Final = 6

_TURNS: Final = 5
"""A partition may stand so many times longer while others move: a worker that is late serves them in turn."""

Ends = Callable[[], Awaitable[Mapping[Partition, int]]]
"""End offsets of every partition of the topics read; `KafkaError` when the brokers cannot be reached."""


class Watchdog:
    """Watches one worker.

    Args:
        flow: of the worker.
        ends: see `Ends`.
        excused: True during an outage that is not the worker's fault.
        stall_s: records to read but no progress for so long is a stall; of one partition while others
            move, five times as long.
        join_s: not let into the group for so long is one too.
        clock: paces it.
    """

    def __init__(
        self, flow: Flow, ends: Ends, excused: Callable[[], bool], stall_s: float, join_s: float, clock: Clock
    ) -> None:
        self._flow = flow
        self._ends = ends
        self._excused = excused
        self._stall_s = stall_s
        self._join_s = join_s
        self._clock = clock
        self._at: dict[Partition, int] = {}
        self._since_s: dict[Partition, float] = {}
        self._moved_s = -math.inf
        self._out_since_s: float | None = None

    async def stalled(self) -> str:
        """Wait for a stall; answers what stands still."""
        while True:
            await self._clock.sleep(self._stall_s / _CHECKS_PER_PATIENCE)
            reason = await self._check()
            if reason is not None:
                return reason

    async def _check(self) -> str | None:
        try:
            ends = await self._ends()
        except KafkaError:
            ends = None
        if ends is None or self._excused() or self._flow.store_away:
            self._forgive()
            return None
        now_s = self._clock.monotonic_s()
        if not self._flow.joined:
            if self._out_since_s is None:
                self._out_since_s = now_s
            waited_s = now_s - self._out_since_s
            self._forget_positions()  # time outside the group is no stall of a partition that comes back
            return f"not let into the group for {waited_s:.0f} s" if waited_s >= self._join_s else None
        self._out_since_s = None
        standing = self._flow.standing
        ours = standing.keys() | self._flow.unplaced
        self._at = {partition: at for partition, at in self._at.items() if partition in ours}
        self._since_s = {partition: at_s for partition, at_s in self._since_s.items() if partition in ours}
        for partition, (position, _) in standing.items():
            moved = position > self._at.get(partition, position)
            if moved:
                self._moved_s = now_s
            if moved or position >= ends.get(partition, 0):
                self._since_s[partition] = now_s
            self._at[partition] = position
        patience_s = self._stall_s * (_TURNS if now_s - self._moved_s < self._stall_s else 1)
        for partition in sorted(ours):
            waited_s = now_s - self._since_s.setdefault(partition, now_s)
            if waited_s < patience_s:
                continue
            if partition in standing:
                position = standing[partition][0]
                return f"{partition} stands at {position} of {ends[partition]} for {waited_s:.0f} s"
            return f"nobody could say for {waited_s:.0f} s where to begin with {partition}"
        return None

    def _forgive(self) -> None:
        self._forget_positions()
        self._out_since_s = None

    def _forget_positions(self) -> None:
        self._at.clear()
        self._since_s.clear()
        self._moved_s = -math.inf
