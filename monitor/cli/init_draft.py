"""What `monitor init` makes of a file's rows, or of the records of topics."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monitor.cli.common import console
from monitor.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from monitor.config.draft import Draft
    from monitor.core.guess_task import TaskGuess
    from monitor.core.mapping import Mapping as FieldMapping
    from monitor.edges.kafka.connection import KafkaConnection

PREDICTIONS: Final = "predictions"
"""The topic of predictions where no other is named."""

_SCHEMA_FOLDER: Final = "schemas"
_NAMES_SHOWN: Final = 8

Record = dict[str, Any]
Places = tuple[str, str, str]
"""Brokers, the store, and the topic of labels."""

_JUDGED: Final[dict[str, tuple[str, ...]]] = {
    "binary": ("score", "decision"),
    "multiclass": ("probabilities", "decision"),
    "regression": ("value",),
}
"""Fields of which a record needs one to be judged by its label."""


@dataclass(frozen=True)
class _Task:
    """What the model predicts, with what the settings say of that."""

    guess: TaskGuess
    keys: Mapping[str, Any]
    doubts: tuple[str, ...]

    @classmethod
    def of(cls, answers: Mapping[str, Sequence[Any]], said: str | None) -> _Task:
        """Guessed from the values of fields, unless it is said."""
        from monitor.config.draft import guess_binary
        from monitor.core.guess_task import TaskGuess, guess_classes, guess_task, guess_unit

        guess = guess_task(answers) if said is None else TaskGuess(said, "--task says so")
        if guess.task == "multiclass":
            classes, doubts = guess_classes(answers)
            return cls(guess, {"classes": classes}, (*guess.doubts, *doubts))
        if guess.task == "regression":
            return cls(guess, {"unit": guess_unit(answers)}, guess.doubts)
        positive, negative = guess_binary(answers.get("label", ()))
        return cls(guess, {"positive_class": positive, "negative_class": negative}, guess.doubts)


def from_file(
    sample: Path,
    model: str | None,
    named: dict[str, str],
    rows: int,
    config: Path,
    places: Places,
    task: str | None = None,
) -> Draft:
    """A draft from a file's first rows."""
    from monitor.config.draft import Draft
    from monitor.core.guess import guess_columns, model_name, overruled
    from monitor.core.schema.inference import infer
    from monitor.edges.files import first_rows
    from monitor.edges.reference import as_record, structured

    found = first_rows(sample, rows)
    header = list(dict.fromkeys(name for row in found for name in row))
    missing = [column for column in named.values() if column not in header]
    if missing:
        raise SettingsError(
            [f"no column {name!r}; there are {', '.join(header)}" for name in missing], str(sample)
        )
    plain = any(isinstance(row.get("features"), dict) for row in found)
    odd = [(field, column) for field, column in named.items() if plain and column != field]
    if odd:
        raise SettingsError(
            [
                f"{column}: rows with `features` are read as they are; name it {field}"
                for field, column in odd
            ],
            str(sample),
        )
    places_of = overruled(_places_of_answers(header, plain), named)
    values = [row.get(places_of.get("model", "model")) for row in found]
    names, odd_names = _model_names(values), _no_names(values)
    mostly_odd = bool(odd_names) and len(odd_names) >= names.total()
    if model is None and len(names) > 1 and not mostly_odd:
        raise SettingsError([f"{_several(names)}; say which with --model. {_ANOTHER}"], str(sample))
    foreign = model not in names if model is not None and names else mostly_odd
    mixed = not foreign and len(names) + bool(odd_names) > 1
    name = model or model_name(() if foreign else names, sample.name.split(".")[0])
    if mixed:
        found = [row for row, value in zip(found, values, strict=True) if value == name]
    answers = _answers(found, places_of)
    if not plain and "score" not in places_of and _are_probabilities(answers.get("decision", ())):
        named = {"score": places_of["decision"]} | {f: c for f, c in named.items() if f != "decision"}
        answers["score"] = answers.pop("decision")
    if any(isinstance(value, dict | list) for value in answers.get("score", ())):
        answers["probabilities"] = answers["score"]
    it = _Task.of(answers, task)
    kind = it.guess.task
    columns = {} if plain else overruled(guess_columns(header, kind), _renamed(named, kind, answers))
    records = [as_record(row, columns) for row in found]
    features = [record["features"] for record in records if isinstance(record.get("features"), dict)]
    judged = not mixed and any(
        r.get("label") is not None and any(r.get(field) is not None for field in _JUDGED[kind])
        for r in records
    )
    notes = [*it.doubts, *_absent_columns(records, kind, plain)]
    if "probabilities" in columns and not any(map(structured, answers.get("probabilities", ()))):
        column = columns["probabilities"]
        notes.append(f"probabilities: {column} holds neither lists nor objects as JSON; it is left out")
    if foreign and odd_names:
        what = f"{places_of.get('model', 'model')} holds {odd_names[0]!r}, which is no name of a model"
        notes.append(f"model: {what}; all rows are taken, but give the column another name before a replay")
    elif foreign:
        what = f"{_several(names)}, none of them {name}"
        notes.append(f"model: {what}; all rows are taken, but a feature needs another name")
    elif mixed:
        notes.append(f"reference: {_several(names)}; a file of {name} alone can be its reference")
    base = config.resolve().parent
    path = sample.resolve()
    file = str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
    return Draft(
        model=name,
        schema=infer(features),
        schema_path=f"{_SCHEMA_FOLDER}/{name}.yaml",
        bootstrap_servers=places[0],
        redis_url=places[1],
        predictions_topic=PREDICTIONS,
        labels_topic=places[2],
        task=kind,
        why=it.guess.why,
        columns=columns,
        reference=file if judged else None,
        absent=notes,
        **it.keys,
    )


_ANOTHER: Final = (
    "Each goes to settings of its own (-c other.yaml); to watch them together, copy the section under "
    "`models` from one file to the other"
)


def _places_of_answers(header: Sequence[str], plain: bool) -> dict[str, str]:
    """Field → column of everything that may be a label or an answer, whatever the task."""
    from monitor.core.guess import ANSWERS, NAMES, guess_columns

    if plain:
        return {field: field for field in NAMES if field in header}
    found: dict[str, str] = {}
    for task in ANSWERS:
        found = guess_columns(header, task) | found
    if found.get("value") in (found.get("score"), found.get("decision")):
        found.pop("value", None)
    return found


def _answers(rows: Sequence[Record], places: Mapping[str, str]) -> dict[str, list[Any]]:
    """Field → its values; lists and objects that a table holds as text are read."""
    from monitor.edges.reference import structured

    read = {field for field in places if field not in {"label", "model", "request_id", "timestamp"}}
    return {
        field: [(structured(row.get(column)) if field in read else None) or row.get(column) for row in rows]
        for field, column in places.items()
    }


def _are_probabilities(values: Iterable[Any]) -> bool:
    """Numbers between 0 and 1 with a fraction: no classes, whatever the name says."""
    there = [value for value in values if value is not None]
    return all(isinstance(value, int | float) and 0 <= value <= 1 for value in there) and any(
        isinstance(value, float) and not value.is_integer() for value in there
    )


def _renamed(named: Mapping[str, str], task: str, answers: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Columns that a person has named, under the fields that models of the task have."""
    found = dict(named)
    if task == "regression":
        field = next((field for field in ("score", "decision") if field in found), None)
        if field is not None:
            found["value"] = found.pop(field)
    elif task == "multiclass" and any(isinstance(value, dict | list) for value in answers.get("score", ())):
        found["probabilities"] = found.pop("score", found.get("probabilities", ""))
    return found


def _absent_columns(records: Sequence[Record], task: str, plain: bool) -> list[str]:
    answer = {
        "binary": ("score or decision", "--score COLUMN or --decision COLUMN"),
        "multiclass": ("probabilities or decision", "--score COLUMN or --decision COLUMN"),
        "regression": ("value", "--score COLUMN"),
    }[task]
    looked_for = (
        ("label", "without it the file is no reference", "--label COLUMN", ("label",)),
        (answer[0], "without it the file is no reference", answer[1], _JUDGED[task]),
        ("timestamp", "replayed rows are timed as they are sent", "--timestamp COLUMN", ("timestamp",)),
        ("request_id", "replayed rows are named after their position", "--id COLUMN", ("request_id",)),
    )  # fmt: skip
    return [
        f"{names}: no such column; {what}. Name it" + (" so in the file" if plain else f": {option}")
        for names, what, option, fields in looked_for
        if not any(record.get(field) is not None for record in records for field in fields)
    ]


def from_topic(
    topic: str, model: str | None, rows: int, connection: KafkaConnection, places: Places, task: str | None
) -> Draft:
    """A draft from the last records of the topics of predictions and of labels."""
    from monitor.core.errors import KafkaError
    from monitor.edges.kafka.topics import SAMPLE_BYTES_MAX, read_last

    last = read_last(connection, topic, rows, SAMPLE_BYTES_MAX // 2)
    console().print(f"read the last {len(last):,} records of {topic}", markup=False)
    records = objects(record.value for record in last)
    if not records:
        raise SettingsError([f"the topic {topic} holds no JSON object to learn from"], "monitor init")
    try:
        last = read_last(connection, places[2], rows, SAMPLE_BYTES_MAX // 2)
    except KafkaError:
        last = []  # there need be no labels yet
    else:
        console().print(f"read the last {len(last):,} records of {places[2]}", markup=False)
    labels = objects(record.value for record in last)
    return from_records(records, labels, topic, model, places, task)


def from_records(
    records: list[Record],
    labels: list[Record],
    topic: str,
    model: str | None,
    places: Places,
    task: str | None = None,
) -> Draft:
    """A draft from the predictions and labels of two topics."""
    from monitor.config.draft import Draft
    from monitor.core.guess import NAMES, fields_of, guess_mapping, model_name
    from monitor.core.mapping import Mapping
    from monitor.core.schema.inference import infer

    names = _model_names(_values(records, "model"))
    if model is None and len(names) > 1:
        problem = f"{topic} is shared: {_several(names)}; say which with --model. {_ANOTHER}"
        raise SettingsError([problem], "monitor init")
    if model is not None and names and model not in names:
        raise SettingsError([f"--model {model}: {topic} has none of it; {_several(names)}"], "monitor init")
    name = model or model_name(names, "model")
    notes = []
    if names:
        records = _of_model(records, name)
        named = _model_names(_values(labels, "model"))
        if named:
            labels = _of_model(labels, name)
            if not labels:
                notes.append(f"labels: {places[2]} has none of {name}; {_several(named)}")
        elif labels and len(names) > 1:
            notes.append(f"model: not found in {places[2]}; all its labels are taken for those of {name}")

    answers = {
        f: _values(records, f) for f in NAMES if f not in {"label", "request_id", "timestamp", "model"}
    }
    if answers["value"] in (answers["score"], answers["decision"]):
        answers["value"] = []
    label_paths = guess_mapping(labels, ("request_id", "timestamp", "model", "label"), name) if labels else {}
    label_mapping = Mapping.parse(label_paths)
    answers["label"] = [label_mapping.get("label", record) for record in labels]
    # Where records have it as `decision` already, no mapping takes it back.
    of_score = "decision" in guess_mapping(records, ("features", "decision"), name)
    of_score = of_score and not any(value is not None for value in answers["score"])
    of_score = of_score and _are_probabilities(answers["decision"])
    if of_score:
        answers["score"], answers["decision"] = answers["decision"], []
    it = _Task.of(answers, task)
    kind = it.guess.task

    fields = ("features", *(field for field in fields_of(kind) if field != "label"))
    paths = guess_mapping(records, fields, name)
    if of_score and kind == "binary":
        paths["score"] = paths.pop("decision")
    mapping = Mapping.parse(paths)
    features = [found for r in records if isinstance(found := mapping.get("features", r), dict)]
    if not features:
        raise SettingsError([_no_features(topic)], "monitor init")
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
        task=kind,
        why=it.guess.why,
        absent=[
            *it.doubts,
            *notes,
            *absent(mapping, records, topic, ("request_id", "timestamp", "|".join(_JUDGED[kind]))),
            *(absent(label_mapping, labels, places[2], ("request_id", "label")) if labels else ()),
        ],
        **it.keys,
    )


def _no_features(topic: str) -> str:
    from monitor.core.guess import FEATURES

    return (
        f"{topic}: no record has an object of features (looked for {', '.join(FEATURES)}). Have the producer "
        "put them under one such key; or write the settings by hand (docs/settings.md) with "
        "mapping: {features: $.PATH}. Rows of a flat file are read by --sample FILE"
    )


def absent(mapping: FieldMapping, records: list[Record], topic: str, fields: Sequence[str]) -> list[str]:
    """Fields of which no record has any; of those parted by a bar, one is enough."""
    then = {"timestamp": ", so event time is Kafka's"}
    return [
        f"{field.replace('|', ' or ')}: not found in {topic}{then.get(field, '')}; "
        "name its path under mapping"
        for field in fields
        if not any(mapping.get(name, record) is not None for record in records for name in field.split("|"))
    ]


def _values(records: Sequence[Record], field: str) -> list[Any]:
    """The values of a field where a record keeps it, as far as names tell."""
    from monitor.core.guess import guess_mapping
    from monitor.core.mapping import Mapping

    paths = guess_mapping(records, ("features", field), "")
    get = Mapping.parse({name: path for name, path in paths.items() if path != "="}).getters[field]
    return [get(record) for record in records]


def _of_model(records: Sequence[Record], name: str) -> list[Record]:
    return [r for r, found in zip(records, _values(records, "model"), strict=True) if found == name]


def _model_names(values: Iterable[Any]) -> Counter[str]:
    """Names that a model can have, with their records."""
    from monitor.core.guess import MODEL_NAME

    return Counter(value for value in values if isinstance(value, str) and MODEL_NAME.fullmatch(value))


def _no_names(values: Iterable[Any]) -> list[Any]:
    """What stands where the name of a model would and can be none."""
    return [value for value in values if value is not None and not _model_names([value])]


def _several(names: Counter[str]) -> str:
    listed = [f"{name} ({count:,})" for name, count in names.most_common(_NAMES_SHOWN)]
    more = f" and {len(names) - len(listed)} more" if len(names) > len(listed) else ""
    return f"its records are of {', '.join(listed)}{more}"


def objects(values: Iterable[bytes | None]) -> list[Record]:
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
