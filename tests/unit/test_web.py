"""The web pages of a worker: truthful, guarded, read only, and bounded."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from monitor.config import Settings
from monitor.core.errors import SettingsError
from monitor.core.own_health import Lost, Outbox, OwnHealth, WorkerReport
from monitor.core.probes.results import Work
from monitor.edges.evaluator import Judged
from monitor.edges.logs import JsonFormatter
from monitor.edges.web import server as server_module
from monitor.edges.web.door import CONNECTIONS_MAX
from monitor.edges.web.prometheus import render
from monitor.edges.web.server import LOOPBACK_NAMES, Access, WebServer
from monitor.edges.web.worker_metrics import SLICES_MAX, ProbeUse, WorkerState, families
from monitor.edges.web.worker_pages import worker_routes

TOKEN = "a-token-of-some-length"
WELL = WorkerState(WorkerReport(worker="w", joined=True), "1")
FULL = WorkerState(
    WorkerReport(worker="w", evaluator_age_s=1.0), "1", own=OwnHealth(0), judged={"m": Judged((), 0, {})}
)
ILL = WorkerState(WorkerReport(worker="w"), "1", problems=("the store does not answer",))


async def ask(
    state: WorkerState,
    path: str,
    access: Access | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str, Mapping[str, str]]:
    server = WebServer(worker_routes(lambda: state), "127.0.0.1", 0, access or Access())
    async with server, aiohttp.ClientSession() as client:
        answer = await client.request(method, f"{server.url}{path}", headers=headers)
        return answer.status, await answer.text(), dict(answer.headers)


async def test_health_and_readiness_tell_the_truth() -> None:
    assert (await ask(WELL, "/healthz"))[:2] == (200, "ok\n")
    assert (await ask(WELL, "/readyz"))[:2] == (200, "ready\n")
    assert (await ask(ILL, "/healthz"))[0] == 200, "a restart would not bring the store back"
    assert (await ask(ILL, "/readyz"))[:2] == (503, "not ready\nthe store does not answer\n")
    stuck = WorkerState(WELL.report, "1", live=False)
    assert (await ask(stuck, "/healthz"))[0] == 503
    assert (await ask(stuck, "/readyz"))[0] == 503


async def test_without_the_token_there_is_a_word_and_no_more() -> None:
    access = Access(TOKEN)
    assert (await ask(ILL, "/readyz", access))[:2] == (503, "not ready\n")
    status, text, headers = await ask(WELL, "/metrics", access)
    assert (status, text) == (401, "a token is needed\n")
    assert headers["WWW-Authenticate"].startswith("Basic")
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    for shown in (f"Bearer {TOKEN}", f"Basic {basic}"):
        assert (await ask(WELL, "/metrics", access, headers={"Authorization": shown}))[0] == 200
    for wrong in ("Bearer other", "Basic !", f"Digest {TOKEN}", "Bearer"):
        assert (await ask(WELL, "/metrics", access, headers={"Authorization": wrong}))[0] == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(method: str) -> None:
    assert (await ask(WELL, "/metrics", method=method))[0] == 405


async def test_every_answer_has_strict_headers() -> None:
    for path in ("/healthz", "/metrics", "/nothing"):
        _, _, headers = await ask(WELL, path)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


async def test_a_page_elsewhere_cannot_read_what_is_bound_to_loopback() -> None:
    access = Access(names=LOOPBACK_NAMES)
    assert (await ask(WELL, "/metrics", access, headers={"Host": "evil.test:80"}))[0] == 421
    assert (await ask(WELL, "/metrics", access))[0] == 200


def test_metrics_name_everything_and_escape_hostile_names() -> None:
    hostile = 'x="\\\n</script>'
    view = {"requests": "12", "labelled": "5", "accuracy": "0.8", "accuracy_low": "0.7", "recall": ""}
    judged = Judged((), 5_000, {f"5m/{hostile}": view, "join/1h": {"duplicates": "3"}})
    own = OwnHealth(0, lost={("p", 2): Lost(9, 0)}, outboxes={"dead letters": Outbox(4, 2.0, 1)})
    state = WorkerState(
        WELL.report, "1", rejected={("p", "not_json"): 3}, lag={("p", 2): 7}, own=own, judged={"m": judged}
    )
    lines = render(families(state)).splitlines()
    assert 'monitor_dead_letters_total{topic="p",reason="not_json"} 3' in lines
    assert 'monitor_lag_records{topic="p",partition="2"} 7' in lines
    assert 'monitor_records_lost_total{topic="p",partition="2"} 9' in lines
    assert 'monitor_outbox_waiting{outbox="dead letters"} 4' in lines
    assert 'monitor_join{model="m",what="duplicates"} 3' in lines
    (accuracy,) = [line for line in lines if line.startswith("monitor_slice_metric{")]
    assert r'slice="x=\"\\\n</script>",metric="accuracy"} 0.8' in accuracy
    assert sum(line.startswith("monitor_slice_metric_low{") for line in lines) == 1


def test_probes_are_told_with_their_budget() -> None:
    state = WorkerState(WELL.report, "1", probes={"m": ProbeUse(50.0, {Work.ROWS: 7, Work.DROPPED: 2})})
    lines = render(families(state)).splitlines()
    assert 'monitor_probe_budget_rows_per_second{model="m"} 50' in lines
    assert 'monitor_probe_work_total{model="m",what="rows"} 7' in lines
    assert 'monitor_probe_work_total{model="m",what="dropped"} 2' in lines
    assert 'monitor_probe_work_total{model="m",what="errors"} 0' in lines


def test_every_metric_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    names = {family.name for family in families(FULL)}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_number_of_series_is_bounded() -> None:
    views = {f"5m/s={i}": {"requests": str(i), "accuracy": "0.5"} for i in range(250)}
    lines = render(families(WorkerState(WELL.report, "1", judged={"m": Judged((), 0, views)}))).splitlines()
    shown = [line for line in lines if line.startswith("monitor_slice_metric{")]
    assert len(shown) == SLICES_MAX
    assert any('slice="s=249"' in line for line in shown), "those with most requests stay"
    assert 'monitor_slices_beyond{model="m",window="5m"} 150' in lines


def test_beyond_loopback_a_token_is_required_and_never_shown() -> None:
    raw = {
        "kafka": {"bootstrap_servers": "k:9092", "predictions": {"topics": ["p"]}},
        "models": {"m": {"task": "binary"}},
    }
    with pytest.raises(SettingsError, match="can be reached from elsewhere"):
        Settings.parse(raw | {"web": {"host": "0.0.0.0"}})
    with pytest.raises(SettingsError) as short:
        Settings.parse(raw | {"web": {"token": "hunter2"}})
    assert "hunter2" not in str(short.value)
    settings = Settings.parse(raw | {"web": {"host": "0.0.0.0", "token": TOKEN}})
    assert TOKEN not in repr(settings)
    assert Settings.parse(raw | {"web": {"host": "0.0.0.0", "behind_proxy": True}}).web.token is None


async def test_silent_connections_are_bounded_and_leave_room_for_a_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "SILENCE_S", 600.0)  # none ends for its silence
    async with WebServer(worker_routes(lambda: WELL), "127.0.0.1", 0, Access(TOKEN)) as server:
        streams = [
            await asyncio.open_connection("127.0.0.1", server.port) for _ in range(CONNECTIONS_MAX + 20)
        ]
        async with aiohttp.ClientSession() as client, client.get(f"{server.url}/healthz") as answer:
            assert answer.status == 200
        ended = [stream for stream, _ in streams[:20]]
        assert [await stream.read() for stream in ended] == [b""] * 20
        assert not any(stream.at_eof() for stream, _ in streams[-20:])
        for _, writer in streams:
            writer.close()


async def test_a_silent_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    # What is to be answered gets long enough to come before its connection ends.
    for sent, silence_s in ((b"", 0.05), (request, 0.05), (request + b"\r\n", 5.0)):
        monkeypatch.setattr(server_module, "SILENCE_S", silence_s)
        async with WebServer(worker_routes(lambda: WELL), "127.0.0.1", 0, Access()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            answer = b""
            with suppress(ConnectionResetError):  # what comes when all is over is told so
                answer = await reader.read()  # to the end, which the server makes
            assert answer.startswith(b"HTTP/1.1 200") == sent.endswith(b"\r\n\r\n")
            writer.close()


async def test_a_malformed_request_is_told_without_its_headers(caplog: pytest.LogCaptureFixture) -> None:
    requests = (
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\x01\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer {TOKEN}\r\n\r\n",
        f"GET /{TOKEN}\x01 HTTP/1.1\r\n\r\n",
    )
    async with WebServer(worker_routes(lambda: WELL), "127.0.0.1", 0, Access(TOKEN)) as server:
        for request in requests:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request.encode())
            assert (await reader.read()).startswith(b"HTTP/1.0 400")
            writer.close()
    told = [record for record in caplog.records if record.name == "aiohttp.server"]
    assert len(told) == len(requests)
    assert TOKEN not in caplog.text
    assert all(record.exc_info is None and vars(record)["problem"] for record in told)
    assert TOKEN not in "".join(map(JsonFormatter().format, told))
