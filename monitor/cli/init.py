"""`monitor init`."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import CONFIG, Config, console, load, refuse_given
from monitor.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monitor.config.draft import Draft
    from monitor.core.mapping import Mapping

_SCHEMA_FOLDER = "schemas"


def init(
    ctx: typer.Context,
    sample: Annotated[Path | None, typer.Option(help="CSV, Parquet or JSONL file to learn from.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic of predictions to learn from.")] = None,
    labels_topic: Annotated[str, typer.Option(help="Topic of labels.")] = "labels",
    model: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    config: Config = CONFIG,
    bootstrap_servers: Annotated[str, typer.Option(help="Brokers, host:port.")] = "localhost:9092",
    redis_url: Annotated[str, typer.Option(help="The store.")] = "redis://localhost:6379/0",
    rows: Annotated[int, typer.Option(min=1, help="Rows or records to learn from, at most.")] = 20_000,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    score: Annotated[str | None, typer.Option(help="Column of the score.")] = None,
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

    Columns are guessed by name unless named here; what was guessed is printed and written down.

    Example: `monitor init --sample loans.csv --model loans --label repaid`

    Example: `monitor init --topic predictions --model income`

    Example: `monitor init --create-topics`
    """
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
        refuse_given(ctx, ("labels_topic", "model", "bootstrap_servers", "redis_url", "rows", "force"), why)
    if topic == labels_topic:
        raise SettingsError(
            [f"--labels-topic: {topic} is the topic of predictions; name that of labels"], "monitor init"
        )
    if sample is not None or topic is not None:
        if sample is not None:
            named = {
                "label": label, "score": score, "decision": decision, "request_id": id_,
                "timestamp": timestamp,
            }  # fmt: skip
            chosen = {field: column for field, column in named.items() if column is not None}
            draft = from_file(
                sample, model, chosen, rows, config, (bootstrap_servers, redis_url, labels_topic)
            )
        else:
            draft = from_topic(str(topic), model, rows, (bootstrap_servers, redis_url, labels_topic))
        written = write(draft, config, force)
        for path in written:
            out.print(f"wrote [bold]{path}[/]")
        describe(draft)
    if create_topics:
        make_topics(config, partitions)


def from_file(
    sample: Path,
    model: str | None,
    named: dict[str, str],
    rows: int,
    config: Path,
    places: tuple[str, str, str],
) -> Draft:
    """A draft from a file's first rows."""
    from monitor.config.draft import Draft, guess_positive
    from monitor.core.guess import guess_columns, model_name
    from monitor.core.schema.inference import infer
    from monitor.edges.files import read_rows
    from monitor.edges.reference import as_record

    found = list(islice(read_rows(sample), rows))
    header = list(dict.fromkeys(name for row in found for name in row))
    missing = [column for column in named.values() if column not in header]
    if missing:
        raise SettingsError(
            [f"no column {name!r}; there are {', '.join(header)}" for name in missing], str(sample)
        )
    plain = any(isinstance(row.get("features"), dict) for row in found)
    columns = {} if plain else guess_columns(header) | named
    records = [as_record(row, columns) for row in found]
    features = [record["features"] for record in records if isinstance(record.get("features"), dict)]
    schema = infer(features)
    name = model or model_name((r.get("model") for r in records), sample.name.split(".")[0])
    judged = any(
        r.get("label") is not None and r.get("score", r.get("decision")) is not None for r in records
    )
    base = config.resolve().parent
    path = sample.resolve()
    file = str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
    return Draft(
        model=name,
        schema=schema,
        schema_path=f"{_SCHEMA_FOLDER}/{name}.yaml",
        bootstrap_servers=places[0],
        redis_url=places[1],
        predictions_topic="predictions",
        labels_topic=places[2],
        positive_class=guess_positive(r.get("label") for r in records),
        columns=columns,
        reference=file if judged else None,
        absent=[
            f"{names}: no such column; without it the file is no reference. Name it: {options}"
            for names, options, fields in (
                ("label", "--label COLUMN", ("label",)),
                ("score or decision", "--score COLUMN or --decision COLUMN", ("score", "decision")),
            )
            if not any(record.get(field) is not None for record in records for field in fields)
        ],
    )


def from_topic(topic: str, model: str | None, rows: int, places: tuple[str, str, str]) -> Draft:
    """A draft from the last records of the topics of predictions and of labels."""
    from monitor.core.errors import KafkaError
    from monitor.edges.kafka.connection import KafkaConnection
    from monitor.edges.kafka.topics import read_last

    connection = KafkaConnection(places[0])
    records = objects(record.value for record in read_last(connection, topic, rows))
    if not records:
        raise SettingsError([f"the topic {topic} holds no JSON object to learn from"], "monitor init")
    try:
        labels = objects(record.value for record in read_last(connection, places[2], rows))
    except KafkaError:
        labels = []  # there need be no labels yet
    return from_records(records, labels, topic, model, places)


def from_records(
    records: list[dict[str, Any]],
    labels: list[dict[str, Any]],
    topic: str,
    model: str | None,
    places: tuple[str, str, str],
) -> Draft:
    """A draft from the predictions and labels of two topics."""
    from monitor.config.draft import Draft, guess_positive
    from monitor.core.guess import guess_mapping, model_name
    from monitor.core.mapping import Mapping
    from monitor.core.schema.inference import infer

    name = model or model_name((r.get("model") for r in records), "model")
    fields = ("request_id", "timestamp", "model", "model_version", "features", "score", "decision")
    paths = guess_mapping(records, fields, name)
    mapping = Mapping.parse(paths)
    features = [found for r in records if isinstance(found := mapping.get("features", r), dict)]
    label_paths = guess_mapping(labels, ("request_id", "timestamp", "model", "label"), name) if labels else {}
    label_mapping = Mapping.parse(label_paths)
    return Draft(
        model=name,
        schema=infer(features),
        schema_path=f"{_SCHEMA_FOLDER}/{name}.yaml",
        bootstrap_servers=places[0],
        redis_url=places[1],
        predictions_topic=topic,
        labels_topic=places[2],
        predictions_mapping=paths,
        labels_mapping=label_paths,
        positive_class=guess_positive(label_mapping.get("label", r) for r in labels),
        absent=[
            *absent(mapping, records, topic, ("request_id", "features", "score|decision")),
            *(absent(label_mapping, labels, places[2], ("request_id", "label")) if labels else ()),
        ],
    )


def absent(mapping: Mapping, records: list[dict[str, Any]], topic: str, fields: Sequence[str]) -> list[str]:
    """Fields of which no record has any; of those parted by a bar, one is enough."""
    return [
        f"{field.replace('|', ' or ')}: not found in {topic}; name its path under mapping"
        for field in fields
        if not any(mapping.get(name, record) is not None for record in records for name in field.split("|"))
    ]


def objects(values: Iterable[bytes | None]) -> list[dict[str, Any]]:
    """The JSON objects among the values of records."""
    found = []
    for text in values:
        try:
            value = json.loads(text or b"null")
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


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
    out.print(
        f"model {draft.model}: {features} features, positive class {draft.positive_class!r}", markup=False
    )
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
