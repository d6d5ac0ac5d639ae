"""What is read of the store for the alerts of a step, so that each shows what it rests on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgpack
import numpy as np

from monitor.core.alerts import Step
from monitor.core.counters import ALL_SLICE, SCALARS, CellKey, Counts, SliceCounts
from monitor.core.detectors.finding import clock
from monitor.core.detectors.mean_tables import MeanMetric
from monitor.core.evaluation import Bucket, ModelEvaluation, gap_notes
from monitor.core.hints import HINTS, Hint
from monitor.core.records import Alert
from monitor.core.schema.evolution import propose
from monitor.core.schema.violations import Code
from monitor.core.slices.spec import slice_key
from monitor.core.understood import understood
from monitor.ports import EvaluatorStore

CASES_SHOWN: Final = 3
"""Cases of a probe on an alert."""

REQUESTS_SHOWN: Final = 10
"""Request ids on an alert."""

WITHIN_KEYS_MAX: Final = 4_000
"""Arrays read to compare within strata."""

HINT_NEAR_MS: Final = 60_000
"""Event time between a worker's hint and the start of the alert that quotes it."""

Read = Callable[[Sequence[int], Sequence[int]], Sequence[Bucket]]
"""Starts of buckets of the label tier (epoch s), slice ids → buckets with a row per slice."""


def evidence(
    store: EvaluatorStore, config: ModelEvaluation, step: Step, until_s: int, read: Read
) -> dict[str, dict[str, Any]]:
    """Fields to add to alerts, by identity (`alerts.with_evidence`).

    An alert that just opened shows the newest requests behind it, hints of workers, and the change of the
    schema that would accept them. A gap says what it comes from, anew whenever it is published.

    Args:
        store: of the evaluator.
        config: of the model.
        step: what the lifecycle changed.
        until_s: event time up to which traffic is complete, epoch s.
        read: reads buckets.
    """
    found: dict[str, dict[str, Any]] = {}
    hints = [Hint.unpack(one) for one in store.evidence(config.model, HINTS)] if step.samples else []
    for identity, name in step.samples.items():
        samples = samples_of(store.evidence(config.model, name))
        ids = [sample.get("request_id") for sample in samples]
        shown = list(dict.fromkeys(i for i in ids if isinstance(i, str)))[:REQUESTS_SHOWN]
        alert = step.book.alerts[identity]
        found[identity] = {"request_ids": shown, "notes": [*alert.notes, *quoted(hints, alert)]}
        if cases := cases_of(samples, config.model):
            found[identity]["cases"] = cases
        subject = alert.subject
        if config.schema is not None and "code" in subject:
            received = [text for sample in samples if isinstance(text := sample.get("received"), str)]
            code = Code.from_slug(subject["code"])
            changes = propose(config.schema, subject["feature"], code, received)
            found[identity]["schema_change"] = [change.to_dict() for change in changes]
    for alert in step.transitions:
        if not gap_notes.concerned(alert):
            continue
        slice_id = store.registry(config.model, "slices").get(slice_key(alert.subject["slice"]))
        if slice_id is None:
            continue
        before, since = (
            [bucket.scalars for bucket in read(starts, (ALL_SLICE, slice_id))]
            for starts in gap_notes.stretches(alert, config.label_tier.bucket_s, until_s)
        )
        more = found.setdefault(alert.identity, {})
        told = alert.model_copy(update={"notes": more.get("notes", alert.notes)})
        more["notes"] = gap_notes.notes(told, before, since, config.label_tier.bucket_s, until_s)
        if gap_notes.of_means(alert):
            more["notes"] += _within(store, config, alert, until_s)
    return found


def _within(store: EvaluatorStore, config: ModelEvaluation, alert: Alert, until_s: int) -> list[str]:
    """What an alert of a gap between means says of like cases."""
    strata = gap_notes.strata_of(alert, config.legitimate, store.registry(config.model, "slices"))
    ids = sorted({slice_id for parts in strata.values() for _, _, slice_id in parts})
    if not ids:
        return []
    unlabelled = alert.subject["metric"] in (MeanMetric.MEAN_VALUE, MeanMetric.MEAN_SCORE)
    tier = config.tier if unlabelled else config.label_tier
    _, since = gap_notes.stretches(alert, tier.bucket_s, until_s)
    since = since[-max(1, WITHIN_KEYS_MAX // len(ids)) :]
    kinds = (SCALARS,) if config.answers is None else (SCALARS, config.answers)
    keys = [CellKey(kind, tier, at_s, config.model, i) for i in ids for kind in kinds for at_s in since]
    arrays = iter(store.read(keys))
    counts = {}
    for slice_id in ids:
        summed = {kind: _sum([next(arrays) for _ in since]) for kind in kinds}
        scalars = np.zeros(SCALARS.size, np.int64)
        held = summed.pop(SCALARS)
        scalars[: len(held)] = held
        counts[slice_id] = SliceCounts(scalars).holding(summed, config.unit)
    return gap_notes.within_notes(alert, strata, counts)


def _sum(arrays: Sequence[Counts | None]) -> Counts:
    """The sum of arrays that may be of several lengths, or not there."""
    some = [array for array in arrays if array is not None]
    total = np.zeros(max((len(array) for array in some), default=0), np.int64)
    for array in some:
        total[: len(array)] += array
    return total


@understood("a sample")
def samples_of(stored: Sequence[bytes]) -> list[dict[str, Any]]:
    """Samples as they are stored, the newest first."""
    samples = [msgpack.unpackb(sample) for sample in stored]
    if not all(isinstance(sample, dict) for sample in samples):
        raise ValueError("no mapping")
    return samples


@understood("a case of a probe")
def cases_of(samples: Sequence[Mapping[str, Any]], model: str) -> list[dict[str, Any]]:
    """The worst cases among samples of a probe, each with the command that asks again."""
    cases = [json.loads(sample["case"]) for sample in samples if isinstance(sample.get("case"), bytes | str)]
    cases.sort(key=lambda case: (not case["flipped"], -case["severity"], case["id"]))
    return [
        {**case, "replay": f"monitor probes {model} --replay {case['id']}"} for case in cases[:CASES_SHOWN]
    ]


@understood("a case of a probe")
def case_by_id(store: EvaluatorStore, model: str, case_id: str) -> dict[str, Any] | None:
    """A case among the worst of a model, or on one of its alerts."""
    held = [json.loads(value) for value in store.worst_cases(model)]
    held += [case for value in store.alerts(model).values() for case in json.loads(value).get("cases", ())]
    return next((case for case in held if case["id"] == case_id), None)


def quoted(hints: Sequence[Hint], alert: Alert) -> list[str]:
    """What workers saw about when an alert began, one of each signal."""
    began_ms = alert.began_at.timestamp() * 1000
    near = {h.signal: h for h in hints if abs(h.at_ms - began_ms) <= HINT_NEAR_MS}
    return [f"at {clock(hint.at_ms)} a worker saw the {hint.text}" for hint in near.values()]
