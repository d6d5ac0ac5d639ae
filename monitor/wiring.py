"""Settings become objects: plans, sources, stores, readers. Nothing runs yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from monitor.config import ModelSettings, Settings
from monitor.config.web import is_loopback
from monitor.core.batch import Reading
from monitor.core.detectors.finding import SliceName
from monitor.core.drift.layout import FeatureLayout
from monitor.core.evaluation import ModelEvaluation, ReferenceCounts, Silence
from monitor.core.evaluation.sensitivity import Sensitivity, sensitivities
from monitor.core.plan import ModelPlan
from monitor.core.schema.compiled import CompiledSchema
from monitor.core.schema.violations import RECORD
from monitor.core.slices.assign import SliceAssigner
from monitor.core.slices.spec import WhereSlice, features_of
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary, ClassNames, Multiclass, Regression, Task
from monitor.edges.clock import SystemClock
from monitor.edges.decoding import Source
from monitor.edges.files import read_rows
from monitor.edges.kafka import topics
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.options import FETCH_BYTES_MAX, KafkaWorkerConfig
from monitor.edges.memory import MemoryStore
from monitor.edges.pieces import parts
from monitor.edges.prepare import Preparer
from monitor.edges.redis.link import RedisAccess
from monitor.edges.redis.payload import Limits as StoreLimits
from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.store import RedisStore
from monitor.edges.reference import as_record, count_reference
from monitor.edges.web.server import LOOPBACK_NAMES, Access

STUB_WAIT_MIN_S: Final = 120
"""Stubs live at least this long, so that a worker that was down for a moment still joins its labels."""


def model_plan(name: str, model: ModelSettings, settings: Settings) -> ModelPlan:
    """What the pipeline knows of a model."""
    reading, schema = Reading(task_of(model), ModelIdentity(model.labels.sample)), model.feature_schema
    return ModelPlan(
        name=name,
        reading=reading,
        schema=None if schema is None else CompiledSchema(schema, settings.masking_key),
        slices=SliceAssigner(model.slice_specs),
        tiers=settings.tiers,
        slices_max=settings.limits.slices_max,
        layout=None if schema is None else FeatureLayout.of(schema),
    )


def task_of(model: ModelSettings) -> Task:
    """What a model predicts."""
    match model.task:
        case "multiclass":
            return Multiclass(tuple(str(name) for name in model.classes))
        case "regression":
            return Regression.in_units_of(model.unit)
        case _:
            return Binary(model.threshold, ClassNames(model.positive_class, model.negative_class))


def sources(settings: Settings) -> dict[str, Source]:
    """Topic → role and mapping."""
    kafka = settings.kafka
    found = {topic: Source("predictions", s.mapping) for s in kafka.predictions for topic in s.topics}
    return found | {topic: Source("labels", s.mapping) for s in kafka.labels for topic in s.topics}


def connection(settings: Settings) -> KafkaConnection:
    """How to reach the brokers."""
    return KafkaConnection(**settings.kafka.connection())


def open_store(settings: Settings) -> RedisStore:
    """The worker's side of the store, not yet connected."""
    waits = {name: max(model.labels.wait_s, STUB_WAIT_MIN_S) for name, model in settings.models.items()}
    return RedisStore(
        settings.redis.url,
        settings.redis.shards,
        waits,
        label_sample={name: model.labels.sample for name, model in settings.models.items()},
        stub_parts=settings.redis.stub_parts,
        limits=StoreLimits(outbox_max=settings.limits.outbox_max),
        access=_redis_access(settings),
    )


def open_reader(settings: Settings) -> RedisReader:
    """The reading side of the store; connects at the first call."""
    return RedisReader(
        settings.redis.url,
        settings.redis.shards,
        limits=StoreLimits(outbox_max=settings.limits.outbox_max),
        access=_redis_access(settings),
    )


def web_access(settings: Settings) -> Access:
    """Who may read the web pages."""
    web = settings.web
    local = is_loopback(web.host) and not web.behind_proxy
    token = None if web.token is None else web.token.get_secret_value()
    return Access(token, LOOPBACK_NAMES if local else None)


def _redis_access(settings: Settings) -> RedisAccess:
    return RedisAccess(**settings.redis.access())


def worker_config(settings: Settings) -> KafkaWorkerConfig:
    """The Kafka side of a worker."""
    kafka = settings.kafka
    share = parts(settings.redis.shards, len(settings.models))
    return KafkaWorkerConfig(
        connection=connection(settings),
        group_id=kafka.group_id,
        predictions=tuple(topic for source in kafka.predictions for topic in source.topics),
        labels=tuple(topic for source in kafka.labels for topic in source.topics),
        isolation_level=kafka.isolation_level,
        poll_records_max=share * settings.worker.poll_records_max,
        fetch_bytes_max=share * FETCH_BYTES_MAX,
        rebalance_timeout_s=settings.worker.rebalance_timeout_s,
        session_timeout_s=min(20.0, 2.0 * settings.worker.rebalance_timeout_s),
        stall_s=settings.worker.stall_timeout_s,
    )


def model_evaluation(
    name: str, settings: Settings, reference: ReferenceCounts, *, watch_partitions: bool
) -> ModelEvaluation:
    """What the evaluator knows of a model."""
    model, schema = settings.models[name], settings.models[name].feature_schema
    topics_of = sources(settings)
    tolerated = {} if schema is None else {f: feature.tolerated for f, feature in schema.features.items()}
    return ModelEvaluation(
        model=name,
        prediction_topics=frozenset(t for t, source in topics_of.items() if source.kind == "predictions"),
        label_topics=frozenset(t for t, source in topics_of.items() if source.kind == "labels"),
        tiers=settings.tiers,
        tolerated=tolerated if schema is None else tolerated | {RECORD: schema.tolerated},
        features=len(tolerated),
        schema=schema,
        named_slices={s.name: features_of(s) for s in model.slices if isinstance(s, WhereSlice)},
        protected=frozenset(model.protected),
        reference=reference,
        false_alarms_per_s=model.alerts.false_alarms_per_s,
        min_effect=model.alerts.min_effect,
        label_wait_s=model.labels.wait_s,
        ready_at=model.labels.ready_at,
        grace_s=settings.worker.grace_s,
        silences=tuple(Silence(s.from_ms, s.to_ms, 1000 * (s.repeat_s or 0)) for s in model.alerts.silences),
        probes=None if model.probes is None else model.probes.tolerated,
        watch_partitions=watch_partitions,
        sensitive_key=settings.masking_key,
        task=task_of(model),
        legitimate=tuple(spec.feature for spec in model.legitimate),
    )


async def what_is_seen(name: str, settings: Settings) -> list[Sensitivity]:
    """Rows it takes to see each slice of a model fail, by its reference file; empty without one."""
    model = settings.models[name]
    if model.reference is None or model.reference.file is None:
        return []
    store = MemoryStore(1, {name: STUB_WAIT_MIN_S}, SystemClock())
    plan = model_plan(name, model, settings)

    async def answered(call: Callable[[], Awaitable[Any]]) -> Any:
        return await call()

    columns = model.reference_columns
    records = (as_record(row, columns) for row in read_rows(model.reference.file))
    reference = await count_reference(plan, Preparer(store, answered), records)
    config = model_evaluation(name, settings, reference, watch_partitions=False)
    ids = await store.registry(name, "slices")
    return sensitivities(config, [SliceName(i, key, config.named_slices) for key, i in ids.items()])


def topic_specs(settings: Settings, partitions: int = 4) -> list[topics.TopicSpec]:
    """Every topic the settings name, for `monitor init --create-topics` and the bundled broker."""
    kafka = settings.kafka
    return [
        *(topics.TopicSpec(name, partitions) for name in kafka.input_topics),
        topics.TopicSpec(kafka.alerts.topic, 1, compacted=True),
        topics.TopicSpec(kafka.dead_letters.topic, 1),
    ]
