"""Tables for people, from what the library answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from monitor.cli.figures import fitting, needed, number
from monitor.core.schema.violations import SOFT

if TYPE_CHECKING:
    from rich.console import Console

    from monitor.core.evaluation.sensitivity import Sensitivity
    from monitor.core.records import Alert
    from monitor.core.survey import Survey

COLUMNS: Final = ("coverage", "accuracy", "f1", "recall", "false_positive_rate", "roc_auc", "log_loss")
"""Metrics of the table of slices, where none are named."""

_OTHER_TASKS: Final = ("macro_f1", "macro_recall", "mae", "rmse", "bias", "r2", "interval_coverage")
"""What multiclass and regression models have of their own."""

_HEADINGS: Final = {"false_positive_rate": "FPR", "roc_auc": "AUC", "log_loss": "log\nloss"}
_DASH: Final = "—"
_SLICES_SHOWN: Final = 15
_LEAST_FIRST: Final = ("log_loss", "interval_coverage", "macro_recall", "f1", "coverage", "roc_auc", "bias")
_INTERVAL_FIRST: Final = ("accuracy", "mae", "macro_f1")
_NAME_WIDTH: Final = 36
_NAME_WIDTH_MIN: Final = 12

Report = Mapping[str, Any]


def slice_name(parts: Mapping[str, str]) -> str:
    """A slice as a person names it.

    >>> slice_name({"sex": "Female", "race": "Black"}), slice_name({})
    ('sex=Female race=Black', 'all traffic')
    """
    return " ".join(f"{feature}={value}" for feature, value in parts.items()) or "all traffic"


def figure(value: Report, interval: bool = True) -> str:
    """A metric's value and interval.

    >>> figure({"value": 0.81234, "low": 0.79, "high": 0.83}), figure({"value": None, "reason": "no labels"})
    ('0.812 [0.790, 0.830]', '—')
    """
    if value.get("value") is None:
        return _DASH
    text = number(value["value"])
    if interval and value.get("low") is not None and value.get("high") is not None:
        text += f" [{number(value['low'])}, {number(value['high'])}]"
    return text


def in_reading_order(reports: Iterable[Report]) -> list[Report]:
    """All traffic first, then by feature, the busiest slice first."""
    return sorted(reports, key=_reading_order)


def _reading_order(report: Report) -> tuple[int, list[str], int, str]:
    parts = report["slice"]
    return len(parts), sorted(parts), -report["requests"], slice_name(parts)


def print_slices(out: Console, model: str, reports: Sequence[Report], metrics: Sequence[str]) -> None:
    """One row a slice, with the metrics and the intervals that the page has room for; no number is cut."""
    if not reports:
        out.print("Nothing in this window. Is the worker running, and the window where the traffic is?")
        return
    known = list(metrics) or [
        name for name in (*COLUMNS, *_OTHER_TASKS) if any(name in report for report in reports)
    ]
    longest = max(len(slice_name(report["slice"])) for report in reports)
    traffic = max(len("requests"), *(len(f"{report['requests']:,}") for report in reports))
    room = out.width - needed([max(_NAME_WIDTH_MIN, min(longest, _NAME_WIDTH)), traffic]) + 1
    shown = fitting({name: _width(name, reports, False) for name in known}, room, _LEAST_FIRST)
    wide = _with_intervals(shown, reports, room)
    window = reports[0].get("window", {})
    table = plain_table(f"{model}  {window.get('from', '')} to {window.get('to', '')}" if window else model)
    table.add_column("slice", overflow="fold", min_width=_NAME_WIDTH_MIN)
    table.add_column("requests", justify="right", no_wrap=True)
    for name in shown:
        heading = _HEADINGS.get(name, name.replace("_", " "))
        table.add_column(heading, justify="right", min_width=_width(name, reports, name in wide))
    before: list[str] | None = None
    for report in reports:
        features = sorted(report["slice"])
        if before is not None and features != before:
            table.add_section()
        before = features
        figures = [_cell(report, name, name in wide) for name in shown]
        table.add_row(escape(slice_name(report["slice"])), f"{report['requests']:,}", *map(escape, figures))
    out.print(table)
    if hidden := [name for name in known if name not in shown]:
        out.print(
            f"[dim]{len(hidden)} left out: {', '.join(hidden)}; a wider page, --metric, or --json has them[/]"
        )
    reasons = {
        f"{name.replace('_', ' ')}: {report[name]['reason']}"
        for report in reports
        for name in shown
        if isinstance(report.get(name), Mapping) and report[name].get("reason")
    }
    for reason in sorted(reasons):
        out.print(f"[dim]{_DASH} {escape(reason)}[/]")


def _cell(report: Report, name: str, interval: bool) -> str:
    return figure(report[name], interval) if name in report else _DASH


def _width(name: str, reports: Sequence[Report], interval: bool) -> int:
    """Characters that a metric's column takes."""
    words = _HEADINGS.get(name, name.replace("_", " ")).split()
    return max(map(len, [*words, *(_cell(report, name, interval) for report in reports)]))


def _with_intervals(shown: Sequence[str], reports: Sequence[Report], room: int) -> set[str]:
    """The metrics that show their interval: all if the page has room for that, else the one that matters."""
    first = next((name for name in _INTERVAL_FIRST if name in shown), shown[0])
    for wide in (set(shown), {first}):
        if needed(_width(name, reports, name in wide) for name in shown) <= room:
            return wide
    return set()


def plain_table(title: str) -> Table:
    """A table under its title, without lines between columns."""
    return Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def print_violations(out: Console, model: str, reports: Sequence[Report]) -> None:
    """One row a feature and a way of breaking its schema."""
    if not reports:
        out.print("No violation in this window.")
        return
    table = plain_table(model)
    table.add_column("feature", overflow="fold")
    table.add_column("violation")
    table.add_column("records", justify="right")
    table.add_column("of requests", justify="right")
    for report in reports:
        rate = _DASH if report["rate"] is None else f"{report['rate']:.3%}"
        table.add_row(escape(report["feature"]), report["code"], f"{report['count']:,}", rate)
    out.print(table)
    if soft := sorted({report["code"] for report in reports} & {code.slug for code in SOFT}):
        out.print(f"[dim]{', '.join(soft)}: doubts about texts; the records count as valid[/]")


def print_alerts(out: Console, alerts: Sequence[Alert]) -> None:
    """A line for what was acknowledged; a paragraph for the rest: what, since when, how sure, what to do."""
    if not alerts:
        out.print("[green]No open alert.[/]")
    colours = {"open": "bold red", "acknowledged": "yellow", "resolved": "green"}
    summaries = {alert.identity: alert.summary for alert in alerts}
    for alert in alerts:
        colour = "yellow" if alert.state == "open" and alert.severity == "notice" else colours[alert.state]
        notice = " (notice)" if alert.state == "open" and alert.severity == "notice" else ""
        out.print(
            f"[{colour}]{alert.state}{notice}[/] [bold]{escape(alert.model)}[/] "
            f"{alert.kind}: {escape(alert.summary)}"
        )
        if alert.consequence_of in summaries:
            out.print(f"  follows from: {escape(summaries[alert.consequence_of])}")
        if alert.state == "acknowledged":
            continue  # told once and known since: one line will do
        sure = f"log evidence {alert.log_evidence:.1f}, needed {alert.log_threshold:.1f}"
        line = f"since {alert.began_at:%Y-%m-%d %H:%M:%S} · {alert.rows:,} rows · {sure}"
        if alert.excess is not None:
            beyond = (
                "requests missing" if alert.kind == "missing_traffic" else "rows beyond what is tolerated"
            )
            line += f" · {alert.excess:,.0f} {beyond}"
        if alert.resolved_at is not None:
            line += f" · resolved {alert.resolved_at:%H:%M:%S}"
        out.print(f"  [dim]{escape(line)}[/]")
        if alert.state != "resolved":
            out.print(f"  {escape(alert.advice)}")
        if alert.request_ids:
            shown = ", ".join(alert.request_ids[:5])
            out.print(f"  [dim]e.g. {escape(shown)}[/]")
        for note in alert.notes:
            out.print(f"  [yellow]{escape(note)}[/]")


def print_sensitivity(out: Console, seen: Mapping[str, Sequence[Sensitivity]]) -> None:
    """Labelled rows of each slice until a failure is told, the largest slices first."""
    for model, slices in seen.items():
        if not slices:
            continue
        table = plain_table(f"{model}: labelled rows of a slice until a worse error rate is told")
        for name in ("slice", "share", "error rate", "1.5 times", "twice"):
            table.add_column(name, justify="left" if name == "slice" else "right")
        for one in slices[:_SLICES_SHOWN]:
            needed = ("tolerated" if rows is None else f"{rows:,}" for rows in one.rows)
            table.add_row(escape(one.slice), f"{one.share:.1%}", f"{one.error_rate:.1%}", *needed)
        out.print(table)
        if len(slices) > _SLICES_SHOWN:
            out.print(f"and {len(slices) - _SLICES_SHOWN} smaller slices: --json has them")


def print_survey(out: Console, found: Survey, warnings: Sequence[str], problems: Sequence[str]) -> None:
    """What `monitor check` found."""
    table = plain_table("Topics")
    for name in ("topic", "role", "records", "readable", "per second"):
        table.add_column(name, justify="left" if name in {"topic", "role"} else "right")
    for topic in found.topics:
        rate = _DASH if topic.rate_per_s is None else f"{topic.rate_per_s:,.1f}"
        table.add_row(topic.topic, topic.kind, f"{topic.records:,}", f"{topic.readable:,}", rate)
    if found.topics:
        out.print(table)
    for topic in found.topics:
        for reason, (count, detail) in topic.unreadable.items():
            text = f"{topic.topic}: {count:,} × {reason}: {detail}"
            out.print(f"[yellow]unreadable[/] {escape(text)}", soft_wrap=True)
    for model in found.models:
        out.print(f"\n[bold]{model.model}[/]")
        out.print(f"  {model.predictions:,} predictions, {model.answered:,} of them with an answer")
        for violation in model.violations:
            text = f"{violation.rate:.2%} {violation.feature} {violation.code}"
            out.print(f"  [yellow]{escape(text)}[/] {escape(violation.example)}")
        if model.predictions and not model.violations:
            out.print("  [green]no violation of the schema[/]")
        joined = f"{model.joined / model.labels:.1%}" if model.labels else _DASH
        out.print(f"  {model.labels:,} labels, {joined} find their prediction within the sample")
        cost = model.memory
        out.print(
            f"  store at the rate of the sample: at most {size(cost.total_bytes)} (awaited labels "
            f"{size(cost.stubs_bytes)}, all traffic and {model.slices} slices {size(cost.counters_bytes)})"
        )
    for warning in warnings:
        out.print(f"[yellow]warning[/] {escape(warning)}")
    for problem in problems:
        out.print(f"[bold red]problem[/] {escape(problem)}")
    if not problems:
        out.print("\n[green]Ready for `monitor run`.[/]")


def size(count_bytes: float) -> str:
    """Bytes for people.

    >>> size(90_720_000_000), size(512)
    ('90.7 GB', '512 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} B" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"
