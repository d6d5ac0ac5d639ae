"""Tables of probes, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from monitor.cli.tables import size

if TYPE_CHECKING:
    from rich.console import Console

    from monitor.core.probes.report import ProbesReport
    from monitor.edges.probing import ProbingCost

_CASES_SHOWN: Final = 10


def print_probes(out: Console, found: ProbesReport) -> None:
    """Trials per probe and feature, and the worst cases."""
    work = found.work
    out.print(
        f"[bold]{escape(found.model)}[/]  {work['requests']:,} requests probed, {work['rows']:,} rows asked, "
        f"{work['errors']:,} errors, {work['unsteady']:,} not repeated, {work['dropped']:,} dropped, "
        f"{work['returned']:,} returned as traffic"
    )
    if not found.rows:
        out.print("Nothing was found in this window. Does a worker run, and does the endpoint answer?")
        return
    table = _table()
    for name in ("probe", "feature", "trials", "flips", "near", "different", "errors"):
        table.add_column(name, justify="left" if name in {"probe", "feature"} else "right")
    for row in found.rows:
        counts = (row.trials, row.flips, row.near, row.different, row.errors)
        table.add_row(row.probe, escape(row.feature or "(request)"), *(f"{count:,}" for count in counts))
    out.print(table)
    for names, count in found.sets.items():
        out.print(f"together: {escape(' and '.join(names))} in {count:,} searches")
    if found.cases:
        out.print("[bold]Worst cases[/]")
    for case in found.cases[:_CASES_SHOWN]:
        out.print(escape(case_line(case)), soft_wrap=True)


def case_line(case: Mapping[str, Any]) -> str:
    """A case on a line; one from a file may be cut down to its requests and answers."""
    scores = " → ".join(_score(case[side]) for side in ("before", "after"))
    flipped = ", flips" if case.get("flipped") else ""
    named = [str(case[key]) for key in ("id", "probe", "change") if key in case]
    return "  ".join([*named, f"score {scores}{flipped}"])


def print_rehearsal(out: Console, found: Mapping[str, Any], output: str) -> None:
    """What probing before a release has found, in short; the report has the rest."""
    about = found["about"]
    out.print(
        f"[bold]{escape(about['model'])}[/]  {about['requests']:,} requests, {about['rows']:,} rows; "
        f"{sum(about['errors'].values()):,} answered with an error",
        soft_wrap=True,
    )
    for probe in found["probes"]:
        part = probe["part"]
        worst = [
            f"{one['feature'] or 'requests'} {one[part] / one['trials']:.0%}"
            for one in probe["features"]
            if (one["feature"] == "") == probe["whole"] and one[part]
        ]
        text = escape(", ".join(worst[:4])) or "[dim]nothing[/]"
        out.print(f"  {probe['probe']:<16} {text}", soft_wrap=True)
    for one in found["tolerances"]:
        where = f" ({one['where']})" if one["where"] else ""
        words = "broken" if one["trials"] else "not tried"
        mark = f"[red]{words}[/]" if one["broken"] else "[green]kept[/]"
        out.print(
            f"{mark}  {escape(one['probe'] + where)}: {one['measured']:.2%} measured, "
            f"{one['allowed']:.2%} allowed",
            soft_wrap=True,
        )
    out.print(f"report: {escape(output)}", soft_wrap=True)


def print_replay(out: Console, told: Mapping[str, Any]) -> None:
    """A case asked again: what the model said then, and what it says now."""
    out.print(escape(case_line(told["case"])), soft_wrap=True)
    for side in ("original", "changed"):
        stored, now = told[side]["stored"], told[side]["now"]
        out.print(f"{side}: score {_score(stored)} then, {_score(now)} now")
        out.print(escape(json.dumps(told["case"][side], ensure_ascii=False)), soft_wrap=True)
    out.print("The model says the same." if told["same"] else "The model says something else now.")


def print_probing(out: Console, costs: Mapping[str, ProbingCost]) -> None:
    """What `monitor check` says of probes."""
    for name, cost in costs.items():
        answers = "answers" if cost.answers else f"does not answer: {cost.error}"
        out.print(
            f"[bold]{escape(name)}[/]  probes: at most {cost.rows_per_s:g} rows a second "
            f"({cost.rows_per_day:,} a day), {cost.burst:g} more in one; results take at most "
            f"{size(cost.store_bytes)}; {escape(cost.endpoint)} {escape(answers)}",
            soft_wrap=True,
        )


def _score(answer: Mapping[str, Any]) -> str:
    return answer["error"] or f"{answer['score']:.4g}"


def _table(columns: Sequence[str] = ()) -> Table:
    return Table(*columns, header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
