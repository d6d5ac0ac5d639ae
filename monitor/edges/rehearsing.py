"""From files, options and settings to what is rehearsed; decides nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.config import Settings
from monitor.core.errors import QueryError, RowsError, SettingsError
from monitor.core.guess import guess_columns, overruled
from monitor.core.probes import PROBES, Constraints, FeatureSpace, Probe
from monitor.core.probes.endpoint import Endpoint
from monitor.core.probes.pairs import pairs_of
from monitor.core.probes.relations import Relation
from monitor.core.rehearsal.tolerances import shares
from monitor.core.schema import FeatureSchema
from monitor.core.schema.inference import infer
from monitor.edges.files import first_rows
from monitor.edges.probing import feature_space, probe_endpoint
from monitor.edges.reference import as_record
from monitor.edges.rehearsal import Rehearsal

SAMPLE_MAX: Final = 20_000
"""Rows of a sample that are read."""

CASE_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True)
class Wishes:
    """What was asked for, whoever is asked.

    Attributes:
        sample: file of requests.
        requests: to be probed.
        only: names of probes; () for all.
        tolerances: as written, `counterfactual=1%`; they win over those of the schema.
    """

    sample: Path
    requests: int = 100
    only: Sequence[str] = ()
    tolerances: Sequence[str] = ()

    def probes(self) -> tuple[Probe, ...]:
        """Probes by name.

        Raises:
            SettingsError: there is none of that name.
        """
        known = [probe.name for probe in PROBES]
        problems = [
            f"no probe {name!r}; there are {', '.join(known)}" for name in self.only if name not in known
        ]
        if problems:
            raise SettingsError(problems, "--only")
        return tuple(probe for probe in PROBES if not self.only or probe.name in self.only)

    def allowed(self, schema: FeatureSchema) -> dict[str, float]:
        """Tolerances of the schema and of the options, of the probes that are asked for.

        Raises:
            SettingsError: one that cannot be read, or whose probe is left out.
        """
        asked = {probe.name for probe in self.probes()}
        stated = {name: share for name, share in schema.probes if share is not None and name in asked}
        try:
            named = shares(self.tolerances)
        except ValueError as error:
            raise SettingsError([str(error)], "--tolerance") from None
        left_out = [f"{name} is not among the probes of --only" for name in named if name not in asked]
        if left_out:
            raise SettingsError(left_out, "--tolerance")
        return {**stated, **named}


def from_files(
    wishes: Wishes,
    endpoint: Endpoint,
    name: str,
    schema_file: Path | None,
    threshold: float | None,
    protected: Sequence[str],
    relations: Sequence[str],
) -> tuple[Rehearsal, list[dict[str, Any]], Endpoint]:
    """A model of which there are an address, a sample and perhaps a schema.

    Raises:
        SettingsError, SchemaError, RowsError: what cannot be used.
    """
    records = _records(wishes.sample, None)
    rows = [record["features"] for record in records]
    schema = infer(rows) if schema_file is None else FeatureSchema.load(schema_file)
    try:
        parsed = tuple(Relation.parse(text) for text in relations)
    except ValueError as error:
        raise SettingsError([str(error)], "--relation") from None
    named = [*protected, *(feature for one in parsed for feature in sorted(one.names))]
    problems = [
        f"no feature {feature!r} in the schema" for feature in named if feature not in schema.features
    ]
    if problems:
        raise SettingsError(problems, "--protected and --relation")
    space = FeatureSpace.of(
        schema, Constraints(protected=tuple(protected), relations=parsed), pairs_of(schema, rows)
    )
    return (
        _plan(wishes, endpoint, name, schema, space, threshold),
        _known(records, schema),
        (endpoint.for_schema(schema)),
    )


def from_settings(
    wishes: Wishes, settings: Settings, name: str
) -> tuple[Rehearsal, list[dict[str, Any]], Endpoint]:
    """A model of the settings.

    Raises:
        QueryError: its settings have no probes.
        SettingsError, RowsError: what cannot be used.
    """
    model, endpoint = settings.models[name], endpoint_of(settings, name)
    schema = model.feature_schema
    assert schema is not None
    threshold = model.threshold if model.task == "binary" else None
    plan = _plan(wishes, endpoint, name, schema, feature_space(name, settings), threshold)
    columns = model.reference_columns
    return plan, _known(_records(wishes.sample, columns, model.task), schema), endpoint


def endpoint_of(settings: Settings, name: str) -> Endpoint:
    """Where a model of the settings is asked.

    Raises:
        QueryError: nowhere.
    """
    endpoint = probe_endpoint(name, settings)
    if endpoint is None:
        raise QueryError(
            f"models.{name}.probes: none in the settings, or no schema; so there is nobody to ask"
        )
    return endpoint


def read_case(file: str) -> dict[str, Any]:
    """A stored case: of a report, of `monitor probes --json`, of an alert; the first in the document.

    Args:
        file: its name, or - for standard input.

    Raises:
        RowsError: it cannot be read, or holds none.
    """
    try:
        text = sys.stdin.read(CASE_BYTES_MAX + 1) if file == "-" else Path(file).read_text("utf-8")
        if len(text) > CASE_BYTES_MAX:
            raise RowsError(f"{file}: larger than {CASE_BYTES_MAX:,} characters; cut out the case itself")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise RowsError(f"{file}: cannot be read: {error}") from None
    case = _case_in(document, 8)
    if case is None:
        raise RowsError(f"{file}: holds no case; one has original, changed, before and after")
    return case


def _case_in(document: Any, depth: int) -> dict[str, Any] | None:
    if isinstance(document, dict):
        sides = [document.get(side) for side in ("original", "changed", "before", "after")]
        if all(isinstance(side, dict) for side in sides):
            return document
    inner = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    found = (_case_in(value, depth - 1) for value in inner) if depth else ()
    return next((case for case in found if case is not None), None)


def _plan(
    wishes: Wishes,
    endpoint: Endpoint,
    name: str,
    schema: FeatureSchema,
    space: FeatureSpace,
    threshold: float | None,
) -> Rehearsal:
    return Rehearsal(
        name, endpoint.url, wishes.sample.name, space, threshold, wishes.requests, wishes.probes(),
        wishes.allowed(schema),
    )  # fmt: skip


def _records(
    file: Path, columns: Mapping[str, str] | None = None, task: str = "binary"
) -> list[dict[str, Any]]:
    rows = first_rows(file, SAMPLE_MAX)
    if not rows:
        raise RowsError(f"{file}: holds no rows")
    named = overruled(guess_columns(list(rows[0]), task), columns or {})
    return [as_record(row, named) for row in rows]


def _known(records: Sequence[Mapping[str, Any]], schema: FeatureSchema) -> list[dict[str, Any]]:
    """Records without columns that the schema does not name."""
    return [
        {**record, "features": {k: v for k, v in record["features"].items() if k in schema.features}}
        for record in records
    ]
