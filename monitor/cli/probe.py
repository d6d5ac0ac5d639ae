"""`monitor probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.common import AsJson, console, load, print_json, refuse_given, the_model
from monitor.cli.progress import progress
from monitor.core.errors import QueryError, SettingsError

if TYPE_CHECKING:
    from monitor.core.probes.endpoint import Endpoint

_OF_URL = (
    "format_", "template", "score", "decision", "positive_class", "threshold", "token_env", "ca_file",
    "timeout", "batch", "schema", "protected", "relation",
)  # fmt: skip


def probe(
    ctx: typer.Context,
    sample: Annotated[
        Path | None, typer.Option(help="Requests to start from: CSV, Parquet or JSONL with features.")
    ] = None,
    model_url: Annotated[str | None, typer.Option("--model-url", help="Address of the endpoint.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="Feature schema; left out, inferred from the sample.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings whose model has probes; instead of --model-url."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model of the settings, or a name for the report.")
    ] = None,
    format_: Annotated[
        Literal["json", "kserve", "tensorflow", "mlflow"],
        typer.Option("--format", help="What the endpoint speaks."),
    ] = "json",
    template: Annotated[
        str | None, typer.Option(help='Body of a request as JSON, "$rows" where the rows go.')
    ] = None,
    score: Annotated[
        str | None, typer.Option(help="Path of scores in the response: $.predictions[*].score.")
    ] = None,
    decision: Annotated[str | None, typer.Option(help="Path of decisions in the response.")] = None,
    positive_class: Annotated[str, typer.Option(help="The positive class as the model names it.")] = "1",
    threshold: Annotated[
        str, typer.Option(help="Score from which the decision is positive; none where nothing is decided.")
    ] = "0.5",
    token_env: Annotated[str | None, typer.Option(help="Environment variable with a bearer token.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificates (PEM) to trust instead.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 5.0,
    batch: Annotated[int, typer.Option(min=1, help="Rows a call; 1 judges each row without company.")] = 100,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Rows a second at most; left out, as fast as it answers.")
    ] = None,
    protected: Annotated[
        list[str] | None, typer.Option(help="Feature no answer should depend on; repeatable.")
    ] = None,
    relation: Annotated[
        list[str] | None, typer.Option(help="What every request keeps, 'open_loans <= loans'; repeatable.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this probe; repeatable.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests to probe.")] = 100,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(help="Hold the release up beyond it, counterfactual=1%; repeatable."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The report.")] = Path("probes.html"),
    replay: Annotated[
        str | None, typer.Option("--replay", help="Ask again about a stored case: a file, or - to read it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Probe a model before it is deployed: what the live monitor asks, asked now, with a report.

    Takes requests of the sample, changes them a little and sees what becomes of the answers: the smallest
    flip, another sex, another type, sharp edges, features that act only together. Writes one HTML file.
    Exits with 1 when a stated tolerance is broken (`--tolerance`, or `probes` in the schema) or a replayed
    case is answered otherwise, with 2 when it could not be done. Some 900 rows are sent for each request,
    marked by the header `X-Monitor-Probe: 1`.

    Example: `monitor probe --model-url http://localhost:8000/predict --schema income.yaml --sample rows.csv`

    Example: `monitor probe -c monitor.yaml --sample rows.csv --tolerance counterfactual=1%`

    Example: `monitor probe --replay case.json --model-url http://localhost:8000/predict`
    """
    from monitor.edges.rehearsing import Wishes, endpoint_of, from_files, from_settings, read_case

    if (model_url is None) == (config is None):
        raise QueryError("who is to be asked? Give either --model-url or --config")
    if config is not None:
        refuse_given(ctx, _OF_URL, "is of --model-url; with --config the settings say it")
    case = None if replay is None else read_case(replay)
    settings = None if config is None else load(config)
    name = model or (case or {}).get("model") or "model"
    if settings is not None:
        name = the_model(settings, model or (case or {}).get("model"))
        endpoint = endpoint_of(settings, name)
    else:
        endpoint = endpoint_from(
            model_url or "", format_, template, score, decision, positive_class, timeout, batch, token_env,
            ca_file,
        )  # fmt: skip
    if case is not None:
        replay_case(case, endpoint, as_json)
    if sample is None:
        raise QueryError("which requests? Give --sample with a file of some hundred rows of features")
    wishes = Wishes(sample, requests, only or (), tolerance or ())
    if settings is not None:
        plan, records, endpoint = from_settings(wishes, settings, name)
    else:
        plan, records, endpoint = from_files(
            wishes, endpoint, name, schema, cut(threshold), protected or (), relation or ()
        )
    found = run(plan, records, endpoint, rate, as_json)
    from monitor.core.rehearsal.page import page

    output.write_text(page(found), encoding="utf-8")
    if as_json:
        print_json(found)
    else:
        from monitor.cli.probe_tables import print_rehearsal

        print_rehearsal(console(), found, str(output))
    raise typer.Exit(0 if found["passed"] else 1)


def endpoint_from(
    url: str,
    format_: Literal["json", "kserve", "tensorflow", "mlflow"],
    template: str | None,
    score: str | None,
    decision: str | None,
    positive_class: str,
    timeout_s: float,
    rows_max: int,
    token_env: str | None,
    ca_file: Path | None,
) -> Endpoint:
    """The endpoint that options describe."""
    import json
    import os

    from monitor.core.probes.endpoint import Endpoint

    token = os.environ.get(token_env) if token_env else None
    if token_env and not token:
        raise SettingsError([f"the environment has no {token_env}"], "--token-env")
    try:
        return Endpoint(
            url,
            format_,
            template=None if template is None else json.loads(template),
            score=score,
            decision=decision,
            positive_class=int(positive_class) if positive_class.isdigit() else positive_class,
            timeout_s=timeout_s,
            rows_max=rows_max,
            token=token,
            ca_file=ca_file,
        )
    except ValueError as error:
        raise SettingsError([str(error)], "probe") from None


def cut(threshold: str) -> float | None:
    """The threshold as written."""
    if threshold == "none":
        return None
    try:
        return float(threshold)
    except ValueError:
        raise SettingsError([f"expected a number or none, got {threshold!r}"], "--threshold") from None


def run(plan: Any, records: Any, endpoint: Endpoint, rate: float | None, quiet: bool) -> dict[str, Any]:
    """Ask everything, with a bar."""
    import asyncio
    from datetime import UTC, datetime

    from monitor.edges.clock import SystemClock
    from monitor.edges.model import Pace, open_client
    from monitor.edges.rehearsal import rehearse

    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"

    async def ask() -> dict[str, Any]:
        client = open_client(endpoint, None if rate is None else Pace(rate, SystemClock()))
        try:
            return await rehearse(plan, records, client, at, advance)
        finally:
            await client.close()

    with progress(min(plan.requests, len(records)), quiet, each=1) as advance:
        return asyncio.run(ask())


def replay_case(case: dict[str, Any], endpoint: Endpoint, as_json: bool) -> None:
    """Both requests of a case put to the model; exits."""
    import asyncio

    from monitor.cli.probe_tables import print_replay
    from monitor.edges.model import open_client
    from monitor.edges.rehearsal import ask_case

    async def ask() -> dict[str, Any]:
        client = open_client(endpoint)
        try:
            return await ask_case(case, client)
        finally:
            await client.close()

    try:
        told = asyncio.run(ask())
    except ValueError as error:
        raise QueryError(str(error)) from None
    if as_json:
        print_json(told)
    else:
        print_replay(console(), told)
    raise typer.Exit(0 if told["same"] else 1)
