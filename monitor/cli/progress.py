"""A progress bar on standard error, so that standard output stays with the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int | None, quiet: bool, each: int = 100) -> Iterator[Callable[[], None]]:
    """A function to be called once a row; shows nothing where `quiet` or where nobody watches.

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

        def advance() -> None:
            nonlocal waiting
            waiting += 1
            if waiting >= each:
                speed = bars.tasks[0].speed
                bars.update(task, advance=waiting, rate=f"{speed:,.0f}/s" if speed else "")
                waiting = 0

        yield advance
        bars.update(task, advance=waiting)
