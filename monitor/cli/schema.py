"""`monitor schema`: from an alert to the schema that accepts it."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import (
    CONFIG,
    AsJson,
    Config,
    console,
    load_reachable,
    open_metrics,
    print_json,
    the_model,
)
from monitor.cli.slices import From, Since, To, window
from monitor.core.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.config import Settings
    from monitor.core.records import Alert
    from monitor.core.schema.evolution import Change

app = typer.Typer(no_args_is_help=True, help="See and accept changes of a feature schema.")

ModelArgument = Annotated[str | None, typer.Argument(help="The model's name; left out, the only one.")]


@app.command("diff")
def diff(
    model: ModelArgument = None,
    old: Annotated[Path | None, typer.Option(help="Compare this schema file …")] = None,
    new: Annotated[Path | None, typer.Option(help="… with this one, instead of reading alerts.")] = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the schema changes that the violations standing now would need, or how two files differ.

    Example: `monitor schema diff income`, `monitor schema diff --old a.yaml --new b.yaml`
    """
    from monitor.core.schema import FeatureSchema
    from monitor.core.schema.evolution import compare

    if (old is None) != (new is None):
        raise QueryError("--old and --new come together")
    if old is not None and new is not None:
        differences = compare(FeatureSchema.load(old), FeatureSchema.load(new))
        if as_json:
            print_json([change.to_dict() for change in differences])
        else:
            _print(differences)
        return
    settings = load_reachable(config)
    model = the_model(settings, model)
    proposals = [(alert, changes) for alert in standing(settings, model) if (changes := changes_of(alert))]
    if as_json:
        print_json(
            [
                {"alert": alert.identity, "summary": alert.summary, "changes": alert.schema_change}
                for alert, _ in proposals
            ]
        )
        return
    if not proposals:
        console().print(f"no violation of {model} stands that a change of its schema would accept")
    for alert, changes in proposals:
        console().print(f"{alert.identity[:12]}  {alert.summary}", markup=False)
        _print(changes)
    if proposals:
        console().print(
            f"If the values are right: monitor schema accept {model} {proposals[0][0].identity[:12]}",
            markup=False,
        )


@app.command("accept")
def accept(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    alert: Annotated[list[str], typer.Argument(help="Alerts by the first characters `schema diff` shows.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change, write nothing.")] = False,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Edit the schema file so that it accepts the values an alert complains of.

    Workers read the schema when they start: restart them to apply it. The edited file replaces the one
    named in the settings; comments in it are not kept.

    Example: `monitor schema accept income 3f2a9c`
    """
    from monitor.core.schema.evolution import accept as accepted

    settings = load_reachable(config)
    model = the_model(settings, model)
    schema = settings.models[model].feature_schema
    if schema is None:
        raise QueryError(f"model {model} has no schema; monitor init infers one")
    before = schema.fingerprint
    changes = [change for prefix in alert for change in changes_of(chosen(settings, model, prefix))]
    edited = accepted(schema, changes)
    path = schema_path(config, model)
    if not dry_run:
        edited.dump(path)
    if as_json:
        versions_told = {"before": before, "after": edited.fingerprint}
        told = {"schema": str(path), "written": not dry_run, **versions_told}
        print_json({**told, "changes": [c.to_dict() for c in changes]})
        return
    _print(changes)
    done = f"would write {path}" if dry_run else f"wrote {path}; restart the workers to apply it"
    console().print(done, markup=False)
    console().print(
        f"version {before} → {edited.fingerprint} (monitor schema versions {model})", markup=False
    )


@app.command("versions")
def versions(
    model: ModelArgument = None,
    since: Since = None,
    from_: From = None,
    to: To = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show which feature schemas judged the requests of a window, and how many each.

    A schema goes by a fingerprint of all it says; the one in the settings is marked.

    Example: `monitor schema versions income --since 24h`
    """
    settings = load_reachable(config)
    model = the_model(settings, model)
    schema = settings.models[model].feature_schema
    present = schema.fingerprint if schema is not None else None
    with open_metrics(settings) as reader:
        judged = reader.judges(model, window(since, from_, to), from_, to)
    if as_json:
        print_json(
            [{"schema": name, "requests": n, "present": name == present} for name, n in judged.items()]
        )
        return
    if not judged:
        console().print("no schema judged a request in this window")
    for name, count in judged.items():
        mark = "  that of the settings" if name == present else ""
        console().print(f"{name}  {count:,} requests{mark}", markup=False)


def standing(settings: Settings, model: str) -> list[Alert]:
    """Alerts about the model that are not resolved, oldest first."""
    from monitor.core.records import AlertState
    from monitor.core.understood import stored_alerts
    from monitor.wiring import open_reader

    with closing(open_reader(settings)) as reader:
        found = stored_alerts(reader.alerts(model).values())
    return sorted((a for a in found if a.state is not AlertState.RESOLVED), key=lambda a: a.opened_at)


def chosen(settings: Settings, model: str, prefix: str) -> Alert:
    """The one standing alert that begins so.

    Raises:
        QueryError: none, several, or one that no change of the schema would accept.
    """
    found = [alert for alert in standing(settings, model) if alert.identity.startswith(prefix)]
    if len(found) != 1:
        many = "several alerts begin" if found else "no standing alert begins"
        raise QueryError(f"{many} with {prefix!r}; see `monitor schema diff {model}`")
    if not found[0].schema_change:
        raise QueryError(f"no change of the schema would accept this: {found[0].summary}")
    return found[0]


def changes_of(alert: Alert) -> list[Change]:
    """The proposal an alert carries."""
    from monitor.core.schema.evolution import Change

    return [Change(**change) for change in alert.schema_change]


def schema_path(config: Path, model: str) -> Path:
    """The schema file that the settings, or the environment, name for a model of the settings."""
    from monitor.config.environment import override
    from monitor.core.schema.text import read_yaml

    document, _, _ = override(read_yaml(config.read_text(encoding="utf-8"))[0], os.environ)
    (file,) = (section["schema"] for name, section in document["models"].items() if str(name) == model)
    return Path(config.parent, str(file)).expanduser()


def _print(changes: Sequence[Change]) -> None:
    out = console()
    if not changes:
        out.print("no difference")
    for change in changes:
        out.print(f"  {change.text}", markup=False)
        if change.caution:
            out.print(f"    mind: {change.caution}", markup=False, style="yellow")
