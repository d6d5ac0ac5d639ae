"""Bytes of requests to the web pages of a worker and of the dashboard, over a connection in memory.

Whatever is sent, what comes back is HTTP with a status that was meant, never 500; every page carries the
strict headers; without the token nothing but a word is told; nothing of the request comes back as HTML.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import Any

from aiohttp import web

from monitor.core.own_health import OwnHealth, WorkerReport
from monitor.edges.web.dashboard import dashboard_routes
from monitor.edges.web.page_data import Page
from monitor.edges.web.server import HEADERS, LOOPBACK_NAMES, Access, WebServer
from monitor.edges.web.worker_metrics import WorkerState
from monitor.edges.web.worker_pages import worker_routes
from tests.fuzz.loop import done
from tests.fuzz.targets.target import Target

_TOKEN = "a-token-of-some-length"
_MEANT = frozenset({200, 302, 400, 401, 404, 405, 413, 414, 417, 421, 431, 501, 503, 505})
_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3}) [^\r\n]*\r\n")
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_SECRETS = (b"monitor_", b"a-secret-problem", b"<html")
_PARSER = frozenset({400, 413, 414, 417, 431, 501, 505})
"""Answers of the HTTP parser itself, before any page is looked for."""


class _Wire(asyncio.Transport):
    """One end of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.sent += b"".join(map(bytes, list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default


def _page(model: str, window: str) -> Page:
    return Page(model, ["m", "other"], window, [], OwnHealth(0), [], note="no traffic")


def _state() -> WorkerState:
    return WorkerState(WorkerReport(worker="w"), "1", problems=("a-secret-problem",))


@cache
def _server(guarded: bool) -> web.Server:
    access = Access(_TOKEN if guarded else None, None if guarded else LOOPBACK_NAMES)
    routes = [*dashboard_routes(["m", "other"], _page), *worker_routes(_state)]
    server = WebServer(routes, "127.0.0.1", 0, access)
    done(server._runner.setup())
    found = server._runner.server
    assert found is not None
    return found


async def _answer(server: web.Server, request: bytes) -> bytes:
    protocol = server()
    wire = _Wire()
    protocol.connection_made(wire)
    protocol.data_received(request)
    for _ in range(40):
        await asyncio.sleep(0)
        if wire.closed:
            break
    for _ in range(200):  # pages are read in a thread
        if wire.sent or wire.closed or not _complete(request):
            break
        await asyncio.sleep(0.001)
    protocol.connection_lost(None)
    await asyncio.sleep(0)
    return wire.sent


def _complete(request: bytes) -> bool:
    return b"\r\n\r\n" in request


def run(data: bytes) -> None:
    guarded = bool(data[:1]) and bool(data[0] & 1)
    request = data[1:]
    sent = done(_answer(_server(guarded), request)).removeprefix(_GO_ON)
    if not sent:
        return
    match = _STATUS.match(sent)
    assert match, "an answer is HTTP"
    status = int(match[1])
    assert status in _MEANT, f"status {status} was meant"
    head, _, body = sent.partition(b"\r\n\r\n")
    if status not in _PARSER:
        for name, value in HEADERS.items():
            assert f"\r\n{name}: {value}\r\n".encode() in head + b"\r\n", "strict headers are everywhere"
    if guarded and _TOKEN.encode() not in request and b"Basic" not in request:
        assert not any(secret in body for secret in _SECRETS), "without the token there is a word and no more"
    if b"text/html" in head:
        assert b"<script>alert" not in body, "nothing of a request comes back as HTML"
    assert b"\r\nX-Evil:" not in head, "nor as a header"


def _get(path: str, *headers: str, version: str = "1.1", method: str = "GET", guarded: bool = False) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
    return bytes([guarded]) + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


TARGET = Target(
    run,
    seeds=(
        _get("/"),
        _get("/models/m?window=1h"),
        _get("/models/<script>alert(1)</script>?window=9y"),
        _get("/models/other%0d%0aX-Evil:%201"),
        _get("/static/..%2fserver.py"),
        _get("/metrics", f"Authorization: Bearer {_TOKEN}", guarded=True),
        _get("/metrics", "Authorization: Basic YTph", guarded=True),
        _get("/readyz", guarded=True),
        _get("/healthz", "Accept-Encoding: gzip", "Range: bytes=0-1", version="1.0", method="HEAD"),
        _get("/metrics", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"),
        _get("/models/m", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x"),
        _get("http://evil.test/metrics", "Host: evil.test"),
    ),
    bytes_max=2_000,
)
