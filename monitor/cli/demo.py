"""`monitor demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import AsJson


def demo(
    rate: Annotated[int, typer.Option(min=1, help="Requests a second.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of the population, the model and the traffic.")] = 7,
    headless: Annotated[bool, typer.Option("--headless", help="No live scoreboard.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Write the final scoreboard here, as an SVG picture and as text.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch live traffic fail in ten ways, a model in three, and each failure alerted.

    Starts a broker, a store, a trained model and its traffic on this machine; takes two minutes.

    Example: `monitor demo --headless --json`
    """
    from monitor.demo.run import DemoOptions, run_demo

    options = DemoOptions(rate, seed, headless=headless, json=as_json, keep=keep, picture=picture)
    raise typer.Exit(run_demo(options))
