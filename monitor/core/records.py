"""The records on topics, in their plain form. JSON Schemas in `schemas/` are made from these.

Other shapes are read through a mapping (`monitor.core.mapping`); the hot path reads dictionaries and
never builds these models one by one.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue

RequestId = Annotated[str, Field(min_length=1, max_length=512, description="Unique per model.")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="As named in the settings.")]
Ordinal = Annotated[int, Field(ge=0, lt=2**63)]
"""Fits a signed integer of 64 bits: stores and readers count no further."""

Timestamp = Annotated[
    datetime | float,
    Field(description="ISO 8601, epoch seconds or epoch milliseconds. Without it, the Kafka record's time."),
]


class Record(BaseModel):
    """Base of every record: extra fields are allowed on input topics and ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Prediction(Record):
    """One answered request: its features and what the model said.

    Other spellings are read too: docs/settings.md.
    """

    request_id: RequestId
    model: ModelName
    model_version: str | None = Field(None, max_length=128)
    timestamp: Timestamp | None = None
    features: dict[str, JsonValue] = Field(default_factory=dict)
    score: float | None = Field(None, description="Probability of the positive class, in [0, 1].")
    probabilities: dict[str, float] | None = Field(None, description="Multiclass: class to probability.")
    value: float | None = Field(None, description="Regression: the predicted value.")
    interval: tuple[float, float] | None = Field(
        None, description="Regression: between which values the label is expected."
    )
    decision: bool | str | int | None = Field(
        None, description="What was answered; without it the model's threshold decides."
    )
    probe: bool | None = Field(
        None, description="True where the monitor's own probe asked (header X-Monitor-Probe): left out."
    )


class Label(Record):
    """The truth about one prediction, whenever it arrives."""

    request_id: RequestId
    model: ModelName
    timestamp: Timestamp | None = Field(None, description="When the label became known.")
    label: bool | int | float | str


class DeadLetter(Record):
    """A record that could not be read at all, and why."""

    reason: str = Field(description="Bounded code: see `monitor.core.decode.Unreadable`.")
    detail: str = Field(max_length=500)
    topic: str
    partition: int
    offset: int
    value_head: str = Field(
        description="The first bytes of the record, escaped; where a feature is marked sensitive, "
        "the record's hash instead, or nothing without a key.",
        max_length=600,
    )
    value_bytes: int = Field(ge=0, description="The record's full size.")


class AlertState(StrEnum):
    """Life of an alert."""

    OPEN = "open"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"


class Severity(StrEnum):
    """`page` wakes somebody; `notice` is reported once and never pages."""

    PAGE = "page"
    NOTICE = "notice"


class AlertKind(StrEnum):
    """Every kind of alert this monitor can raise."""

    VIOLATION_RATE = "violation_rate"  # subject: feature, code
    MISSING_TRAFFIC = "missing_traffic"  # subject: {}
    STANDING_GAP = "standing_gap"  # subject: slice, metric
    GAP_CHANGE = "gap_change"  # subject: slice, metric
    IGNORED_SLICE = "ignored_slice"  # subject: slice, metric (requests or coverage)
    STALLED_PARTITION = "stalled_partition"  # subject: topic, partition
    MONITOR_BLIND = "monitor_blind"  # subject: cause, and the topic or outbox; the monitor itself
    RECORDS_LOST = "records_lost"  # subject: topic, partition; deleted before they were read
    DRIFT = "drift"  # subject: feature (a feature), or output (score, decision, label)
    SCALE_SHIFT = "scale_shift"  # subject: feature
    GIBBERISH = "gibberish"  # subject: feature
    DEGRADATION = "degradation"  # subject: slice ({} for all traffic), metric
    CALIBRATION = "calibration"  # subject: slice; estimates without labels cannot be trusted
    COUNTERFACTUAL = "counterfactual"  # subject: feature (a protected one)
    TYPE_CONVERSION = "type_conversion"  # no subject: of the model, all features and types together
    SHARP_EDGE = "sharp_edge"  # subject: feature
    INTERACTION = "interaction"  # subject: features
    ROBUSTNESS_GAP = "robustness_gap"  # subject: slice
    ROBUSTNESS_CHANGE = "robustness_change"  # subject: model_version, previous


class Alert(Record):
    """One transition of one alert, self-contained. Keyed on its topic by `identity`."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    identity: str = Field(
        max_length=128, description="Hash of model, kind and subject: the same failure, the same identity."
    )
    alert_id: str = Field(max_length=128, description="One life of the alert, from open to resolved.")
    lease_epoch: Ordinal = Field(description="With `sequence`, orders transitions; older ones are dropped.")
    sequence: Ordinal
    state: AlertState
    severity: Severity
    model: str = Field(max_length=64)
    kind: AlertKind
    subject: dict[str, Any] = Field(description="What failed: feature and code, or slice and metric.")
    summary: str = Field(description="One sentence in plain words.")
    advice: str = Field(description="What to do.")
    began_at: datetime = Field(description="Event time at which the evidence begins.")
    opened_at: datetime = Field(description="Event time of the bucket that raised it.")
    published_at: datetime
    resolved_at: datetime | None = None
    log_evidence: FiniteFloat = Field(description="Natural log of the e-value or e-detector.")
    log_threshold: FiniteFloat
    effect: FiniteFloat = Field(description="Size of the failure, in `effect_unit`.")
    effect_unit: Literal["rate", "odds_ratio", "ratio", "factor", "seconds", "psi", "difference", "records"]
    rows: int = Field(ge=0, description="Rows the evidence rests on.")
    excess: FiniteFloat | None = Field(None, description="Rows that failed beyond what is tolerated, so far.")
    values: dict[str, Any] = Field(default_factory=dict, description="The figures behind the summary.")
    request_ids: list[str] = Field(default_factory=list, description="Requests that show it, newest first.")
    schema_change: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Of a violation: changes of the feature schema that would accept these values. "
        "Each has feature, field, before, after and, where something is given up, caution.",
    )
    cases: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Of a probe: requests as they were and as they were asked again, both answers, and the "
        "command that asks both again.",
    )
    consequence_of: str | None = Field(None, description="Identity of the alert that explains this one.")
    notes: list[str] = Field(default_factory=list, description="Cautions, e.g. selective labels.")


HEARTBEAT_KEY: Final = b"heartbeat/"
"""What the key of a heartbeat begins with."""


class Heartbeat(Record):
    """The monitor lives and looks: published on the alerts topic for each model, twice a minute.

    Without it silence could mean that nobody looks. Whoever reads the topic should raise an alarm of their
    own when none came for three times `every_s`. Its key is `heartbeat/MODEL`; it has no `identity`,
    which every alert has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    record: Literal["heartbeat"] = "heartbeat"
    model: ModelName
    lease_epoch: Ordinal = Field(description="Of the evaluator that looked.")
    published_at: datetime = Field(description="The store's clock.")
    every_s: int = Field(gt=0, description="The next one is due after so many seconds.")
    evaluated_until: datetime | None = Field(
        description="Event time up to which traffic was judged; null before the first request."
    )
    open_alerts: int = Field(ge=0, description="Alerts that stand.")
    blind: list[str] = Field(
        default_factory=list,
        description="Why the monitor may not see everything, `unreadable: predictions`; empty when it sees.",
    )
