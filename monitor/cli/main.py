"""`monitor`: the commands and how their errors are told."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from monitor.cli import (
    alerts,
    check,
    dashboard,
    demo,
    fairness,
    init,
    probe,
    probes,
    rebuild,
    replay,
    run,
    schema,
    slices,
    status,
    up,
    version,
    violations,
)
from monitor.core.errors import MonitorError
from monitor.core.printable import printable_lines

EXIT_ERROR = 2


class Commands(TyperGroup):
    """Tells an error that is meant for people in a sentence; MONITOR_DEBUG=1 shows where it came from."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except MonitorError as error:
            if os.environ.get("MONITOR_DEBUG") == "1":
                raise
            print(f"monitor: {printable_lines(str(error))}", file=sys.stderr)
            raise typer.Exit(EXIT_ERROR) from None
        except BrokenPipeError:
            # `monitor alerts | head` is no error; Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


app = typer.Typer(
    name="monitor",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Watch machine-learning inference traffic on Kafka: metrics of every slice, alerts within seconds.",
    epilog="See it work with **monitor demo**. Attach it to your topics with **monitor init**, "
    "**monitor check**, **monitor run**.",
)

app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("init")(init.init)
app.command("check")(check.check)
app.command("run")(run.run)
app.command("dashboard")(dashboard.dashboard)
app.command("rebuild")(rebuild.rebuild)
app.command("replay")(replay.replay)
app.command("slices")(slices.slices)
app.command("fairness")(fairness.fairness)
app.command("violations")(violations.violations)
app.command("probe")(probe.probe)
app.command("probes")(probes.probes)
app.command("alerts")(alerts.alerts)
app.command("status")(status.status)
app.add_typer(schema.app, name="schema")
app.command("version")(version.version)
