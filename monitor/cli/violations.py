"""`monitor violations`."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli.common import CONFIG, AsJson, Config, console, known_model, load_reachable, print_json
from monitor.cli.slices import From, Since, To


def violations(
    model: Annotated[str, typer.Argument(help="The model's name in the settings.")],
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
    known_model(settings, model)

    from monitor.cli.tables import print_violations
    from monitor.edges.reader import MetricsReader

    with MetricsReader.connect(settings) as reader:
        window = since or (None if from_ or to else "1h")
        found = [report.to_dict() for report in reader.violations(model, since=window, from_=from_, to=to)]
    if as_json:
        print_json(found)
    else:
        print_violations(console(), model, found)
