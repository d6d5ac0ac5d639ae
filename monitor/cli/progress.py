"""A progress bar on standard error, so that standard output stays with the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Says that so many rows more are done."""

    def __call__(self, rows: int = 1) -> None:
        """Move the bar."""
        ...


@contextmanager
def progress(total: int | None, quiet: bool, each: int = 100) -> Iterator[Advance]:
    """A function to be called once a row or for several; silent where `quiet` or where nobody watches.

    Args:
        total: rows to come, where that is known.
        quiet: show nothing.
        each: rows after which the bar moves.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    from monitor.cli.common import console

    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True), disable=quiet, transient=True) as bars:
        task = bars.add_task("rows", total=total, rate="")
        waiting = 0

        def advance(rows: int = 1) -> None:
            nonlocal waiting
            waiting += rows
            if waiting >= each:
                speed = bars.tasks[0].speed
                bars.update(task, advance=waiting, rate=f"{speed:,.0f}/s" if speed else "")
                waiting = 0

        yield advance
        bars.update(task, advance=waiting)
