"""A TCP proxy between a worker and Redis: it delays, cuts, truncates, and loses only replies.

A *trap* waits for a request that holds a marker (the digest of the flush script) and strikes at a stated
moment of it, once: that is how a worker dies exactly between a flush and its reply.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

_READ_BYTES = 1 << 16
_START_S = 120.0


class Moment(Enum):
    """When a trap strikes."""

    REQUEST = "before the request is sent on"
    SENT = "when the request was sent on, its reply not awaited"
    REPLIED = "when the server has replied, and nobody was told"
    HALF_REPLIED = "when the first byte of the reply was passed on"


@dataclass
class Trap:
    """One strike at one moment of a request; `sprung` says that it happened."""

    marker: bytes
    moment: Moment
    strike: Callable[[], None]
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on a port of its own and passes bytes on to `target`.

    Attributes:
        port: where it listens, once started.
        target: port that new connections are led to.
        delay_s: added to every reply.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.target = target
        self._traps: list[Trap] = []
        self._loop = asyncio.new_event_loop()
        self._pipes: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()

    def set(self, trap: Trap) -> None:
        """Set a trap; of several that wait for the same, each strikes at a request of its own."""
        self._traps.append(trap)

    def unset(self, trap: Trap) -> None:
        """Take a trap away that may have struck."""
        with suppress(ValueError):
            self._traps.remove(trap)

    def cut(self) -> None:
        """Cut every connection now; new ones are served."""
        self._loop.call_soon_threadsafe(self._cut)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_S)

    def _run(self) -> None:
        # The runner sees that tasks and connections end before the loop is closed.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._cut()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def _cut(self) -> None:
        for task in self._pipes:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pipe(reader, writer))
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _pipe(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return
        pending: list[Trap] = []
        ways = [
            asyncio.ensure_future(self._requests(client, to_server, pending)),
            asyncio.ensure_future(self._replies(server, to_client, pending)),
        ]
        # A cut may come while the ways are waited for at their end: the connection is closed all the same.
        with closing(to_server):
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(
        self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter, pending: list[Trap]
    ) -> None:
        """Ends when the connection is to be cut."""
        with suppress(OSError):
            while data := await client.read(_READ_BYTES):
                trap = next((trap for trap in tuple(self._traps) if trap.marker in data), None)
                if trap is not None:
                    self.unset(trap)
                    if trap.moment is Moment.REQUEST:
                        _spring(trap)
                        return
                    pending.append(trap)
                to_server.write(data)
                await to_server.drain()
                if trap is not None and trap.moment is Moment.SENT:
                    # A flush may be longer than one read: the rest has to reach the server, too.
                    await self._rest(client, to_server)
                    _spring(trap)
                    return

    async def _rest(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError):
            while data := await asyncio.wait_for(client.read(_READ_BYTES), 0.002):
                to_server.write(data)
        await to_server.drain()

    async def _replies(
        self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter, pending: list[Trap]
    ) -> None:
        """Ends when the connection is to be cut."""
        with suppress(OSError):
            while data := await server.read(_READ_BYTES):
                if pending and pending[0].moment is not Moment.SENT:
                    if pending[0].moment is Moment.HALF_REPLIED:
                        to_client.write(data[:1])
                        await to_client.drain()
                    _spring(pending[0])
                    return
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                to_client.write(data)
                await to_client.drain()


def _spring(trap: Trap) -> None:
    trap.strike()
    trap.sprung.set()
