"""`monitor replay`."""

from __future__ import annotations

import math
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.cli.common import CONFIG, AsJson, Config, console, known_model, load_reachable, pairs, print_json
from monitor.cli.progress import progress
from monitor.core.errors import KafkaError, SettingsError

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.core.mapping import Mapping
    from monitor.edges.replay import Stream, Timing

Time = Literal["keep", "shift", "compress"]


def replay(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSONL file.")],
    model: Annotated[str | None, typer.Option(help="Model of rows that name none.")] = None,
    as_: Annotated[
        Literal["predictions", "labels", "both"], typer.Option("--as", help="Which records to make of a row.")
    ] = "both",
    topic: Annotated[
        list[str] | None, typer.Option(help="Send to this configured topic; repeatable.")
    ] = None,
    rate: Annotated[str, typer.Option(help="Predictions a second, or max; event times where left out.")] = "",
    time_: Annotated[
        Time,
        typer.Option("--time", help="Keep event times, shift them to --start, or compress the gaps too."),
    ] = "keep",
    factor: Annotated[float, typer.Option(min=1e-3, help="How much compress makes gaps shorter.")] = 60.0,
    start: Annotated[str, typer.Option(help="Event time of the first row, for shift and compress.")] = "now",
    label_delay: Annotated[
        str, typer.Option(help="From prediction to label, in event time: 2s, or 1s..10m.")
    ] = "0s",
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Send labels out of order.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of delays and shuffling.")] = 0,
    column: Annotated[
        list[str] | None,
        typer.Option(help="field=column, e.g. label=repaid; repeatable, else guessed by name."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Feed a file to the topics as if it were live traffic.

    Every column that is not one of our fields is a feature. Rows without an id are named after their
    position, so that replaying a file again repeats the same requests.

    Example: `monitor replay loans.csv --model loans --column label=repaid --rate 500 --label-delay 1s..30s`

    Example: `monitor replay last-week.parquet --time compress --factor 60`
    """
    settings = load_reachable(config)
    if model is not None:
        known_model(settings, model)
    elif len(settings.models) == 1:
        model = next(iter(settings.models))
    streams: tuple[Stream, ...] = ("predictions", "labels") if as_ == "both" else (as_,)
    places = targets(settings, streams, topic or [])
    timing = timing_of(rate, time_, factor, start, label_delay, shuffle_labels, seed)
    paced = rate != "max" and (bool(rate) or time_ != "keep")

    from monitor.core.guess import overruled
    from monitor.edges.files import read_rows, row_count
    from monitor.edges.kafka.topics import TopicProducer
    from monitor.edges.reference import as_record
    from monitor.edges.replay import events, feed
    from monitor.wiring import connection

    named = named_columns(file, column or [])
    header = list(next(iter(read_rows(file)), {}))
    of_model = settings.models[model] if model else None
    columns = columns_of(
        header, of_model.reference_columns if of_model else {}, of_model.task if of_model else "binary"
    )
    columns = overruled(columns, named)
    records = (as_record(row, columns) for row in islice(read_rows(file), limit))
    sent: Counter[Stream] = Counter()
    with (
        progress(row_count(file) or limit, as_json) as advance,
        TopicProducer(connection(settings)) as producer,
    ):

        def count(stream: Stream) -> None:
            sent[stream] += 1
            if stream == streams[0]:
                advance()

        feed(
            events(records, model, streams, timing),
            producer,
            places,
            now_s=time.monotonic,
            sleep=time.sleep,
            paced=paced,
            sent=count,
        )
        producer.flush()
        failed, why = producer.failed, producer.last_error
    if failed:
        raise KafkaError(f"{failed} records were not delivered: {why}")
    if as_json:
        print_json({"file": str(file), "sent": dict(sent), "columns": columns})
    else:
        parts = [f"{count:,} {stream} to {places[stream][0]}" for stream, count in sent.items()]
        console().print(f"sent {' and '.join(parts) or 'nothing'}")


def named_columns(file: Path, texts: list[str]) -> dict[str, str]:
    """Field → column as `--column` says, each of them ours and in the file.

    Raises:
        SettingsError: every one that is not.
    """
    from monitor.config.models import REFERENCE_FIELDS
    from monitor.edges.reference import misnamed_columns

    named = pairs(texts, "--column")
    problems = [
        f"{field}: not one of our fields, which are {', '.join(REFERENCE_FIELDS)}"
        for field in named
        if field not in REFERENCE_FIELDS
    ]
    known = {field: column for field, column in named.items() if field in REFERENCE_FIELDS}
    problems += misnamed_columns(file, known) if known else []
    if problems:
        raise SettingsError(problems, "--column")
    return named


def columns_of(header: list[str], reference: dict[str, str], task: str = "binary") -> dict[str, str]:
    """Field → column: guessed by name, and as a reference file of the model has them.

    Args:
        header: columns of the file.
        reference: field → column of the model's reference, with those of its task.
        task: what the model predicts.
    """
    from monitor.core.guess import guess_columns, overruled

    guessed = guess_columns(header, task)
    return overruled(
        guessed,
        {field: column for field, column in reference.items() if column in header or field not in guessed},
    )


def targets(
    settings: Settings, streams: tuple[Stream, ...], named: list[str]
) -> dict[Stream, tuple[str, Mapping]]:
    """Topic and mapping of each stream: the first that is configured, unless one is named."""
    kinds = {"predictions": settings.kafka.predictions, "labels": settings.kafka.labels}
    unknown = [topic for topic in named if topic not in settings.kafka.input_topics]
    if unknown:
        raise SettingsError(
            [f"--topic: {name} is not an input topic of the settings" for name in unknown], "replay"
        )
    found: dict[Stream, tuple[str, Mapping]] = {}
    for stream in streams:
        places = [(topic, source.mapping) for source in kinds[stream] for topic in source.topics]
        chosen = [place for place in places if place[0] in named] or places
        if not chosen:
            raise SettingsError([f"kafka.{stream}: no topic is configured; use --as predictions"], "replay")
        found[stream] = chosen[0]
    return found


def timing_of(
    rate: str, time_: Time, factor: float, start: str, label_delay: str, shuffle_labels: bool, seed: int
) -> Timing:
    """The options as pace and event times."""
    from monitor.core.times import parse_duration, parse_instant
    from monitor.edges.replay import Timing

    try:
        rate_per_s = float(rate) if rate not in {"", "max"} else None
    except ValueError:
        rate_per_s = math.nan
    if rate_per_s is not None and not 0 < rate_per_s < 1e9:
        raise SettingsError([f"--rate: expected a number above 0, or max; got {rate}"], "monitor replay")
    try:
        shortest, _, longest = label_delay.partition("..")
        delays_s = (parse_duration(shortest), parse_duration(longest or shortest))
        start_ms = round(time.time() * 1000) if start == "now" else parse_instant(start)
    except ValueError as error:
        raise SettingsError([str(error)], "monitor replay") from None
    return Timing(
        rate_per_s=rate_per_s,
        start_ms=None if time_ == "keep" else start_ms,
        speedup=factor if time_ == "compress" else 1.0,
        label_delay_s=delays_s,
        shuffle_labels=shuffle_labels,
        seed=seed,
    )
