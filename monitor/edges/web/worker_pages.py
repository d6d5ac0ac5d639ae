"""Pages of a worker: is it alive, is it ready, and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from monitor.edges.web.prometheus import CONTENT_TYPE, render
from monitor.edges.web.server import TRUSTED
from monitor.edges.web.worker_metrics import WorkerState, families


def worker_routes(state: Callable[[], WorkerState]) -> Sequence[web.AbstractRouteDef]:
    """Routes.

    `/healthz` answers 200 while a restart would not help; `/readyz` while the worker reads, the store answers
    and models are judged; each with its reasons, for those who showed the token.
    """

    async def healthz(request: web.Request) -> web.Response:
        now = state()
        return _word(request, "ok" if now.live else "stuck", now.live, now.problems)

    async def readyz(request: web.Request) -> web.Response:
        now = state()
        ready = now.live and not now.problems
        return _word(request, "ready" if ready else "not ready", ready, now.problems)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=render(families(state())).encode(), headers={"Content-Type": CONTENT_TYPE})

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]


def _word(request: web.Request, word: str, good: bool, problems: Sequence[str]) -> web.Response:
    reasons = [] if good or not request[TRUSTED] else problems
    return web.Response(status=200 if good else 503, text="\n".join([word, *reasons]) + "\n")
