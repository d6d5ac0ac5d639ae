"""A model behind HTTP that notes when it was asked for how many rows: the witness of the budget.

    python -m benchmarks.probes.server

Prints its port. `POST /predict` answers `{"instances": [...]}` by `score`; `GET /arrivals` lists [s, rows].
"""

from __future__ import annotations

import json
import math
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web


def score(row: Mapping[str, Any]) -> float:
    """A smooth score of the benchmark's applicants; what is no number counts as nothing."""
    age = row.get("age")
    years = float(age) if isinstance(age, int | float) and math.isfinite(age) else 0.0
    return 1 / (1 + math.exp(-(min(max(years, 0.0), 120.0) - 50) / 10))


def main() -> None:
    arrivals: list[tuple[float, int]] = []

    async def predict(request: web.Request) -> web.Response:
        rows = json.loads(await request.read())["instances"]
        arrivals.append((time.monotonic(), len(rows)))
        return web.json_response({"scores": [score(row) for row in rows]})

    async def told(_: web.Request) -> web.Response:
        return web.json_response(arrivals)

    async def ready(_: web.Application) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/predict", predict)
    app.router.add_get("/arrivals", told)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app.on_startup.append(ready)
        web.run_app(app, sock=listener, print=None, handle_signals=True)


if __name__ == "__main__":
    main()
