"""The first `monitor.yaml` of somebody, made from a sample of their records, ready to edit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from monitor.core.schema import FeatureSchema, FeatureType

_SLICES_MAX: Final = 6
_CATEGORIES_MAX: Final = 20
_PROTECTED: Final = frozenset(
    {"sex", "gender", "race", "ethnicity", "religion", "disability", "nationality", "marital_status"}
)
_POSITIVE: Final = frozenset(
    {"1", "true", "yes", "y", "positive", "bad", "default", "fraud", "churn", ">50k"}
)


@dataclass(frozen=True)
class Draft:
    """What is known before a person has said anything.

    Attributes:
        model: the model's name.
        schema: inferred from the sample.
        schema_path: where the schema file is, as the settings name it.
        bootstrap_servers: brokers.
        redis_url: the store.
        predictions_topic: where predictions are.
        labels_topic: where labels are.
        predictions_mapping: field → path, where it differs from the plain form.
        labels_mapping: field → path, where it differs from the plain form.
        task: what the model predicts.
        why: what in the sample says so.
        positive_class: of a binary model, as labels name it.
        negative_class: of one whose labels name it by another number than 0.
        classes: of a multiclass model, as labels name them.
        unit: of a regression model, an ordinary size of a value.
        columns: field → column of the sample file.
        reference: file of judged rows; None where there is none.
        absent: what the sample does not show, for a person to find.
    """

    model: str
    schema: FeatureSchema
    schema_path: str
    bootstrap_servers: str
    redis_url: str
    predictions_topic: str
    labels_topic: str
    predictions_mapping: Mapping[str, str] = field(default_factory=dict)
    labels_mapping: Mapping[str, str] = field(default_factory=dict)
    task: str = "binary"
    why: str = ""
    positive_class: bool | int | str = 1
    negative_class: int | None = None
    classes: Sequence[bool | int | str] = ()
    unit: float = 1.0
    columns: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    absent: Sequence[str] = ()

    def text(self) -> str:
        """The settings file."""
        slices = suggested_slices(self.schema)
        protected = [name for name in self.schema.features if name.lower() in _PROTECTED]
        lines = [
            "# Settings of the monitor; docs/settings.md has every key. `monitor check` tries them out.",
            "kafka:",
            f"  bootstrap_servers: {_flow(self.bootstrap_servers)}",
            f"  predictions: {_source(self.predictions_topic, self.predictions_mapping)}",
            f"  labels: {_source(self.labels_topic, self.labels_mapping)}",
            "  alerts: {topic: model-alerts}",
            "  dead_letters: {topic: monitor-dead-letters}",
            f"redis: {{url: {_flow(self.redis_url)}, shards: 1}}",
            "models:",
            f"  {_flow(self.model)}:",
            f"    task: {self.task}",
            *self._of_task(),
            f"    schema: {_flow(self.schema_path)}",
        ]
        if self.reference is not None:
            columns = {name: column for name, column in self.columns.items() if name != column}
            reference = {"file": self.reference} | ({"columns": columns} if columns else {})
            lines.append(f"    reference: {_flow(reference)}")
        else:
            lines.append(
                "    # reference: {file: reference.parquet}  # judged rows; without it the model learns"
            )
        lines += ["    slices:  # groups that are measured on their own"] if slices else ["    slices: []"]
        lines += [f"      - {_flow(name)}" for name in slices]
        lines += ["      # - [sex, race]", "      # - {feature: age, bins: [25, 40, 65]}"] if slices else []
        lines += [
            f"    protected: {_flow(protected)}  # features whose groups must be served alike",
            "    labels: {wait: 1d, ready_at: 0.95}  # how long labels may take",
            "    alerts: {false_alarms: 1 per month, min_effect: 1.25}",
        ]
        return "\n".join(lines) + "\n"

    def _of_task(self) -> list[str]:
        """The keys that models of the task have."""
        if self.task == "regression":
            unit = int(self.unit) if self.unit.is_integer() and self.unit < 1e15 else self.unit
            return [f"    unit: {_flow(unit)}  # an ordinary size of a value"]
        if self.task == "multiclass":
            # Settings ask for two classes at least; what a person has to fill in must still be read back.
            names = [*self.classes, *(f"class {n}" for n in range(len(self.classes) + 1, 3))]
            return [f"    classes: {_flow(names)}  # every one, as labels name it"]
        lines = [
            "    threshold: 0.5  # a score from here on is a positive decision, where none is sent",
            f"    positive_class: {_flow(self.positive_class)}  # as labels name it",
        ]
        if self.negative_class is not None:
            lines.append(f"    negative_class: {self.negative_class}")
        return lines


def suggested_slices(schema: FeatureSchema) -> list[str]:
    """Features with few categories: those that are often protected first, then in the schema's order."""
    few = [
        name
        for name, feature in schema.features.items()
        if feature.type is FeatureType.BOOLEAN
        or (feature.type is FeatureType.CATEGORY and 2 <= len(feature.categories or ()) <= _CATEGORIES_MAX)
    ]
    few.sort(key=lambda name: name.lower() not in _PROTECTED)
    return few[:_SLICES_MAX]


def guess_binary(labels: Iterable[Any]) -> tuple[bool | int | str, int | None]:
    """The positive class among labels, and the negative one where it has to be said.

    Of numbers it is the greater, of texts one that says so, else the rarer; 1 for 0 and 1.

    >>> guess_binary(["<=50K", ">50K", "<=50K"]), guess_binary([0, 1, 0]), guess_binary([2.0, 4.0, 2.0])
    (('>50K', None), (1, None), (4, 2))
    """
    whole = (int(x) if isinstance(x, float) and x.is_integer() else x for x in labels)
    counts = Counter(label for label in whole if isinstance(label, bool | int | str))
    texts = {label: str(label).strip().lower() for label in counts}
    if not counts or set(texts.values()) <= {"0", "1", "true", "false"}:
        return 1, None
    numbers = sorted(label for label in counts if isinstance(label, int))
    if len(numbers) == len(counts) == 2:
        return numbers[1], numbers[0]
    for label, text in texts.items():
        if text in _POSITIVE:
            return label, None
    return min(counts, key=lambda label: (counts[label], str(label))), None


def _source(topic: str, mapping: Mapping[str, str]) -> str:
    return _flow({"topics": [topic]} | ({"mapping": dict(mapping)} if mapping else {}))


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()
