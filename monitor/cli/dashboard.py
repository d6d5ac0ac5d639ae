"""`monitor dashboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli.common import CONFIG, Config, load_reachable


def dashboard(
    config: Config = CONFIG,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen at; 0 any.")] = 8090,
) -> None:
    """Serve a page for each model: alerts, slices, distributions, and the monitor's own health.

    Reads Redis only. Listens at `web.host` of the settings, and asks for `web.token`.

    Example: `monitor dashboard --port 8090`
    """
    settings = load_reachable(config)

    from monitor import app

    raise typer.Exit(app.serve_dashboard(settings, port))
