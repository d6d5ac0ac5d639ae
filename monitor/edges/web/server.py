"""An HTTP server that only answers questions: GET and HEAD, to those who may ask, with strict headers.

Bound to loopback it answers names of this machine only, so that a page elsewhere cannot read it through a
browser (DNS rebinding). With a token, readers show it as `Authorization: Bearer TOKEN`, or as the password of
any user, which browsers ask for.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from monitor.core.errors import QueryError, ServiceError, StoreError
from monitor.edges.web.door import SILENCE_S, Door, PlainWords

log = logging.getLogger(__name__)

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""Answered without a token, in one word: probes of an orchestrator carry none."""

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})

_STOP_S: Final = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TRUSTED: Final = web.RequestKey("trusted", bool)
"""Of a request: whether it showed the token, or none is asked for."""


@dataclass(frozen=True)
class Access:
    """Who may read.

    Attributes:
        token: what to show; None asks for nothing.
        names: values of the Host header that are answered, without port; None answers all.
    """

    token: str | None = None
    names: frozenset[str] | None = None

    def knows(self, authorization: str) -> bool:
        """Whether an Authorization header shows the token."""
        if self.token is None:
            return True
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
            except ValueError:  # not base64, not ASCII, not text
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(shown.strip().encode("utf-8", "surrogateescape"), self.token.encode())

    def serves(self, host: str) -> bool:
        """Whether a Host header is one of ours.

        >>> [Access(names=LOOPBACK_NAMES).serves(host) for host in ("localhost:8090", "evil.test")]
        [True, False]
        """
        if self.names is None:
            return True
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return name in self.names


class WebServer:
    """Serves some routes until closed, as an async context manager.

    Args:
        routes: handlers by path.
        host: address to listen at.
        port: port, 0 for any that is free.
        access: who may read.

    Attributes:
        port: the one that is listened at.
    """

    def __init__(self, routes: Sequence[web.AbstractRouteDef], host: str, port: int, access: Access) -> None:
        self.port = port
        self._host = host
        app = web.Application(middlewares=[_guard(access)], client_max_size=1)
        app.add_routes(routes)
        self._socket: asyncio.Server | None = None
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=PlainWords(logging.getLogger("aiohttp.server")),
            keepalive_timeout=SILENCE_S,
            shutdown_timeout=_STOP_S,
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            self._socket = await loop.create_server(lambda: Door(server), self._host, self.port)
        except OSError as error:
            await self._runner.cleanup()
            raise ServiceError(f"cannot listen at {self._host}:{self.port}: {error.strerror}") from error
        self.port = self._socket.sockets[0].getsockname()[1]
        log.info("web pages", extra={"url": self.url})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()
        await self._runner.cleanup()


def _guard(access: Access) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(access, request, handler)
        response.headers.update(HEADERS)
        return response

    return guard


async def _answer(access: Access, request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, text="only GET\n", headers={"Allow": "GET, HEAD"})
    if not access.serves(request.host):
        return web.Response(status=421, text="not a name of this server\n")
    request[TRUSTED] = access.knows(request.headers.get("Authorization", ""))
    if not request[TRUSTED] and request.path not in OPEN:
        asks = {"WWW-Authenticate": 'Basic realm="inference-monitor"'}
        return web.Response(status=401, text="a token is needed\n", headers=asks)
    try:
        return await handler(request)
    except web.HTTPException as told:
        return web.Response(status=told.status, text=f"{told.reason}\n")
    except QueryError as error:
        return web.Response(status=404, text=f"{error}\n")
    except StoreError as error:
        log.warning("a page waits for the store: %s", error)
        return web.Response(status=503, text="the store does not answer\n")
    except Exception:
        log.exception("a page failed", extra={"path": request.path})
        return web.Response(status=500, text="this page failed; the log says why\n")
