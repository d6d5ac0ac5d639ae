"""`monitor fairness`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    CONFIG,
    AsJson,
    Config,
    console,
    load_reachable,
    open_metrics,
    pairs,
    print_json,
    the_model,
)
from monitor.cli.slices import From, Since, To, window
from monitor.core.errors import QueryError

if TYPE_CHECKING:
    from monitor.config import ModelSettings
    from monitor.core.fairness.report import FairnessReport
    from monitor.core.reports import Groups


def fairness(
    model: Annotated[str | None, typer.Argument(help="The model's name; left out, the only one.")] = None,
    since: Since = None,
    from_: From = None,
    to: To = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Compare groups of this feature; repeat for a crossing. Default: protected ones."),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(help="Hold others against feature=value; repeat for a crossing. Default: the rest."),
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(help="Compare within strata of this feature; repeatable. Default: legitimate ones."),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Compare only this; repeat for more.")] = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show how far apart groups are, and how sure that is: parity, equal opportunity, calibration and more.

    Each group is held against the rest, or a reference; also within strata of legitimate features.

    Example: `monitor fairness income --since 1d --by sex --reference sex=Male --within credit_score`
    """
    settings = load_reachable(config)
    model = the_model(settings, model)

    from monitor.cli.fairness_tables import print_fairness
    from monitor.core.fairness.report import CRITERIA_OF, fairness_report, group_name

    declared = settings.models[model]
    known = CRITERIA_OF[declared.task]
    criteria = [_criterion(name, known) for name in metric] if metric else list(known)
    against = pairs(reference or [], "--reference")
    chosen = [tuple(sorted({*(by or against)}))] if by or against else _protected(declared, model)
    strata = [tuple(sorted(set(within)))] if within else [(spec.feature,) for spec in declared.legitimate]
    wanted = [set(features) for features in chosen]
    wanted += [{*features, *others} for features in chosen for others in strata]
    with open_metrics(settings) as reader:
        found = reader.groups(model, wanted, window(since, from_, to), from_, to)
    held = group_name(against) if against else None
    reports = []
    for features in chosen:
        slices = found.of(features)
        if not slices:
            raise QueryError(_not_counted(found, features, model))
        _known(held, [group_name(parts) for parts, _ in slices])
        crossed = {}
        for others in strata:
            if set(others) & set(features):
                continue
            crossed[others] = found.of((*features, *others))
            if within and not crossed[others]:
                raise QueryError(_not_crossed(features, others, model))
        strata_of = {key: value for key, value in crossed.items() if value}
        reports.append(fairness_report(features, slices, strata_of, held, criteria, declared.threshold))
    if as_json:
        print_json([_document(report, found) for report in reports])
    else:
        print_fairness(console(), model, reports, found)


def _document(report: FairnessReport, found: Groups) -> dict[str, Any]:
    wider = {} if found.wider is None else {"calibration_window": found.wider.to_dict()}
    return {**report.to_dict(), "window": found.window.to_dict(), **wider}


def _protected(declared: ModelSettings, model: str) -> list[tuple[str, ...]]:
    if not declared.protected:
        raise QueryError(
            f"{model} has no protected features: name one with --by, e.g. --by sex, or write "
            "`protected: [sex]` into its settings"
        )
    return [(name,) for name in declared.protected]


def _criterion(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    if name in known:
        return name
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise QueryError(f"no criterion {name!r}: {hint}")


def _not_counted(found: Groups, features: Sequence[str], model: str) -> str:
    if frozenset(features) in found.declared:
        return f"no traffic in groups of {' × '.join(features)} in this window: try a longer --since"
    counted = sorted(" × ".join(sorted(names)) for names in found.declared - {frozenset({"slice"})})
    entry = features[0] if len(features) == 1 else f"[{', '.join(features)}]"
    known = f"; counted are {', '.join(counted)}" if counted else ""
    return (
        f"nothing is counted by {' × '.join(features)}: write `slices: [{entry}]` into the settings of "
        f"{model}, and it is counted from then on{known}"
    )


def _not_crossed(features: Sequence[str], others: Sequence[str], model: str) -> str:
    crossing = f"[{', '.join((*features, *others))}]"
    more = ""
    if len(features) == len(others) == 1:
        more = f"`protected: [{features[0]}]` and `legitimate: [{others[0]}]`, or "
    return (
        f"nothing is counted by {' × '.join(features)} within {' × '.join(others)}: write {more}"
        f"`slices: [{crossing}]` into the settings of {model}, and it is counted from then on"
    )


def _known(reference: str | None, groups: Sequence[str]) -> None:
    if reference is not None and reference not in groups:
        raise QueryError(
            f"no group {reference} to hold others against in this window; there are {'; '.join(groups)}"
        )
