"""`monitor check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.cli.common import CONFIG, AsJson, Config, console, load_reachable, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.core.survey import Sample


def check(
    config: Config = CONFIG,
    records: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="Last records of each topic to read; 256 MB in all."),
    ] = 1_000,
    as_json: AsJson = False,
) -> None:
    """Connect, read the last records of each topic, and say what would become of them.

    What decodes, what violates the schema, how many labels find their prediction, the memory the store
    will take, and how many rows it takes to see each slice fail. Where probes are configured, what they will
    cost, and whether the endpoint answers to one typical request. Nothing is written. Exits with 1 when
    something stands in the way.

    Example: `monitor check --records 5000`
    """
    settings = load_reachable(config)

    import asyncio

    from monitor.cli.probe_tables import print_probing
    from monitor.cli.tables import print_sensitivity, print_survey
    from monitor.core.decode import Limits
    from monitor.core.survey import survey
    from monitor.edges.probing import what_probing_costs
    from monitor.wiring import model_plan, what_is_seen

    samples, problems = read_samples(settings, records)
    problems += store_problems(settings)
    problems += column_problems(settings)
    found = survey(
        samples,
        {name: model_plan(name, model, settings) for name, model in settings.models.items()},
        {name: model.labels.wait_s for name, model in settings.models.items()},
        Limits(settings.limits.record_bytes_max, settings.limits.depth_max),
    )
    problems = [*dict.fromkeys(problems), *found.problems()]
    seen = {name: asyncio.run(what_is_seen(name, settings)) for name in settings.models}
    probing = asyncio.run(what_probing_costs(settings, {one.model: one.slices for one in found.models}))
    for name, told in probing.items():
        if not told.answers:
            problems.append(f"models.{name}.probes.endpoint: no answer from {told.endpoint}: {told.error}")
    if as_json:
        rows = {name: [one.to_dict() for one in slices] for name, slices in seen.items()}
        costs = {name: told.to_dict() for name, told in probing.items()}
        rest = {"sensitivity": rows, "probes": costs, "warnings": settings.warnings(), "problems": problems}
        print_json(found.to_dict() | rest)
    else:
        print_sensitivity(console(), seen)
        print_probing(console(), probing)
        print_survey(console(), found, settings.warnings(), problems)
    raise typer.Exit(1 if problems else 0)


def read_samples(settings: Settings, records: int) -> tuple[list[Sample], list[str]]:
    """The last records of each input topic; topics that cannot be used are problems."""
    from monitor.core.decode import RawRecord
    from monitor.core.survey import Sample
    from monitor.edges.kafka import topics
    from monitor.wiring import connection

    kafka = connection(settings)
    roles: list[tuple[Literal["predictions", "labels"], str]] = [
        *(("predictions", topic) for source in settings.kafka.predictions for topic in source.topics),
        *(("labels", topic) for source in settings.kafka.labels for topic in source.topics),
    ]
    mappings = {
        topic: source.mapping
        for source in (*settings.kafka.predictions, *settings.kafka.labels)
        for topic in source.topics
    }
    samples, problems = [], []
    for kind, topic in roles:
        try:
            last = topics.read_last(kafka, topic, records, topics.SAMPLE_BYTES_MAX // len(roles))
        except MonitorError as error:
            problems.append(str(error))
            continue
        raw = [RawRecord(record.value, record.offset, record.timestamp) for record in last]
        samples.append(Sample(topic, kind, mappings[topic], raw))
    for topic in (settings.kafka.alerts.topic, settings.kafka.dead_letters.topic):
        try:
            topics.partitions(kafka, [topic])
        except MonitorError as error:
            problems.append(str(error))
    return samples, problems


def column_problems(settings: Settings) -> list[str]:
    """Columns that the settings name and the file of the reference lacks: what they hold would be missed."""
    from monitor.edges.reference import misnamed_columns

    return [
        f"models.{name}.reference.columns.{complaint}"
        for name, model in settings.models.items()
        if model.reference is not None and model.reference.file is not None
        for complaint in misnamed_columns(model.reference.file, model.reference.columns)
    ]


def store_problems(settings: Settings) -> list[str]:
    """Why the store cannot be read."""
    from monitor.wiring import open_reader

    reader = open_reader(settings)
    try:
        reader.now_ms()
    except MonitorError as error:
        tls = "; is it a port without TLS?" if settings.redis.url.startswith("rediss:") else ""
        return [f"redis.url: {error}{tls}"]
    finally:
        reader.close()
    return []
