"""Options and small helpers that commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.core.errors import QueryError, ServiceError, SettingsError
from monitor.core.printable import json_text, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

    from monitor.config import Settings
    from monitor.edges.reader import MetricsReader

CONFIG = Path("monitor.yaml")

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="MONITOR_CONFIG", help="The settings file.", show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def load(config: Path) -> Settings:
    """The settings."""
    from monitor.config import Settings

    return Settings.load(config)


def load_reachable(config: Path) -> Settings:
    """Settings whose services run on their own, so that another process can reach them."""
    settings = load(config)
    if settings.kafka.embedded or settings.redis.embedded:
        raise ServiceError(
            f"{config} says `embedded`: such services live inside `monitor run`, out of reach. "
            "Start them with `monitor up` and write the addresses it prints into the settings"
        )
    return settings


@contextmanager
def open_metrics(settings: Settings) -> Iterator[MetricsReader]:
    """The reading library on the settings' store."""
    from monitor.edges.reader import MetricsReader
    from monitor.wiring import open_reader

    with closing(open_reader(settings)) as reader:
        yield MetricsReader(reader, settings.tiers)


def known_model(settings: Settings, model: str) -> str:
    """The name, if the settings know it."""
    if model not in settings.models:
        near = get_close_matches(model, settings.models, 1)
        hint = f"did you mean {near[0]}?" if near else f"the settings have {', '.join(settings.models)}"
        raise QueryError(f"no model {model!r}; {hint}")
    return model


def the_model(settings: Settings, model: str | None) -> str:
    """The named model, or the only one."""
    if model is not None:
        return known_model(settings, model)
    if len(settings.models) == 1:
        return next(iter(settings.models))
    raise QueryError(f"several models are configured; name one of {', '.join(settings.models)}")


def refuse_given(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options of the command line that would change nothing here.

    Args:
        ctx: of the command.
        names: its parameters.
        why: they change nothing.

    Raises:
        SettingsError: names those that were given.
    """
    flags = {parameter.name: parameter.opts[0] for parameter in ctx.command.params}
    sources = {name: ctx.get_parameter_source(name) for name in names}
    given = [flags[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if given:
        raise SettingsError([f"{flag}: {why}" for flag in given], f"monitor {ctx.info_name}")


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """`key=value` options as a dictionary."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise SettingsError([f"expected key=value, got {text!r}"], option)
        found[key] = value
    return found


def console(stderr: bool = False) -> Console:
    """Where people read."""
    from rich.console import Console
    from rich.text import Text

    class Paper(Console):
        """Shows text of records, of the store and of files, and obeys none of it."""

        def render_str(self, text: str, **options: Any) -> Text:
            """Every text that is printed, alone or in a table, comes by here."""
            return super().render_str(printable_lines(text), **options)

    return Paper(stderr=stderr, highlight=False)


def print_json(value: Any, indent: int | None = 2) -> None:
    """One JSON document on standard output; NaN, which JSON lacks, is refused rather than printed."""
    sys.stdout.write(json_text(value, indent, allow_nan=False) + "\n")
    sys.stdout.flush()
