"""The credit model behind HTTP: `POST /predict {"rows": [...]}` answers `{"scores": [...]}`.

Run as a process of its own (`python -m monitor.demo.server --seed 7`), so that the model costs the monitor
nothing: it trains, listens on a free port of the loopback interface, prints that port and serves until ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from monitor.core.errors import ServiceError
from monitor.demo.population import Row
from monitor.demo.processes import start_module, stop, tail

HOST: Final = "127.0.0.1"
ROWS_MAX: Final = 10_000
"""Rows of one request; more are refused."""

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
_READY_TIMEOUT_S: Final = 60.0
_ANSWER_TIMEOUT_S: Final = 10.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one segment; a body that waits for an acknowledgement costs 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: ModelServer

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= BODY_BYTES_MAX:
            self.close_connection = True  # the body stays unread
            self._answer(413, {"error": f"expected a Content-Length of at most {BODY_BYTES_MAX}"})
            return
        content = self.rfile.read(length)  # always: what stays unread would be taken for the next request
        if self.path != "/predict":
            self._answer(404, {"error": "POST /predict is all there is"})
            return
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            self._answer(400, {"error": "the body is not JSON"})
            return
        rows = body.get("rows") if isinstance(body, dict) else None
        if (
            not isinstance(rows, list)
            or len(rows) > ROWS_MAX
            or not all(isinstance(row, dict) for row in rows)
        ):
            self._answer(400, {"error": f'expected {{"rows": [...]}} with at most {ROWS_MAX} objects'})
            return
        self._answer(200, {"scores": self.server.model.score(rows).tolist()})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """A request is not worth a line."""


class ModelServer(ThreadingHTTPServer):
    """Serves a model trained from `seed` on a port of the loopback interface, 0 for any free one."""

    daemon_threads = True

    def __init__(self, seed: int, port: int = 0) -> None:
        # Here, so that who only asks the server needs no scikit-learn.
        from monitor.demo.model import CreditModel  # noqa: PLC0415

        self.model = CreditModel(seed)
        super().__init__((HOST, port), _Handler)


class ModelProcess:
    """The model server as a child process, ended as a context manager.

    It trains while the caller does other things; `port` waits until it serves.

    Args:
        seed: of the training data and the model.
        directory: where its output goes.
    """

    def __init__(self, seed: int, directory: Path) -> None:
        self._log = directory / "model-server.log"
        with self._log.open("wb") as output:
            self._process = start_module("monitor.demo.server", ["--seed", str(seed)], output)

    def port(self) -> int:
        """Where it listens, once the model is trained.

        Raises:
            ServiceError: the process ended or stayed silent; the text holds the end of its output.
        """
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline_s:
            line, end, _ = self._log.read_text().partition("\n")
            if end:
                return int(line)
            time.sleep(0.05)
        raise ServiceError(f"the demo's model server did not start:\n{tail(self._log)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._process)


class ModelConnection:
    """Asks the model server over one kept-alive connection; not to be shared between threads."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection(HOST, port, timeout=_ANSWER_TIMEOUT_S)

    def __call__(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Scores of the rows, float64[len(rows)].

        Raises:
            ServiceError: no answer, or not one score a row.
        """
        try:
            self._connection.request(
                "POST", "/predict", json.dumps({"rows": rows}), {"Content-Type": "application/json"}
            )
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise ServiceError(f"the demo's model server does not answer: {error!r}") from error
        if response.status != 200:
            raise ServiceError(f"the demo's model server answered {response.status}: {content[:200]!r}")
        scores = np.array(json.loads(content)["scores"], np.float64)
        if scores.shape != (len(rows),):
            raise ServiceError(f"asked for {len(rows)} scores, the demo's model server sent {scores.shape}")
        return scores

    def close(self) -> None:
        """Release the connection."""
        self._connection.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the port, serve until ended."""
    parser = argparse.ArgumentParser(prog="python -m monitor.demo.server", description="The demo's model.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    with ModelServer(options.seed, options.port) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
