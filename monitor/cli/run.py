"""`monitor run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from monitor.cli.common import CONFIG, Config, load, load_reachable
from monitor.core.errors import SettingsError

_PORT_MAX: Final = 65_535

Level = Literal["debug", "info", "warning", "error"]


def run(
    config: Config = CONFIG,
    processes: Annotated[
        int, typer.Option("--processes", "-n", min=1, max=256, help="Workers on this machine.")
    ] = 1,
    web_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=_PORT_MAX,
            help="Serve /healthz, /readyz and /metrics here; 0 any port. Each process adds one.",
        ),
    ] = None,
    log_level: Annotated[Level, typer.Option(help="Least important lines that are logged.")] = "info",
) -> None:
    """Run a worker, or several: read the topics, count, evaluate, publish alerts.

    Start as many as you like with the same settings, here and elsewhere; they share the partitions. With
    `--processes` one that fails is started again. SIGTERM stops all in order. Logs are JSON lines on standard
    error.

    Example: `monitor run -c monitor.yaml --processes 4`
    """
    from monitor.edges.logs import configure_logs
    from monitor.edges.supervisor import stop_at_end_of_input

    configure_logs(log_level.upper())
    if processes == 1:
        from monitor import app

        settings = load(config).at(web_port=web_port)
        stop_at_end_of_input()
        raise typer.Exit(app.run(settings))

    import asyncio

    from monitor.edges.supervisor import Supervisor

    port = load_reachable(config).at(web_port=web_port).web.port
    if port and port + processes - 1 > _PORT_MAX:
        problem = (
            f"--web-port: {processes} processes from {port} on reach beyond the last port, {_PORT_MAX}; "
            f"begin at {_PORT_MAX - processes + 1} or below"
        )
        raise SettingsError([problem], "monitor run")
    commands = [
        _command(config, None if port is None else port and port + n, log_level) for n in range(processes)
    ]
    raise typer.Exit(asyncio.run(Supervisor(commands).run()))


def _command(config: Path, web_port: int | None, log_level: Level) -> list[str]:
    """One worker in a process of its own."""
    web = [] if web_port is None else ["--web-port", str(web_port)]
    return [sys.executable, "-m", "monitor", "run", "--config", str(config), *web, "--log-level", log_level]
