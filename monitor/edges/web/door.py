"""What stands before the web pages: how many connections at once, how long in silence, what noise is logged.

A connection costs a file descriptor, and a worker needs its own for Kafka and Redis: whoever opens
connections without a word must not take them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any, Final, cast

from aiohttp import web

CONNECTIONS_MAX: Final = 100
SILENCE_S: Final = 10.0
"""Before a connection's first request, and from one to the next."""


class Door(asyncio.Protocol):
    """Passes a connection on to the server; where the server has enough of them, the oldest one ends.

    Not the new one: it may be the probe that decides whether the worker is killed.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make room; only now, because others that were accepted before could not be counted then."""
        open_ = [
            known
            for handler in self._server.connections
            if (known := handler.transport) is not None and not known.is_closing()
        ]
        if len(open_) >= CONNECTIONS_MAX:
            open_[0].abort()  # closing would wait for a client that does not read
        real, handler = cast("asyncio.Transport", transport), self._server()
        real.set_protocol(handler)
        handler.connection_made(real)


class PlainWords(logging.LoggerAdapter[logging.Logger]):
    """Complaints of aiohttp about requests, without the error: it quotes headers, and one holds the token."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The message, with no more of an error than its name."""
        error = kwargs.pop("exc_info", None)
        extra = {"problem": type(error).__name__} if isinstance(error, BaseException) else {}
        return msg, {**kwargs, "extra": extra}
