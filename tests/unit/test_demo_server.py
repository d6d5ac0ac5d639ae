"""The model server: batches over HTTP, and a plain answer to whatever else is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from monitor.core.errors import ServiceError
from monitor.demo.model import CreditModel
from monitor.demo.population import draw
from monitor.demo.server import HOST, ModelConnection, ModelProcess, ModelServer


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ModelServer(7) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield int(server.server_port)
        server.shutdown()
        thread.join()


def test_scores_are_those_of_the_model(port: int) -> None:
    rows = draw(np.random.default_rng(1), 64).rows
    rows[3]["income"] = float("nan")
    ask = ModelConnection(port)
    try:
        assert (ask(rows) == CreditModel(7).score(rows)).all()
        assert ask([]).shape == (0,)
        assert (ask(rows[:2]) == ask(rows)[:2]).all()
    finally:
        ask.close()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", b"no json", 400),
        ("/predict", b"[" * 100_000, 400),
        ("/predict", b"[]", 400),
        ("/predict", b'{"rows": [1]}', 400),
        ("/predict", json.dumps({"rows": [{}] * 10_001}).encode(), 400),
        ("/predict", b'{"rows": [{}]}', 200),
        ("/elsewhere", b"{}", 404),
    ],
)
def test_anything_else_gets_an_answer_too(port: int, path: str, body: bytes, status: int) -> None:
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        for _ in range(2):  # and the connection stays usable
            connection.request("POST", path, body)
            response = connection.getresponse()
            assert response.status == status
            assert isinstance(json.loads(response.read()), dict)
    finally:
        connection.close()


def test_a_body_without_an_end_is_refused(port: int) -> None:
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.putrequest("POST", "/predict")
        connection.putheader("Content-Length", str(1 << 40))
        connection.endheaders()
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_a_server_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with ModelProcess(7, tmp_path) as process:
        ask = ModelConnection(process.port())
        assert ask([{}]).shape == (1,)
    with pytest.raises(ServiceError, match="does not answer"):
        ask([{}])
    ask.close()
