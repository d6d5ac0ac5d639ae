"""What would become of the last records of each topic: decoded, judged, joined, priced. Nothing is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np

from monitor.core.batch import PredictionBatch, read_labels, read_predictions
from monitor.core.costs import Memory, memory
from monitor.core.decode import Limits, RawRecord, Rejected, Unreadable, by_model, decode_chunk
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.plan import ModelPlan
from monitor.core.schema.violations import RECORD, Code
from monitor.core.tasks import Binary
from monitor.core.tasks.answers import UNKNOWN

_MEANINGLESS_MAX: Final = 0.2
"""Share of labels that may mean nothing, such as `pending`."""


@dataclass(frozen=True)
class Sample:
    """The last records of one topic, oldest first."""

    topic: str
    kind: Literal["predictions", "labels"]
    mapping: FieldMapping
    records: Sequence[RawRecord]


@dataclass(frozen=True)
class TopicSurvey:
    """What a topic's records are.

    Attributes:
        topic: its name.
        kind: predictions or labels.
        records: how many were read.
        readable: how many of them become rows.
        unreadable: reason → (how many, the detail of the first).
        rate_per_s: records a second over the sample by their Kafka times; None below two records.
    """

    topic: str
    kind: str
    records: int
    readable: int
    unreadable: dict[str, tuple[int, str]]
    rate_per_s: float | None


@dataclass(frozen=True)
class ViolationSurvey:
    """One way in which records break the schema."""

    feature: str
    code: str
    count: int
    rate: float
    example: str


@dataclass(frozen=True)
class ModelSurvey:
    """What is known of a model from the samples.

    Attributes:
        model: its name.
        predictions: predictions in the samples.
        answered: how many of them carry an answer that can be judged: a score, a decision, probabilities,
            a value, as the task has it.
        fields: where the task looks for it.
        violations: ways in which they break the schema, most frequent first.
        labels: readable labels in the samples.
        joined: how many of them find their prediction in the samples. Labels that come later than the
            sample reaches do not, so this is a lower bound.
        slices: slices with traffic in the samples.
        memory: what the model takes in the store at the sample's rate.
    """

    model: str
    predictions: int
    answered: int
    fields: tuple[str, ...]
    violations: list[ViolationSurvey]
    labels: int
    joined: int
    slices: int
    memory: Memory


@dataclass(frozen=True)
class Survey:
    """All topics and all models."""

    topics: list[TopicSurvey]
    models: list[ModelSurvey]

    def to_dict(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return asdict(self)

    def problems(self) -> list[str]:
        """What makes the monitor useless: topics of which nothing can be read, models without any answer.

        So do labels of which many mean nothing: what is measured by the others alone is wrong.
        """
        unread = [
            f"{topic.topic}: none of {topic.records} records can be read; see kafka.{topic.kind}.mapping"
            for topic in self.topics
            if topic.records and not topic.readable
        ]
        unread += [
            f"{topic.topic}: {count} of {topic.records} labels mean nothing to their model"
            + (f": {detail}" if detail else "; see positive_class, negative_class, classes and unit")
            for topic in self.topics
            if topic.readable
            for count, detail in [topic.unreadable.get(Unreadable.UNKNOWN_LABEL, (0, ""))]
            if count > _MEANINGLESS_MAX * topic.records
        ]
        return unread + [
            f"{model.model}: no prediction has an answer that can be judged ({', '.join(model.fields)}); "
            f"name where it is, e.g. kafka.predictions.mapping: {{{model.fields[0]}: $.output}}"
            for model in self.models
            if model.predictions and not model.answered
        ]


@dataclass
class _Tally:
    """What is gathered of one model while topics are read."""

    predictions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    answered: int = 0
    violations: Counter[tuple[str, Code]] = field(default_factory=Counter)
    examples: dict[tuple[str, Code], str] = field(default_factory=dict)
    slices: set[tuple[int, Any]] = field(default_factory=set)
    rate_per_s: float = 0.0


def survey(
    samples: Sequence[Sample], plans: Mapping[str, ModelPlan], waits_s: Mapping[str, int], limits: Limits
) -> Survey:
    """Judge samples of topics as a worker would.

    Args:
        samples: one a topic.
        plans: the configured models by name.
        waits_s: the label wait of each model.
        limits: size and nesting of a record.
    """
    tallies = {name: _Tally() for name in plans}
    topics = [_read(sample, plans, tallies, limits) for sample in samples]
    models = []
    for name, plan in plans.items():
        tally = tallies[name]
        known = set(tally.predictions)
        total = len(tally.predictions)
        models.append(
            ModelSurvey(
                model=name,
                predictions=total,
                answered=tally.answered,
                fields=plan.reading.task.fields,
                violations=[
                    ViolationSurvey(feature, code.slug, count, count / total, tally.examples[feature, code])
                    for (feature, code), count in tally.violations.most_common()
                ],
                labels=len(tally.labels),
                joined=sum(request_id in known for request_id in tally.labels),
                slices=len(tally.slices),
                memory=memory(
                    tally.rate_per_s,
                    waits_s[name],
                    plan.reading.identity.sample,
                    min(len(tally.slices), plan.slices_max),
                    plan.tiers,
                    plan.layout,
                ),
            )
        )
    return Survey(topics, models)


def _read(
    sample: Sample, plans: Mapping[str, ModelPlan], tallies: Mapping[str, _Tally], limits: Limits
) -> TopicSurvey:
    rows, rejected = decode_chunk(sample.records, sample.mapping, plans, limits)
    rate_per_s = _rate_per_s(sample.records)
    readable = len(rows)
    for name, group in by_model(rows).items():
        plan, tally = plans[name], tallies[name]
        if sample.kind == "labels":
            labels, refused = read_labels(group, sample.mapping, plan.reading, name)
            tally.labels += labels.request_ids
            rejected = [*rejected, *refused]
            readable -= len(refused)
        else:
            batch = read_predictions(group, sample.mapping, plan.reading, name, plan.masking)
            _judge(batch, plan, tally)
            tally.rate_per_s += (rate_per_s or 0.0) * len(group) / len(sample.records)
    return TopicSurvey(
        sample.topic, sample.kind, len(sample.records), readable, _reasons(rejected, plans), rate_per_s
    )


def _judge(batch: PredictionBatch, plan: ModelPlan, tally: _Tally) -> None:
    tally.predictions += batch.request_ids
    answers, task = batch.answers, plan.reading.task
    answered = answers.decisions != UNKNOWN
    if not isinstance(task, Binary) or task.threshold is None:  # with one, a score alone decides
        answered |= ~np.isnan(answers.numbers)
    tally.answered += int(answered.sum())
    for _, code, received in batch.faults:
        tally.violations[RECORD, code] += 1
        tally.examples.setdefault((RECORD, code), f"received {received}")
    if plan.schema is not None:
        found = plan.schema.check_chunk(batch.features)
        for j in range(len(found)):
            feature, code = int(found.feature[j]), Code(int(found.code[j]))
            name = plan.schema.names[feature] if feature >= 0 else RECORD
            tally.violations[name, code] += 1
            if (name, code) not in tally.examples:
                tally.examples[name, code] = found.explain(batch.features, j).message
    for index, column in enumerate(plan.slices.tokens(batch.features, batch.versions)):
        tally.slices |= {(index, token) for token in column if token is not None}


def _rate_per_s(records: Sequence[RawRecord]) -> float | None:
    times_ms = [record.kafka_ms for record in records if record.kafka_ms >= 0]
    span_ms = max(times_ms) - min(times_ms) if times_ms else 0
    return (len(times_ms) - 1) / span_ms * 1000 if span_ms > 0 else None


def _reasons(rejected: Sequence[Rejected], plans: Mapping[str, ModelPlan]) -> dict[str, tuple[int, str]]:
    # As in dead letters: of what cannot be read nobody knows which part is sensitive.
    withheld = any(plan.masking.features for plan in plans.values())
    counts = Counter(str(reject.reason) for reject in rejected)
    details: dict[str, str] = {}
    for reject in rejected:
        details.setdefault(str(reject.reason), "" if withheld else reject.detail)
    return {reason: (count, details[reason]) for reason, count in counts.most_common()}
