"""One model behind HTTP: `python -m benchmarks.type_matrix.server NAME` prints its port and serves.

`POST /predict {"instances": [{...}]}` answers `{"predictions": [...]}`; what the model raises is a 500, as
web frameworks make of it.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.type_matrix.models import MODELS, Predict


class Handler(BaseHTTPRequestHandler):
    """Decodes, asks, encodes."""

    protocol_version = "HTTP/1.1"
    predict: Predict

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            scores = type(self).predict(json.loads(content)["instances"])
            status, document = 200, {"predictions": list(scores)}
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller sees a 500
            status, document = 500, {"error": [repr(error)[:500]]}
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """A request is not worth a line."""


def main() -> None:
    """Train, print the port, serve."""
    made = MODELS[sys.argv[1]][1]()
    Handler.predict = staticmethod(made)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
