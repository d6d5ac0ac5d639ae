"""`monitor rebuild`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import CONFIG, AsJson, Config, console, load_reachable, print_json
from monitor.cli.progress import progress

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.rebuild import RebuildPlan


def rebuild(
    into: Annotated[
        str, typer.Option(help="Address of an empty database: redis://redis:6379/1. Without a password.")
    ],
    config: Config = CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; left out, say what would be done.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a rebuild that was stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count everything that Kafka still holds anew, into another database, while the workers go on.

    Of all models at once: they share the positions in Kafka. Ends when the new figures have caught up with
    the present ones, which are left as they are. The switch is yours: stop the workers, put the address into
    `redis.url`, start them. Without `--yes` nothing is written. Ctrl-C stops it; `--resume` goes on.

    Example: `monitor rebuild --into redis://redis:6379/1 --yes`
    """
    settings = load_reachable(config)

    from monitor.rebuild import plan_rebuild

    plan = plan_rebuild(settings, into, resume=resume)
    if not yes:
        if as_json:
            print_json(plan.to_dict())
        else:
            print_plan(plan)
            console().print("Nothing was done: [bold]--yes[/] does it.")
        return
    code = run(settings, plan, as_json)
    if as_json:
        print_json(plan.to_dict() | {"done": code == 0})
    elif code == 0:
        console().print(
            f"The figures in {into} have caught up. Stop the workers, write [bold]url: {into}[/] under "
            "`redis`, and start them; readers and the dashboard likewise."
        )
    raise typer.Exit(code)


def run(settings: Settings, plan: RebuildPlan, quiet: bool) -> int:
    """Do it, with a bar."""
    import asyncio

    from monitor.edges.logs import configure_logs
    from monitor.rebuild import Rebuilder

    configure_logs("WARNING")
    with progress(plan.records, quiet, each=1) as advance:
        return asyncio.run(Rebuilder(settings, plan, advance).run())


def print_plan(plan: RebuildPlan) -> None:
    """What would be read, what it takes, and what does not come back."""
    from rich.table import Table

    table = Table("partition", "Kafka has", "to read", "figures stand at", "no longer in Kafka")
    for place, (first, end) in sorted(plan.spans.items()):
        counted, gone = plan.counted.get(place), plan.gone.get(place, 0)
        table.add_row(
            str(place), f"{first:,} to {end:,}", f"{end - first:,}",
            "—" if counted is None else f"{counted:,}", f"{gone:,}" if gone else "",
        )  # fmt: skip
    out = console()
    out.print(table)
    out.print(
        f"{plan.records:,} records into {plan.into}; pending predictions take {plan.stub_bytes / 1e6:,.0f} MB"
        " at most until a label wait has passed."
    )
    if plan.gone:
        out.print(
            f"[yellow]{sum(plan.gone.values()):,} records that the present figures rest on are no longer in "
            "Kafka: the new ones will lack them.[/]"
        )
