"""`monitor status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import typer

from monitor.cli.common import CONFIG, AsJson, Config, console, load_reachable, print_json

if TYPE_CHECKING:
    from rich.console import Console

_DASH: Final = "—"
_NAME_WIDTH: Final = 26
_LEAST_FIRST: Final = ("flush ms", "stands", "judged", "partitions", "heard", "unreadable")


def status(config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show how the monitor itself is: its workers, what waits, what fell, and why silence may not be health.

    Reads Redis only, so it answers while no worker runs. Exits with 1 when the monitor may be blind.

    Example: `monitor status --json`
    """
    settings = load_reachable(config)

    from monitor.core.own_health import LOST_TOLD_S, causes
    from monitor.wiring import open_reader

    names = list(settings.models)
    with closing(open_reader(settings)) as reader:
        own, evaluated_s = reader.own_health(names), reader.evaluated_s(names)
        skipped = reader.skipped(names)
    blind = causes(own, evaluated_s, LOST_TOLD_S)
    budgets = {n: m.probes.budget_rows_per_s for n, m in settings.models.items() if m.probes is not None}
    found: dict[str, Any] = {
        "workers": [report.model_dump() | {"silent_s": round(s, 1)} for report, s in own.workers],
        "outboxes": {name: vars(outbox) for name, outbox in own.outboxes.items()},
        "lost": [
            {"topic": topic, "partition": number, "records": lost.records, "at_ms": lost.at_ms}
            for (topic, number), lost in sorted(own.lost.items())
        ],
        "evaluated_s": evaluated_s,
        "skipped_buckets": skipped,
        "probe_budgets_rows_per_s": budgets,
        "blind": [
            {"code": cause.code.value, "where": cause.where, "text": cause.text, "advice": cause.advice}
            for cause in blind
        ],
    }
    if as_json:
        print_json(found)
    else:
        show(console(), found)
    raise typer.Exit(1 if blind else 0)


def show(out: Console, found: Mapping[str, Any]) -> None:
    """As tables, what is wrong last."""
    _print_workers(out, found["workers"])
    out.print(_outboxes(found["outboxes"]))
    for model, age_s in found["evaluated_s"].items():
        when = "not yet" if age_s is None else f"{age_s:.0f} s ago"
        budget = found["probe_budgets_rows_per_s"].get(model)
        probes = "" if budget is None else f"; probes within {budget:g} rows/s"
        count = found["skipped_buckets"][model]
        skipped = f"; {count:,} buckets expired before they could be judged" if count else ""
        out.print(f"{model}: judged {when}{skipped}{probes}", markup=False)
    for lost in found["lost"]:
        out.print(f"{lost['topic']}-{lost['partition']}: {lost['records']:,} records lost", markup=False)
    for cause in found["blind"]:
        out.print(f"may be blind: {cause['text']}. {cause['advice']}", markup=False, style="red")


def _print_workers(out: Console, workers: Sequence[Mapping[str, Any]]) -> None:
    """A row each, and below what they could not read, for that is a list of any length."""
    from rich.markup import escape

    from monitor.cli.figures import fitting
    from monitor.cli.tables import plain_table

    cells = {
        "worker": [one["worker"] for one in workers],
        "heard": [f"{one['silent_s']:.0f} s" for one in workers],
        "partitions": [str(one["partitions"]) for one in workers],
        "records": [f"{one['records']:,}" for one in workers],
        "lag": [f"{one['lag']:,}" for one in workers],
        "stands": [f"{one['fence_age_s']:.0f} s" for one in workers],
        "flush ms": [_span(one["flush_ms_p50"], one["flush_ms_p99"]) for one in workers],
        "judged": [
            _DASH if one["evaluator_age_s"] is None else f"{one['evaluator_age_s']:.0f} s" for one in workers
        ],
        "unreadable": [f"{sum(one['rejected'].values()):,}" for one in workers],
    }
    widths = {name: max(map(len, [name, *column])) for name, column in cells.items()}
    widths["worker"] = min(widths["worker"], _NAME_WIDTH)
    shown = fitting(widths, out.width - 1, _LEAST_FIRST)
    table = plain_table("Workers")
    for name in shown:
        left = name == "worker"
        table.add_column(
            name,
            justify="left" if left else "right",
            overflow="fold",
            min_width=widths[name],
            no_wrap=not left,
        )
    for row in zip(*(cells[name] for name in shown), strict=True):
        table.add_row(*map(escape, row))
    out.print(table)
    if hidden := [name for name in cells if name not in shown]:
        out.print(
            f"{len(hidden)} left out: {', '.join(hidden)}; a wider page, or --json, has them", style="dim"
        )
    for one in workers:
        for reason, count in one["rejected"].items():
            out.print(f"{one['worker']}: {count:,} unreadable, {reason}", markup=False)


def _span(low: float | None, high: float | None) -> str:
    return _DASH if low is None or high is None else f"{low:.0f} to {high:.0f}"


def _outboxes(outboxes: Mapping[str, Mapping[str, Any]]) -> Any:
    from monitor.cli.tables import plain_table

    table = plain_table("Outboxes")
    for name in ("outbox", "waiting", "oldest", "dropped"):
        table.add_column(name, justify="left" if name == "outbox" else "right")
    for name, box in outboxes.items():
        table.add_row(name, f"{box['waiting']:,}", f"{box['oldest_s']:.0f} s", f"{box['dropped']:,}")
    return table
