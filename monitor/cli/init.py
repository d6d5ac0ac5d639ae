"""`monitor init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.cli.common import CONFIG, Config, console, load, refuse_given
from monitor.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.config.draft import Draft

Task = Literal["binary", "multiclass", "regression"]


def init(
    ctx: typer.Context,
    sample: Annotated[Path | None, typer.Option(help="CSV, Parquet or JSONL file to learn from.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic of predictions to learn from.")] = None,
    labels_topic: Annotated[str, typer.Option(help="Topic of labels.")] = "labels",
    model: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    task: Annotated[
        Task | None, typer.Option(help="What the model predicts, where the guess is wrong.")
    ] = None,
    config: Config = CONFIG,
    bootstrap_servers: Annotated[str, typer.Option(help="Brokers, host:port.")] = "localhost:9092",
    redis_url: Annotated[str, typer.Option(help="The store.")] = "redis://localhost:6379/0",
    rows: Annotated[int, typer.Option(min=1, help="Rows or records to learn from, at most.")] = 20_000,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    score: Annotated[
        str | None, typer.Option(help="Column of the score, the probabilities or the value.")
    ] = None,
    decision: Annotated[str | None, typer.Option(help="Column of the decision.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the request id.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="Create the topics that the settings name.")
    ] = False,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of created input topics.")] = 4,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files.")] = False,
) -> None:
    """Write monitor.yaml and a feature schema from a sample, ready to edit; or create the topics.

    The task is guessed from labels and answers, columns by name, unless said here; what was guessed is
    printed and written down. A login to Kafka is taken from `MONITOR__KAFKA__SASL_USERNAME` and the like.

    Example: `monitor init --sample loans.csv --model loans --label repaid`

    Example: `monitor init --sample homes.csv --task regression --label sold_for --score predicted_price`

    Example: `monitor init --topic predictions --model income`

    Example: `monitor init --create-topics`
    """
    from monitor.cli.init_draft import PREDICTIONS, from_file, from_topic
    from monitor.config.logins import kafka_before_settings, login_variables
    from monitor.core.guess import model_name

    out = console()
    if model is not None and model_name([model], "") != model:
        problem = f"--model: expected a name of 1 to 64 letters, digits and . _ -, got {model!r}"
        raise SettingsError([problem], "monitor init")
    if sample is not None and topic is not None:
        raise SettingsError(["--sample and --topic: learn from one of them"], "monitor init")
    if sample is None and topic is None and not create_topics:
        raise SettingsError(["nothing to learn from; give --sample FILE or --topic NAME"], "monitor init")
    if sample is None:
        why = "names a column of --sample; where a topic has it is written under mapping"
        refuse_given(ctx, ("label", "score", "decision", "id_", "timestamp"), why)
    if sample is None and topic is None:
        why = "has no effect beside --create-topics alone, which goes by the settings"
        refuse_given(
            ctx, ("labels_topic", "model", "bootstrap_servers", "redis_url", "rows", "force", "task"), why
        )
    if labels_topic == (topic or PREDICTIONS) and not (sample is None and topic is None):
        raise SettingsError(
            [f"--labels-topic: {labels_topic} is the topic of predictions; name that of labels"],
            "monitor init",
        )
    if sample is not None or topic is not None:
        places = (bootstrap_servers, redis_url, labels_topic)
        if sample is not None:
            named = {
                "label": label, "score": score, "decision": decision, "request_id": id_,
                "timestamp": timestamp,
            }  # fmt: skip
            chosen = {field: column for field, column in named.items() if column is not None}
            draft = from_file(sample, model, chosen, rows, config, places, task)
        else:
            from monitor.edges.kafka.connection import KafkaConnection

            source = ctx.get_parameter_source("bootstrap_servers")
            servers = None if source is not None and source.name == "DEFAULT" else bootstrap_servers
            kafka = kafka_before_settings(servers, str(topic), os.environ, config.parent)
            places = (",".join(kafka.bootstrap_servers), redis_url, labels_topic)
            draft = from_topic(str(topic), model, rows, KafkaConnection(**kafka.connection()), places, task)
        written = write(draft, config, force)
        for path in written:
            out.print(f"wrote [bold]{path}[/]")
        describe(draft)
        if topic is not None and (variables := login_variables(os.environ)):
            out.print(f"not written, so keep them set: {', '.join(variables)}", markup=False)
    if create_topics:
        make_topics(config, partitions)


def write(draft: Draft, config: Path, force: bool) -> Sequence[Path]:
    """Write the settings and the schema, and read them back."""
    from monitor.config import Settings

    schema = config.parent / draft.schema_path
    present = [str(path) for path in (config, schema) if path.exists()]
    if present and not force:
        raise SettingsError([f"{name} exists; --force overwrites it" for name in present], "monitor init")
    schema.parent.mkdir(parents=True, exist_ok=True)
    draft.schema.dump(schema)
    config.write_text(draft.text(), encoding="utf-8")
    Settings.load(config, env={})
    return (config, schema)


def describe(draft: Draft) -> None:
    """Say what was guessed."""
    from rich.markup import escape

    out = console()
    features = len(draft.schema.features)
    said = {
        "binary": f"positive class {draft.positive_class!r}"
        + ("" if draft.negative_class is None else f", negative class {draft.negative_class}"),
        "multiclass": f"classes {', '.join(map(str, draft.classes))}",
        "regression": f"unit {draft.unit:g}",
    }[draft.task]
    out.print(f"model {draft.model}: {draft.task}, {features} features, {said}", markup=False)
    other = "" if draft.why.startswith("--task") else "; --task says another"
    out.print(f"  task: {draft.task}, because {draft.why}{other}", markup=False)
    for field, place in {**draft.columns, **draft.predictions_mapping}.items():
        out.print(f"  {field} ← {place}", markup=False)
    for field, place in draft.labels_mapping.items():
        out.print(f"  of labels: {field} ← {place}", markup=False)
    if draft.reference is not None:
        out.print(f"  reference: {draft.reference}", markup=False)
    for text in draft.absent:
        out.print(f"  [yellow]look for[/] {escape(text)}")
    notes = [(name, feature.note) for name, feature in draft.schema.features.items() if feature.note]
    for name, note in notes:
        out.print(f"  look at {name}: {note}", markup=False)
    out.print("Look through both files, then try them out: [bold]monitor check[/]")


def make_topics(config: Path, partitions: int) -> None:
    """Create the topics that the settings name and that are not there."""
    from monitor.edges.kafka.topics import ensure_topics
    from monitor.wiring import connection, topic_specs

    settings = load(config)
    created = ensure_topics(connection(settings), topic_specs(settings, partitions))
    console().print(f"created {', '.join(created)}" if created else "every topic was there already")
