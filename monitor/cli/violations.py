"""`monitor violations`."""

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
    print_json,
    the_model,
)
from monitor.cli.slices import From, Since, To, window


def violations(
    model: Annotated[str | None, typer.Argument(help="The model's name; left out, the only one.")] = None,
    since: Since = None,
    from_: From = None,
    to: To = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show which features break the schema, how, and how often.

    Example: `monitor violations income --since 15m`
    """
    settings = load_reachable(config)
    model = the_model(settings, model)

    from monitor.cli.tables import print_violations

    with open_metrics(settings) as reader:
        found = [row.to_dict() for row in reader.violations(model, window(since, from_, to), from_, to)]
    if as_json:
        print_json(found)
    else:
        print_violations(console(), model, found)
