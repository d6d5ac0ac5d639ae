"""The HTTP client of models against a real server that does everything wrong."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.core.errors import SettingsError
from monitor.core.probes.answers import Answer
from monitor.core.probes.endpoint import Endpoint
from monitor.edges.memory import ManualClock
from monitor.edges.model import Careful, open_client
from monitor.edges.model.breaker import Circuit
from tests.support.model_servers import Asked, Reply, by, response, says, serving

ROWS: list[dict[str, Any]] = [{"x": 1}, {"x": 2.5}, {"x": "three"}]


@asynccontextmanager
async def asking(reply: Reply, **fields: Any) -> AsyncIterator[tuple[Careful, Asked]]:
    async with serving(reply) as asked:
        client = open_client(Endpoint(f"http://127.0.0.1:{asked.port}/predict", **fields))
        try:
            yield client, asked
        finally:
            await client.close()


def scores(found: list[Answer]) -> list[float | None]:
    return [answer.score for answer in found]


def errors(found: list[Answer]) -> set[str | None]:
    return {answer.error for answer in found}


def good(document: Any) -> tuple[int, Any]:
    return 200, {"predictions": [0.1 * (i + 1) for i in range(len(document["instances"]))]}


async def test_rows_are_asked_in_batches_and_answers_come_in_order() -> None:
    def answer(document: Any) -> tuple[int, Any]:
        return 200, [row["x"] / 100 for row in document["instances"]]

    async with asking(by(answer), rows_max=3) as (client, asked):
        found = await client.ask([{"x": i} for i in range(8)])
        assert await client.ask([]) == []
    assert scores(found) == [i / 100 for i in range(8)]
    assert [len(document["instances"]) for document in asked.documents] == [3, 3, 2]


async def test_a_request_is_marked_and_goes_to_the_configured_address_only() -> None:
    evil = {"url": "http://example.com/", "x": "\r\nHost: example.com"}
    async with asking(by(good), token="secret-1") as (client, asked):
        await client.ask([evil, {"$rows": "$vectors"}])
    assert asked.lines == ["POST /predict HTTP/1.1"]
    headers = asked.headers[0]
    assert headers["host"] == f"127.0.0.1:{asked.port}"
    assert headers["x-monitor-probe"] == "1"
    assert headers["authorization"] == "Bearer secret-1"
    assert asked.documents[0]["instances"] == [evil, {"$rows": "$vectors"}]


async def test_numbers_are_sent_as_they_are_and_nan_as_a_bare_word() -> None:
    async with asking(by(good)) as (client, asked):
        await client.ask([{"a": 1.0, "b": 1, "c": math.nan, "d": -math.inf, "e": None, "f": True, "g": "1"}])
    sent = b'{"a":1.0,"b":1,"c":NaN,"d":-Infinity,"e":null,"f":true,"g":"1"}'
    assert asked.bodies == [b'{"instances":[' + sent + b"]}"]


async def slow_drip(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def hang(_: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def a_gigabyte(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _part in range(1024):
        writer.write(b"100000\r\n" + b"[" * 0x100000 + b"\r\n")
        await writer.drain()


async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[0.5")
    writer.close()


async def no_http(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff garbage \r\n\r\n")
    writer.close()


FAULTS: list[tuple[str, Reply]] = [
    ("timeout", hang),
    ("timeout", slow_drip),
    ("too large", a_gigabyte),
    ("too large", says(b"[]" + b" " * 5_000_000)),
    ("disconnected", hang_up),
    ("disconnected", no_http),
    ("http 500", says(b"oops", "500 Internal Server Error")),
    ("http 503", says(b"[0.5, 0.5, 0.5]", "503 Unavailable")),
    ("http 401", says(b"", "401 Unauthorized")),
    ("redirect", says(b"[0.5, 0.5, 0.5]", "307 Temporary", "Location: http://127.0.0.1:1/elsewhere")),
    ("not json", says(b"<html>hello</html>")),
    ("not json", says(b"[" * 100_000)),
    ("not json", says(b'{"predictions": [' + b"9" * 5_000 + b"]}")),
    ("not json", says(b"\xff\xfe")),
    ("encoded", says(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip")),
    ("no score", says(b'"fine"')),
    ("no score", says(b'{"predictions": ["a", {}, []]}')),
    ("not a number", says(b'{"predictions": [NaN, null, 1e999]}')),
]


@pytest.mark.parametrize(("error", "reply"), FAULTS, ids=lambda v: v if isinstance(v, str) else "")
async def test_a_fault_is_a_short_word(error: str, reply: Reply) -> None:
    async with asking(reply, timeout_s=0.3 if error == "timeout" else 20.0) as (client, asked):
        found = await client.ask(ROWS)
    assert errors(found) == {error}
    assert len(found) == 3
    paths = {line.split()[1] for line in asked.lines}
    assert paths <= {"/predict"}
    assert paths or error == "timeout"  # a server that was late may have read nothing until then


@pytest.mark.parametrize("count", [0, 2, 4])
async def test_a_wrong_number_of_rows_is_never_matched_to_rows(count: int) -> None:
    async with asking(says(json.dumps([[0.5, 0.5]] * count).encode())) as (client, _):
        found = await client.ask(ROWS)
    assert errors(found) == {"row count"}


async def test_nobody_there() -> None:
    async with serving(by(good)) as asked:
        pass
    client = open_client(Endpoint(f"http://127.0.0.1:{asked.port}/"))
    assert errors(await client.ask(ROWS)) == {"unreachable"}
    await client.close()


async def test_one_row_at_fault_spoils_no_other() -> None:
    """The type matrix is told cell by cell although rows share batches."""

    def strict(document: Any) -> tuple[int, Any]:
        if any(not isinstance(row["x"], int | float) for row in document["instances"]):
            return 422, {"detail": "x is not a number"}
        return 200, [row["x"] for row in document["instances"]]

    async with asking(by(strict)) as (client, asked):
        found = await client.ask([{"x": 1}, {"x": "2"}, {"x": 3}, {"x": None}])
    assert [answer.score if answer.error is None else answer.error for answer in found] == [
        1.0,
        "http 422",
        3.0,
        "http 422",
    ]
    assert len(asked.bodies) == 5
    assert client.circuit is Circuit.CLOSED


async def test_rows_that_a_server_drops_are_told_apart() -> None:
    def dropping(document: Any) -> tuple[int, Any]:
        return 200, {"predictions": [[0.0, r["x"]] for r in document["instances"] if r["x"] is not None]}

    async with asking(by(dropping)) as (client, _):
        found = await client.ask([{"x": 1}, {"x": None}, {"x": 3}])
    assert [answer.error for answer in found] == [None, "row count", None]


async def test_a_server_that_is_down_is_not_asked_row_by_row_for_ever() -> None:
    async with asking(says(b"", "500 Down")) as (client, asked):
        found = await client.ask([{"x": i} for i in range(100)])
    assert errors(found) == {"http 500"}
    assert len(found) == 100
    assert len(asked.bodies) == 1 + 32


async def test_the_breaker_opens_tries_one_row_and_recovers() -> None:
    down = True

    def answer(document: Any) -> tuple[int, Any]:
        return (503, {}) if down else good(document)

    clock = ManualClock()
    async with serving(by(answer)) as asked:
        endpoint = Endpoint(f"http://127.0.0.1:{asked.port}/", failures_max=3, wait_s=5)
        client = open_client(endpoint, now_s=clock.monotonic_s)
        words = [errors(await client.ask(ROWS)) for _ in range(5)]
        assert words == [{"http 503"}] * 3 + [{"circuit open"}] * 2
        assert len(asked.bodies) == 3
        await clock.sleep(5)
        assert client.circuit is Circuit.HALF_OPEN
        assert [answer.error for answer in await client.ask(ROWS)] == ["http 503", *["circuit open"] * 2]
        assert len(asked.documents[-1]["instances"]) == 1
        down = False
        await clock.sleep(9)
        assert errors(await client.ask(ROWS)) == {"circuit open"}  # the wait has doubled
        await clock.sleep(1)
        assert errors(await client.ask(ROWS)) == {None}
        assert [len(d["instances"]) for d in asked.documents[-2:]] == [1, 2]
        assert (client.circuit, client.breaker.opened) == (Circuit.CLOSED, 1)
        await client.close()


async def test_every_row_that_is_sent_is_paid_for() -> None:
    spent: list[int] = []

    async def spend(rows: int) -> None:
        spent.append(rows)

    async with serving(says(b"", "400 Bad")) as asked:
        client = open_client(Endpoint(f"http://127.0.0.1:{asked.port}/"), spend)
        await client.ask(ROWS)
        await client.close()
    assert spent == [len(document["instances"]) for document in asked.documents] == [3, 1, 1, 1]


async def test_what_is_cancelled_counts_as_failed_and_locks_nothing() -> None:
    clock = ManualClock()
    async with serving(hang) as asked:
        endpoint = Endpoint(f"http://127.0.0.1:{asked.port}/", failures_max=1)
        client = open_client(endpoint, now_s=clock.monotonic_s)
        task = asyncio.create_task(client.ask(ROWS))
        await asked.came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen = [client.breaker.state(now_s) for now_s in (0.0, endpoint.wait_s)]
        assert seen == [Circuit.OPEN, Circuit.HALF_OPEN]
        await client.close()


async def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    async def once(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"[0.5]", "200 OK", "Connection: close"))
        writer.close()

    async with asking(once) as (client, asked):
        for _ in range(3):
            assert errors(await client.ask([{"x": 1}])) == {None}
    assert len(asked.bodies) == 3


async def test_kserve_tensors_go_over_the_wire() -> None:
    def infer(document: Any) -> tuple[int, Any]:
        (ages,) = [t["data"] for t in document["inputs"] if t["name"] == "age"]
        outputs = [
            {"name": "label", "datatype": "INT64", "shape": [len(ages)], "data": [0] * len(ages)},
            {
                "name": "p",
                "datatype": "FP64",
                "shape": [len(ages), 2],
                "data": [v for a in ages for v in (1 - a, a)],
            },
        ]
        return 200, {"model_name": "m", "outputs": outputs}

    async with asking(by(infer), format="kserve", output="p") as (client, asked):
        found = await client.ask([{"age": 0.25, "sex": "F"}, {"age": 0.5, "sex": "M"}])
    assert scores(found) == [0.25, 0.5]
    assert asked.documents[0] == {
        "inputs": [
            {"name": "age", "shape": [2, 1], "datatype": "FP64", "data": [0.25, 0.5]},
            {"name": "sex", "shape": [2, 1], "datatype": "BYTES", "data": ["F", "M"]},
        ],
        "outputs": [{"name": "p"}],
    }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder


async def test_tls_is_verified(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    ca = certificate / "cert.pem"
    async with serving(by(good), tls) as asked:
        cases: list[tuple[str, Path | None, str | None]] = [
            ("localhost", ca, None),
            ("localhost", None, "tls"),  # nobody vouches for it
            ("127.0.0.1", ca, "tls"),  # another name
        ]
        for host, ca_file, error in cases:
            client = open_client(Endpoint(f"https://{host}:{asked.port}/", ca_file=ca_file))
            assert errors(await client.ask(ROWS)) == {error}
            await client.close()


async def test_a_port_without_tls_is_told() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        client = open_client(Endpoint(f"https://localhost:{server.sockets[0].getsockname()[1]}/"))
        assert errors(await client.ask(ROWS)) == {"tls"}
        await client.close()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"template": {"a": 1}}, "no place for rows"),
        ({"score": "predictions"}, "a path begins with"),
        ({"ca_file": Path("/nowhere/ca.pem")}, "No such file"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        open_client(Endpoint("http://localhost/", **fields))
