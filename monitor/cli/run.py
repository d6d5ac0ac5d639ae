"""`monitor run`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from monitor.cli.common import CONFIG, Config, load

Level = Literal["debug", "info", "warning", "error"]


def run(
    config: Config = CONFIG,
    web_port: Annotated[
        int | None, typer.Option(help="Serve /healthz, /readyz and /metrics here; 0 any port.")
    ] = None,
    log_level: Annotated[Level, typer.Option(help="Least important lines that are logged.")] = "info",
) -> None:
    """Run a worker: read the topics, count, evaluate, publish alerts.

    Start as many as you like with the same settings; they share the partitions. SIGTERM stops one in order.
    Logs are JSON lines on standard error.

    Example: `monitor run -c monitor.yaml --log-level debug`
    """
    settings = load(config).at(web_port=web_port)

    from monitor import app
    from monitor.edges.logs import configure_logs

    configure_logs(log_level.upper())
    raise typer.Exit(app.run(settings))
