"""`monitor alerts`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import CONFIG, AsJson, Config, console, known_model, load_reachable, print_json
from monitor.core.errors import QueryError

if TYPE_CHECKING:
    from datetime import datetime

    from monitor.core.records import Alert


def alerts(
    model: Annotated[str | None, typer.Argument(help="Only this model; all where left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stream from the alerts topic.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; repeat for more.")] = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what is wrong now, or follow alerts as they open and resolve.

    With --json, one alert a line.

    Example: `monitor alerts --follow --kind violation_rate`
    """
    settings = load_reachable(config)
    if model is not None:
        known_model(settings, model)

    from monitor.cli.tables import print_alerts
    from monitor.core.records import AlertKind, AlertState

    unknown = set(kind or []) - set(AlertKind)
    if unknown:
        raise QueryError(f"no alert kind {', '.join(sorted(unknown))}; there are {', '.join(AlertKind)}")

    def last_what_matters(alert: Alert) -> tuple[bool, datetime]:
        return alert.state is not AlertState.ACKNOWLEDGED, alert.opened_at

    def wanted(alert: Alert) -> bool:
        return (model is None or alert.model == model) and (not kind or alert.kind in kind)

    if follow:
        from monitor.edges.kafka.alert_stream import AlertStream
        from monitor.wiring import connection

        with AlertStream(connection(settings), settings.kafka.alerts.topic) as stream:
            for alert in stream:
                if wanted(alert):
                    show([alert], as_json)
        return

    from monitor.core.own_health import LOST_TOLD_S, causes
    from monitor.core.understood import stored_alerts
    from monitor.wiring import open_reader

    with closing(open_reader(settings)) as reader:
        stored = [text for name in settings.models for text in reader.alerts(name).values()]
        names = list(settings.models)
        blind = causes(reader.own_health(names), reader.evaluated_s(names), LOST_TOLD_S)
    for cause in blind:
        console(stderr=True).print(f"monitor: may be blind: {cause.text}. {cause.advice}", markup=False)
    found = sorted(filter(wanted, stored_alerts(stored)), key=last_what_matters)
    shown = [alert for alert in found if everything or alert.state is not AlertState.RESOLVED]
    if not as_json and not any(alert.state is AlertState.OPEN for alert in shown):
        print_alerts(console(), [])
    show(shown, as_json)


def show(found: list[Alert], as_json: bool) -> None:
    """Print alerts."""
    from monitor.cli.tables import print_alerts

    if as_json:
        for alert in found:
            print_json(alert.model_dump(mode="json"), indent=None)
    elif found:
        print_alerts(console(), found)
