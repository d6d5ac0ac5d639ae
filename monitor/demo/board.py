"""The scoreboard as a person sees it: pure drawing, from what is known to a rich renderable."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from monitor.core.records import AlertState
from monitor.demo.faults import Family, Timeline
from monitor.demo.scoreboard import Credit, Sighting, Verdict

RATE_MIN_PER_S: Final = 300.0
"""Below it, the slower faults may be over before there is enough evidence."""

PATIENCE_S: Final = 10.0
"""After a fault's end, labels and their judgement may take this long; then it is missed."""

_LATEST_ALERTS: Final = 6
_WIDTH_FULL: Final = 84
_COLOURS: Final = {Family.INPUT: "yellow", Family.BIAS: "magenta", Family.MODEL: "cyan"}
_FAMILY_SHORT: Final = {Family.INPUT: "input", Family.BIAS: "bias", Family.MODEL: "model"}


@dataclass(frozen=True)
class View:
    """What the board shows at one moment.

    Attributes:
        timeline: what fails when.
        verdict: what is known to have become of it.
        lives: all alerts, in the order in which they were read.
        position_s: seconds since the first request; negative while services start.
        rate_per_s: requests a second now.
        requests: requests published.
        labels: labels published.
        doing: what is going on, in a few words.
        finished: the last word is spoken.
    """

    timeline: Timeline
    verdict: Verdict
    lives: Sequence[Sighting]
    position_s: float
    rate_per_s: float
    requests: int
    labels: int
    doing: str
    finished: bool = False


def draw_board(view: View) -> RenderableType:
    """The whole board; fits 100 columns and 35 lines, and gets by with 60 columns."""
    return Group(_head(view), _Faults(view), _alerts(view), _tally(view))


def export_board(view: View, width: int = 100) -> tuple[str, str]:
    """The board as plain text and as an SVG picture, `width` columns wide."""
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(draw_board(view))
    text = console.export_text(clear=False)
    # A picture must not fetch fonts when somebody looks at it.
    return text, re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="monitor demo"), flags=re.DOTALL)


def save_board(view: View, path: Path) -> None:
    """Write the board as an SVG picture, and next to it as text."""
    text, picture = export_board(view)
    path.with_suffix(".svg").write_text(picture, encoding="utf-8")
    path.with_suffix(".txt").write_text(text, encoding="utf-8")


def rate_warning(rate_per_s: float) -> str | None:
    """What to say of a rate that is too low for the timeline; None where it is high enough."""
    if rate_per_s >= RATE_MIN_PER_S:
        return None
    return (
        f"only {rate_per_s:,.0f} requests a second: "
        f"below {RATE_MIN_PER_S:,.0f} the slower faults may go unseen"
    )


def _head(view: View) -> Panel:
    line = Text(view.doing, style="bold")
    if view.position_s > 0:
        line.append(
            f"   {view.rate_per_s:,.0f} requests/s   {view.requests:,} requests   {view.labels:,} labels",
            style="not bold",
        )
    parts: list[RenderableType] = [line, _Ruler(view)]
    # The first seconds have not had the time to reach any rate.
    warning = rate_warning(view.rate_per_s) if view.position_s > 3 else None
    if warning:
        parts.append(Text(warning, style="bold red"))
    return Panel(
        Group(*parts), title="credit model, live", title_align="left", border_style="cyan", box=box.ROUNDED
    )


@dataclass(frozen=True)
class _Ruler:
    """The timeline in one line: faults in the colour of their family, what is past in full colour."""

    view: View

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        clock = f" {max(0.0, self.view.position_s):3.0f}/{self.view.timeline.length_s:.0f} s"
        columns = max(10, options.max_width - len(clock))
        for column in range(columns):
            at_s = (column + 0.5) / columns * self.view.timeline.length_s
            active = self.view.timeline.active(at_s)
            past = at_s <= self.view.position_s
            colour = _COLOURS[active[-1].family] if active else "green"
            mark = ("█" if past else "░") if active else ("━" if past else "─")
            yield Segment(mark, Style(color=colour, dim=not past))
        yield Segment(clock)
        yield Segment.line()


@dataclass(frozen=True)
class _Faults:
    """One row a fault; the alert's own words only where there is room for them."""

    view: View

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        roomy = options.max_width >= _WIDTH_FULL
        table = Table(box=box.SIMPLE_HEAD, expand=True, padding=0, show_edge=False, pad_edge=False)
        table.add_column("", width=1)
        table.add_column("fault", no_wrap=True, overflow="ellipsis")
        if roomy:
            table.add_column("family", no_wrap=True)
        table.add_column("at", justify="right", no_wrap=True)
        table.add_column("caught", justify="right", no_wrap=True)
        table.add_column("by", ratio=1, no_wrap=True, overflow="ellipsis")
        for credit in self.view.verdict.credits:
            mark, caught, words, style = _standing(credit, self.view)
            fault = credit.fault
            family = [Text(_FAMILY_SHORT[fault.family], style=_COLOURS[fault.family])] if roomy else []
            began = f"{fault.began_s:.0f} s"
            table.add_row(mark, Text(fault.title, style=style), *family, began, caught, words)
        yield table


def _standing(credit: Credit, view: View) -> tuple[Text, Text, Text, str]:
    """Mark, delay, words and style of a fault at this moment."""
    fault, at_s = credit.fault, view.position_s
    if credit.caught_by is not None:
        words = Text(_name(credit.caught_by))
        return Text("✔", "bold green"), Text(f"{credit.delay_s:.1f} s", "bold green"), words, ""
    if at_s < fault.began_s and not view.finished:
        return Text("·", "dim"), Text(""), Text("to come", "dim"), "dim"
    if at_s < fault.ended_s + PATIENCE_S and not view.finished:
        acting = "failing now" if at_s < fault.ended_s else "over, evidence still coming in"
        return Text("●", "bold yellow"), Text(""), Text(acting, "yellow"), "bold yellow"
    return Text("✘", "bold red"), Text("missed"), Text("no alert named it", "red"), ""


def _name(life: Sighting) -> str:
    """Subject of an alert in one short line: `age: out of range`, `Android: error rate`."""
    subject = life.alert.subject
    several = subject.get("features") or dict(subject.get("slice", {})).values()
    where = str(subject.get("feature") or ", ".join(map(str, several)))
    what = str(subject.get("code") or subject.get("metric") or life.alert.kind).replace("_", " ")
    return f"{where}: {what}" if where else what


def _alerts(view: View) -> Panel:
    false = {life.alert.alert_id for life in view.verdict.false_alarms}
    lines = Table.grid(padding=(0, 1), expand=True)
    lines.add_column(justify="right", no_wrap=True)
    lines.add_column(no_wrap=True)
    lines.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for life in list(view.lives)[-_LATEST_ALERTS:]:
        state, style = _state(life, life.alert.alert_id in false)
        lines.add_row(f"{life.seen_s:.1f} s", Text(state, style), life.alert.summary)
    for _ in range(_LATEST_ALERTS - len(view.lives)):
        lines.add_row("", "", "")
    return Panel(lines, title="latest alerts", title_align="left", border_style="dim", box=box.ROUNDED)


def _state(life: Sighting, false: bool) -> tuple[str, str]:
    if false:
        return "false", "bold red"
    if life.alert.consequence_of is not None:
        return "follows", "dim"
    if life.alert.severity == "notice":
        return "notice", "blue"
    return ("over", "green") if life.alert.state == AlertState.RESOLVED else ("open", "bold yellow")


def _tally(view: View) -> Text:
    verdict = view.verdict
    total = len(verdict.credits)
    false = len(verdict.false_alarms)
    line = Text(" ")
    line.append(f"{verdict.detected} of {total} faults caught", style="bold green")
    line.append("   ")
    line.append(_count(false, "false alarm"), style="bold red" if false else "bold green")
    rest = f"{_count(len(verdict.consequences), 'consequence')}, {_count(len(verdict.notices), 'notice')}"
    line.append(f"   {rest}", style="dim")
    return line


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
