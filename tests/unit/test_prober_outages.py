"""Endpoints at their worst, over HTTP: all is counted, the circuit opens and closes, ingest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from monitor.core.counters import PROBE_TRIALS, PROBE_WORK, SCALARS, Scalar
from monitor.core.probes.endpoint import Endpoint
from monitor.core.probes.results import Part, Work, trials_of
from monitor.edges.memory import ManualClock
from monitor.edges.model import Careful, open_client
from monitor.edges.model.breaker import Circuit
from tests.support.probing import World, fair, probed

GIGABYTE = 1 << 30
WAIT_S = 60.0
SENT_MAX = 3_000  # requests until the circuit has opened, and closed again


class Server:
    """Answers well, or as badly as it is told to."""

    def __init__(self) -> None:
        self.mood = "well"
        self.rows = 0
        self.calls = 0
        self.url = ""
        self.written = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        rows = json.loads(await request.read())["instances"]
        self.calls += 1
        self.rows += len(rows)
        assert request.headers["X-Monitor-Probe"] == "1"
        match self.mood:
            case "hanging":
                await asyncio.sleep(30)
            case "500":
                return web.Response(status=500, text="oh")
            case "garbage":
                return web.Response(body=b"\x00\xff<html>")
            case "nan":
                return web.Response(body=json.dumps({"scores": [float("nan")] * len(rows)}).encode())
            case "wrong count":
                return web.json_response({"scores": [0.5] * (len(rows) + 3)})
            case "gigabyte":
                return await self._gigabyte(request)
        return web.json_response({"scores": [fair(row) for row in rows]})

    async def _gigabyte(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while self.written < GIGABYTE:
                await response.write(b"9" * 65_536)
                self.written += 65_536
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_post("/predict", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/predict"
    yield made
    await runner.cleanup()


def client_of(server: Server, timeout_s: float, clock: ManualClock) -> Careful:
    """Its circuit breaker alone goes by the clock: an open circuit stays so until a test lets time pass."""
    endpoint = Endpoint(
        server.url, timeout_s=timeout_s, failures_max=2, wait_s=WAIT_S, response_bytes_max=1_000_000
    )
    return open_client(endpoint, now_s=clock.monotonic_s)


def state(client: Careful) -> Circuit:
    """Of its circuit, as it is now."""
    return client.circuit


@pytest.mark.parametrize("mood", ["hanging", "500", "garbage", "nan", "gigabyte", "wrong count"])
async def test_an_endpoint_at_its_worst_is_counted_and_left_alone(server: Server, mood: str) -> None:
    clock = ManualClock()  # not that of the world, which the prober's own pauses move
    client = client_of(server, 0.3 if mood == "hanging" else 20.0, clock)
    made = World(client, probed())
    server.mood = mood
    await made.traffic(60)
    probing = asyncio.create_task(made.prober.round())
    await asyncio.sleep(0)
    await made.traffic(60)  # ingest does not wait for it
    assert int(made.cells(SCALARS)[Scalar.REQUESTS]) == 120
    await probing
    while state(client) is not Circuit.OPEN:
        assert made.sent < SENT_MAX
        await made.traffic(30)
        await made.prober.round()
    asked = server.rows
    await made.traffic(30)
    await made.prober.round()
    assert server.rows == asked  # the circuit is open: nothing was sent
    work = made.cells(PROBE_WORK)
    assert work[Work.ERRORS] == work[Work.ROWS] > 0
    assert server.written < 100_000_000  # the rest of a gigabyte was never read
    server.mood = "well"
    while state(client) is not Circuit.CLOSED:
        assert made.sent < SENT_MAX
        clock.advance(WAIT_S)
        await made.traffic(30)
        await made.prober.round()
    await made.traffic(30)
    await made.prober.round()
    trials = trials_of(made.cells(PROBE_TRIALS))[0, 0]
    assert trials[Part.TRIALS] > trials[Part.ERRORS]
    await client.close()
