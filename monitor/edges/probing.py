"""From the settings of a model's probes to what a prober needs; decides nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from monitor.config import Settings
from monitor.core.costs import probe_bytes
from monitor.core.probes import PROBES, Constraints, FeatureSpace
from monitor.core.probes.endpoint import Endpoint
from monitor.core.probes.pairs import pairs_of
from monitor.core.probes.space import typical
from monitor.core.probes.spending import held_rows
from monitor.edges.files import first_rows
from monitor.edges.model import open_client
from monitor.edges.prober import ProbedModel
from monitor.edges.reference import as_record

PAIR_ROWS: Final = 5_000
"""Rows of the reference whose pairs of values are counted."""

PROBE_ROWS_MAX: Final = 100
"""Rows of one call to an endpoint."""


def probe_endpoint(name: str, settings: Settings, env: Mapping[str, str] | None = None) -> Endpoint | None:
    """Where a model is asked; None where it is not."""
    model = settings.models[name]
    probes = model.probes
    if probes is None or model.feature_schema is None:
        return None
    token = (os.environ if env is None else env).get(probes.token_env or "")
    held = held_rows(probes.budget_rows_per_s, probes.burst_rows)
    return Endpoint(
        probes.endpoint,
        probes.format,
        template=probes.template,
        score=probes.score,
        decision=probes.decision,
        positive_class=model.positive_class,
        output=probes.output,
        tensor=probes.tensor,
        timeout_s=probes.timeout_s,
        rows_max=max(1, min(int(held), PROBE_ROWS_MAX)),
        token=token or None,
        ca_file=probes.ca_file,
    ).for_schema(model.feature_schema)


def feature_space(name: str, settings: Settings) -> FeatureSpace:
    """What the features of a probed model may be; pairs of values are those of its reference file."""
    model, key = settings.models[name], settings.masking_key
    schema, probes = model.feature_schema, model.probes
    assert schema is not None
    constraints = Constraints(
        protected=model.protected,
        proxies={} if probes is None else probes.proxies,
        relations=() if probes is None else probes.parsed_relations,
    )
    file = model.reference_file
    if file is None:
        return FeatureSpace.of(schema, constraints, sensitive_key=key)
    columns = model.reference_columns
    rows = [as_record(row, columns)["features"] for row in first_rows(file, PAIR_ROWS)]
    return FeatureSpace.of(schema, constraints, pairs_of(schema, rows), key)


def probed_model(name: str, settings: Settings) -> ProbedModel:
    """What the prober knows of a model whose settings have probes."""
    model = settings.models[name]
    probes, schema = model.probes, model.feature_schema
    assert probes is not None
    assert schema is not None
    return ProbedModel(
        name,
        feature_space(name, settings),
        model.threshold if model.task == "binary" else None,
        settings.tiers,
        tuple(probe for probe in PROBES if probe.name in probes.probes),
        probes.sample,
        probes.budget_rows_per_s,
    )


@dataclass(frozen=True)
class ProbingCost:
    """What probing a model will cost.

    Attributes:
        endpoint: its address.
        answers: it answered to one typical request.
        error: why it did not.
        rows_per_s: most rows a second.
        burst: rows beyond them in one second.
        rows_per_day: most rows a day.
        store_bytes: upper bound of what results take in the store.
    """

    endpoint: str
    answers: bool
    error: str | None
    rows_per_s: float
    burst: float
    rows_per_day: int
    store_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


async def what_probing_costs(settings: Settings, slices: Mapping[str, int]) -> dict[str, ProbingCost]:
    """Cost of each model that is probed; asks each endpoint once, for one row.

    Args:
        settings: of the models.
        slices: model → slices in its traffic.
    """
    found = {}
    for name, model in settings.models.items():
        endpoint, probes, schema = probe_endpoint(name, settings), model.probes, model.feature_schema
        if endpoint is None or probes is None or schema is None:
            continue
        client = open_client(endpoint)
        try:
            (answer,) = await client.ask([typical(FeatureSpace.of(schema))])
        finally:
            await client.close()
        found[name] = ProbingCost(
            probes.endpoint,
            answer.error is None,
            answer.error,
            probes.budget_rows_per_s,
            probes.burst_rows,
            round(86_400 * probes.budget_rows_per_s),
            probe_bytes(len(schema.features), slices.get(name, 0), settings.tiers),
        )
    return found
