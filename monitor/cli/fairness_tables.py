"""Tables of groups, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from monitor.cli.figures import number
from monitor.core.fairness import FAMILIES, REGRESSION_FAMILIES
from monitor.core.fairness.equalized_odds import EQUALIZED_ODDS
from monitor.core.fairness.readings import Comparison, Extreme, Verdict
from monitor.core.fairness.report import FairnessReport, verdict
from monitor.core.metrics.estimate import Estimate

if TYPE_CHECKING:
    from rich.console import Console

    from monitor.core.reports import Groups

_DASH: Final = "—"
_TITLES: Final = {family.name: family.title for family in (*FAMILIES, *REGRESSION_FAMILIES)} | {
    EQUALIZED_ODDS: "the wider gap of true and of false positive rate"
}
_MARKS: Final = {Verdict.YES: "[red]differs[/]", Verdict.UNCLEAR: "[dim]may be chance[/]", None: _DASH}
_FOUR_FIFTHS: Final = {
    Verdict.YES: "[green]at least four fifths[/]",
    Verdict.NO: "[red]below four fifths[/]",
    Verdict.UNCLEAR: "four fifths not decided by these rows",
}


def figure(value: Estimate, signed: bool = False) -> str:
    """A value with its interval.

    >>> figure(Estimate(0.25, 0.2, 0.3)), figure(Estimate(0.25, 0.2, 0.3), signed=True)
    ('0.250 [0.200, 0.300]', '+0.250 [+0.200, +0.300]')
    >>> figure(Estimate(2.0, 1.5, float("inf"))), figure(Estimate.undefined("no rows"))
    ('2.000 [1.500, ∞]', '—')
    """
    if value.value is None:
        return _DASH
    text = _number(value.value, signed)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{_number(value.low, signed)}, {_number(value.high, signed)}]"


def _number(value: float, signed: bool) -> str:
    if math.isinf(value):
        return "∞"
    return number(value, signed)


def print_fairness(out: Console, model: str, reports: Sequence[FairnessReport], found: Groups) -> None:
    """A table a criterion with a row a group; then the worst pair; then what gaps come from."""
    window = found.window.to_dict()
    out.print(f"[bold]{escape(model)}[/]  {window['from']} to {window['to']}", soft_wrap=True)
    for report in reports:
        for name, comparison in report.criteria.items():
            _criterion(out, report, name, comparison)
        for group, explanation in report.explanations.items():
            for note in explanation.notes:
                out.print(f"[yellow]{escape(group)}:[/] {escape(note)}")


def _criterion(out: Console, report: FairnessReport, name: str, comparison: Comparison) -> None:
    names = dict.fromkeys((name.replace("_", " "), _TITLES[name]))
    title = " · ".join((" × ".join(report.by), *names))
    if all(group.rows == 0 for group in comparison.groups.values()):
        reason = comparison.overall.reason or "no rows"
        if name == EQUALIZED_ODDS:
            reason = "no labelled decisions"
        out.print(f"\n[bold]{escape(title)}[/]\n  [dim]{_DASH} {escape(reason)}[/]")
        return
    against = report.reference or "the rest"
    table = Table(
        title=escape(title), title_justify="left", title_style="bold", header_style="bold",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("group", overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    rated = name != EQUALIZED_ODDS
    if rated:
        table.add_column(_TITLES[name], justify="right")
    table.add_column(f"gap to {escape(against)}", justify="right")
    table.add_column("ratio", justify="right")
    strata = [features for features, gaps in report.within.items() if name in gaps]
    for features in strata:
        table.add_column(f"gap within {escape(' × '.join(features))}", justify="right")
    table.add_column("")
    reasons = set()
    for group, reading in comparison.groups.items():
        contrast = reading.rest if report.reference is None else reading.reference
        cells = [escape(group), f"{reading.rows:,}", *([figure(reading.value)] if rated else [])]
        if contrast is None:
            cells += ["reference", "", *("" for _ in strata), ""]
        else:
            gaps = {features: report.within[features][name][group].adjusted.difference for features in strata}
            cells += [figure(contrast.difference, signed=rated), figure(contrast.ratio)]
            cells += [figure(gap, signed=True) for gap in gaps.values()]
            found = verdict(comparison, group, report.reference)
            gone = [features for features, gap in gaps.items() if _may_be_nothing(gap)]
            if found is Verdict.YES and gone:
                cells.append(f"[yellow]not within {escape(', '.join(' × '.join(part) for part in gone))}[/]")
            else:
                cells.append(_MARKS[found])
            reasons |= {gap.reason for gap in (contrast.difference, *gaps.values()) if gap.reason}
        table.add_row(*cells)
    out.print(table)
    _worst(out, name, comparison)
    for reason in sorted(reasons):
        out.print(f"  [dim]{_DASH} {escape(reason)}[/]")


def _may_be_nothing(gap: Estimate) -> bool:
    return gap.low is not None and gap.high is not None and gap.low <= 0 <= gap.high


def _worst(out: Console, name: str, comparison: Comparison) -> None:
    worst: Extreme = comparison.worst
    if worst.difference.value is None:
        return
    line = f"  worst pair: {worst.higher} over {worst.lower}: {figure(worst.difference)}"
    if worst.ratio.value is not None:
        line += f", ratio {figure(worst.ratio)}"
    line = escape(line)
    if name == "demographic_parity" and worst.ratio.value is not None:
        line += f"; {_FOUR_FIFTHS[comparison.four_fifths]}"
    elif comparison.apart is not Verdict.YES:
        line += "; [dim]may be chance[/]"
    out.print(line)
