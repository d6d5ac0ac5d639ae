"""`monitor probes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    CONFIG,
    AsJson,
    Config,
    console,
    load_reachable,
    open_metrics,
    pairs,
    print_json,
    the_model,
)
from monitor.core.errors import QueryError

if TYPE_CHECKING:
    from monitor.config import Settings


def probes(
    model: Annotated[str | None, typer.Argument(help="The model's name; left out, the only one.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Counted in the last stretch of time, e.g. 1h; else all."),
    ] = None,
    where: Annotated[list[str] | None, typer.Option(help="The slice feature=value; repeatable.")] = None,
    replay: Annotated[str | None, typer.Option("--replay", help="Ask again about a case, by its id.")] = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what probes of the serving model have found, or ask again about one case.

    Per probe and feature: trials, flips, near flips, silent differences, errors; and the worst cases.

    Example: `monitor probes income --since 1h`
    """
    settings = load_reachable(config)
    model = the_model(settings, model)

    from monitor.cli.probe_tables import print_probes, print_replay

    if replay is not None:
        told = ask_again(settings, model, replay)
        if as_json:
            print_json(told)
        else:
            print_replay(console(), told)
        raise typer.Exit(0 if told["same"] else 1)
    with open_metrics(settings) as reader:
        found = reader.probes(model, since, pairs(where or [], "--where") or None)
    if as_json:
        print_json(found.to_dict())
    else:
        print_probes(console(), found)


def ask_again(settings: Settings, model: str, case_id: str) -> dict[str, Any]:
    """Both requests of a case put to the model once more.

    Returns:
        The case, what was stored and what is said now of each, and whether that is the same.

    Raises:
        QueryError: no such case, no endpoint, or sensitive values that were not stored.
    """
    import asyncio
    from contextlib import closing

    from monitor.edges.alert_evidence import case_by_id
    from monitor.edges.model import open_client
    from monitor.edges.probing import probe_endpoint
    from monitor.edges.rehearsal import ask_case
    from monitor.wiring import open_reader

    endpoint = probe_endpoint(model, settings)
    if endpoint is None:
        raise QueryError(f"models.{model}.probes: none in the settings, so there is nobody to ask")
    with closing(open_reader(settings)) as reader:
        case = case_by_id(reader, model, case_id)
    if case is None:
        raise QueryError(f"no case {case_id!r} among the worst of {model}, nor on its alerts")

    async def ask() -> dict[str, Any]:
        client = open_client(endpoint)
        try:
            return await ask_case(case, client)
        finally:
            await client.close()

    try:
        return asyncio.run(ask())
    except ValueError as error:
        raise QueryError(str(error)) from None
