"""`monitor status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import typer

from monitor.cli.common import CONFIG, AsJson, Config, console, load_reachable, print_json

if TYPE_CHECKING:
    from rich.console import Console

"""For so long lost records are told."""


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
    out.print(_workers(found["workers"]))
    out.print(_outboxes(found["outboxes"]))
    for model, age_s in found["evaluated_s"].items():
        when = "not yet" if age_s is None else f"{age_s:.0f} s ago"
        budget = found["probe_budgets_rows_per_s"].get(model)
        probes = "" if budget is None else f"; probes within {budget:g} rows/s"
        out.print(f"{model}: judged {when}{probes}", markup=False)
    for lost in found["lost"]:
        out.print(f"{lost['topic']}-{lost['partition']}: {lost['records']:,} records lost", markup=False)
    for cause in found["blind"]:
        out.print(f"may be blind: {cause['text']}. {cause['advice']}", markup=False, style="red")


def _workers(workers: Sequence[Mapping[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(
        "worker", "heard", "partitions", "records", "lag", "stands", "flush ms", "judged", "unreadable"
    )
    for one in workers:
        age_s, high_ms = one["evaluator_age_s"], one["flush_ms_p99"]
        table.add_row(
            one["worker"], f"{one['silent_s']:.0f} s", str(one["partitions"]), f"{one['records']:,}",
            f"{one['lag']:,}", f"{one['fence_age_s']:.0f} s",
            "—" if high_ms is None else f"{one['flush_ms_p50']:.0f} to {high_ms:.0f}",
            "—" if age_s is None else f"{age_s:.0f} s",
            ", ".join(f"{reason} {count:,}" for reason, count in one["rejected"].items()) or "0",
        )  # fmt: skip
    return table


def _outboxes(outboxes: Mapping[str, Mapping[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("outbox", "waiting", "oldest", "dropped")
    for name, box in outboxes.items():
        table.add_row(name, f"{box['waiting']:,}", f"{box['oldest_s']:.0f} s", f"{box['dropped']:,}")
    return table
