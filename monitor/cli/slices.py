"""`monitor slices`."""

from __future__ import annotations

from typing import Annotated

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

Since = Annotated[
    str | None, typer.Option("--since", help="The last stretch of event time, e.g. 15m, 1h, 7d.")
]
From = Annotated[str | None, typer.Option("--from", help="Event time at which to begin, ISO 8601.")]
To = Annotated[str | None, typer.Option("--to", help="Event time at which to end, ISO 8601.")]


def window(since: str | None, from_: str | None, to: str | None) -> str | None:
    """The last hour, unless a window is named."""
    return since or (None if from_ or to else "1h")


def slices(
    model: Annotated[str | None, typer.Argument(help="The model's name; left out, the only one.")] = None,
    since: Since = None,
    from_: From = None,
    to: To = None,
    metric: Annotated[list[str] | None, typer.Option(help="Show this metric; repeat for more.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only slices with feature=value; repeatable.")
    ] = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show how a model serves each slice: traffic, label coverage, every metric, and estimates before labels.

    Predictions count at their own event time; labels count with the prediction they judge.

    Example: `monitor slices income --since 1h --metric accuracy --where sex=Female`
    """
    settings = load_reachable(config)
    model = the_model(settings, model)

    from monitor.cli.tables import in_reading_order, print_slices

    wanted = pairs(where or [], "--where")
    labels = settings.models[model].labels
    with open_metrics(settings) as reader:
        reports = reader.slices(
            model,
            window(since, from_, to),
            from_,
            to,
            metric or None,
            wanted or None,
            ready_at=labels.ready_at,
            wait=labels.wait_s,
        )
    found = in_reading_order(report.to_dict() for report in reports)
    if as_json:
        print_json(found)
    elif not found and wanted:
        parts = ", ".join(f"{feature}={value}" for feature, value in wanted.items())
        console().print(f"No slice with {parts} in this window; without --where all are shown.", markup=False)
    else:
        print_slices(console(), model, found, metric or [])
