"""Settings of one model: what it answers, how it is judged, what is worth an alert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from monitor.config.legitimate import Stratum, crossings, parse_legitimate, with_bins
from monitor.config.probes import ProbeSettings
from monitor.config.problems import Problem, Problems, Section, nearest
from monitor.config.values import DurationS, ExistingFile, InstantMs, RatePerS, Share, existing_file
from monitor.core.errors import SchemaError
from monitor.core.schema import FeatureSchema, FeatureType
from monitor.core.schema.feature import NUMERIC
from monitor.core.shown import shown
from monitor.core.slices.spec import (
    BinSlice,
    CategorySlice,
    SliceSpec,
    VersionSlice,
    bins_in,
    features_of,
    parse_slice,
)
from monitor.core.tasks.binary import plain_class
from monitor.core.tasks.multiclass import CLASSES_MAX
from monitor.core.tasks.regression import UNIT_EXPONENT_MAX

ClassValue = bool | int | str
"""A class as labels name it."""

REFERENCE_FIELDS: Final = (
    "request_id", "timestamp", "model", "model_version", "score", "decision", "label",
    "value", "interval", "interval_low", "interval_high", "probabilities",
)  # fmt: skip
"""Fields that a column of a reference file may be; every other column is a feature."""
_FIELDS_OF_TASK: Final = {
    "regression": ("value", "interval", "interval_low", "interval_high"),
    "multiclass": ("probabilities",),
}
"""What a task answers with; in the file of a model of another task such a column is a feature."""

_WAIT_S_MAX = 400 * 86_400


def _schema(value: Any, info: ValidationInfo) -> FeatureSchema:
    if isinstance(value, FeatureSchema):
        return value
    try:
        return FeatureSchema.load(existing_file(value, info))
    except SchemaError as error:
        raise Problems([Problem((), f"{value}: {problem}") for problem in error.problems]) from None


def _slices(value: Any) -> tuple[SliceSpec, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list, e.g. [sex, {{feature: age, bins: [25, 40]}}], got {shown(value)}")
    specs: list[SliceSpec] = []
    problems: list[Problem] = []
    for position, item in enumerate(value):
        try:
            specs.append(item if isinstance(item, SliceSpec) else parse_slice(item))
        except ValueError as error:
            problems.append(Problem((position,), str(error)))
            continue
        if specs[-1] in specs[:-1]:
            problems.append(Problem((position,), f"declared twice: {shown(item)}"))
    if problems:
        raise Problems(problems)
    return tuple(specs)


def _class_value(value: Any) -> Any:
    if not isinstance(value, bool | int | str):
        raise ValueError(
            f"expected a class as labels name it (a whole number, a text or true), got {shown(value)}"
        )
    return value


class Reference(Section):
    """What is normal for the model: a file of judged rows, or a labelled stretch of live traffic."""

    file: ExistingFile | None = Field(
        None, description="CSV, Parquet or JSONL with features, score and label."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Our field to the file's column, where it is named otherwise."
    )
    from_ms: InstantMs | None = Field(None, alias="from", description="Event time at which it begins.")
    to_ms: InstantMs | None = Field(None, alias="to", description="Event time at which it ends.")

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """Either a file or a stretch."""
        if "columns" in raw and "file" not in raw:
            yield Problem(("columns",), "comes together with file")
        if ("file" in raw) == bool({"from", "to"} & raw.keys()):
            yield Problem((), "expected either {file} or {from, to}")
        for key, other in (("from", "to"), ("to", "from")):
            if key in raw and other not in raw:
                yield Problem((key,), f"comes together with {other}")

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, columns: dict[str, str]) -> dict[str, str]:
        problems = [
            Problem((field,), f"not a field{nearest(field, REFERENCE_FIELDS)}")
            for field in columns
            if field not in REFERENCE_FIELDS
        ]
        if problems:
            raise Problems(problems)
        return columns

    @field_validator("to_ms")
    @classmethod
    def _forwards(cls, to_ms: int | None, info: ValidationInfo) -> int | None:
        from_ms = info.data.get("from_ms")
        if to_ms is not None and from_ms is not None and to_ms <= from_ms:
            raise ValueError("must be later than from")
        return to_ms


class LabelSettings(Section):
    """How long labels take and when a cohort is complete enough to judge."""

    wait_s: DurationS = Field(
        86_400,
        alias="wait",
        ge=1,
        le=_WAIT_S_MAX,
        description="How long a prediction waits for its label, e.g. 7d.",
    )
    ready_at: Share = Field(0.95, description="Share of labels at which a cohort is judged before its wait.")
    sample: Share = Field(1.0, description="Share of request ids whose labels are joined; bounds memory.")


class SilenceSettings(Section):
    """A stretch of time in which traffic is known not to be as usual."""

    from_ms: InstantMs = Field(alias="from", description="Event time at which it begins.")
    to_ms: InstantMs = Field(alias="to", description="Event time at which it ends.")
    repeat_s: DurationS | None = Field(None, alias="repeat", ge=60, description="Again after this, e.g. 7d.")

    @field_validator("to_ms")
    @classmethod
    def _forwards(cls, to_ms: int, info: ValidationInfo) -> int:
        if to_ms <= info.data.get("from_ms", to_ms - 1):
            raise ValueError("must be later than from")
        return to_ms

    @field_validator("repeat_s")
    @classmethod
    def _longer(cls, repeat_s: int | None, info: ValidationInfo) -> int | None:
        lasts_ms = info.data.get("to_ms", 0) - info.data.get("from_ms", 0)
        if repeat_s is not None and repeat_s * 1000 < lasts_ms:
            raise ValueError("must not be shorter than the silence itself")
        return repeat_s


class AlertSettings(Section):
    """What is worth telling somebody."""

    false_alarms_per_s: RatePerS = Field(
        12 / (365.25 * 86_400),
        alias="false_alarms",
        description="How many false alarms the model may raise, e.g. 1 per month.",
    )
    min_effect: float = Field(
        1.25, gt=1, le=100, description="Smallest odds ratio between a slice and the rest that matters."
    )
    silences: tuple[SilenceSettings, ...] = Field(
        (),
        description="Holidays and maintenance: amount, mix and distribution of traffic are not judged then.",
    )


_OF_TASK: Final = {
    "threshold": "binary",
    "positive_class": "binary",
    "negative_class": "binary",
    "classes": "multiclass",
    "unit": "regression",
}


class ModelSettings(Section):
    """One model."""

    task: Literal["binary", "multiclass", "regression"] = Field(
        "binary", description="What the model predicts."
    )
    threshold: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="Score from which the decision is positive, where none is sent; null: none.",
    )
    classes: tuple[Annotated[ClassValue, BeforeValidator(_class_value)], ...] = Field(
        (), max_length=CLASSES_MAX, description="Multiclass: every class, as labels and decisions name it."
    )
    unit: float = Field(
        1.0,
        allow_inf_nan=False,
        description="Regression: an ordinary size of a value; sums count in the nearest power of two.",
    )
    positive_class: Annotated[ClassValue, BeforeValidator(_class_value)] = Field(
        1, description="The positive class as labels and decisions name it; 1 also reads true."
    )
    negative_class: Annotated[ClassValue, BeforeValidator(_class_value)] | None = Field(
        None,
        description="The negative class; left out: 0 and false, or every text but the positive one.",
    )
    feature_schema: Annotated[FeatureSchema | None, BeforeValidator(_schema)] = Field(
        None, alias="schema", description="Feature schema file."
    )
    reference: Reference | None = Field(None, description="What is normal; without it the model is learning.")
    slices: Annotated[tuple[SliceSpec, ...], BeforeValidator(_slices)] = Field(
        (), description="Groups of requests that are measured on their own."
    )
    protected: tuple[str, ...] = Field(
        (), description="Features whose groups must be served alike; each is a slice too."
    )
    legitimate: Annotated[tuple[Stratum, ...], BeforeValidator(parse_legitimate)] = Field(
        (), description="Features that may justify a difference; groups are compared within their strata too."
    )
    labels: LabelSettings = Field(default_factory=LabelSettings, description="The wait for labels.")
    alerts: AlertSettings = Field(default_factory=AlertSettings, description="What is worth an alert.")
    probes: ProbeSettings | None = Field(None, description="Questions asked of the model itself.")

    @property
    def slice_specs(self) -> tuple[SliceSpec, ...]:
        """Every declaration that is counted.

        Those declared, protected features, their crossings with legitimate ones, the model version.
        """
        declared = {spec.feature for spec in self.slices if isinstance(spec, BinSlice | CategorySlice)}
        protected = tuple(CategorySlice(name) for name in self.protected if name not in declared)
        crossed = crossings(self.protected, self.legitimate, self.slices)
        return (*self.slices, *protected, *crossed, VersionSlice())

    @property
    def reference_file(self) -> Path | None:
        """The reference's file, where it is one."""
        return self.reference.file if self.reference else None

    @property
    def reference_columns(self) -> dict[str, str]:
        """Our field → column of the reference's file, where a row has it."""
        answers = {field: field for field in _FIELDS_OF_TASK.get(self.task, ())}
        return answers | (self.reference.columns if self.reference else {})

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """Classes that cannot be told apart, or that another task has."""
        task = raw.get("task", "binary")
        classes = raw.get("classes")
        if task == "multiclass" and not (isinstance(classes, list) and len(classes) > 1):
            yield Problem(("classes",), "list the classes of a multiclass model, two or more")
        for key, owner in _OF_TASK.items():
            if key in raw and owner != task and task in _OF_TASK.values():
                yield Problem((key,), f"is a key of {owner} models; this one is {task}")
        if isinstance(classes, list):
            names = [plain_class(name) for name in classes if isinstance(name, bool | int | float | str)]
            twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
            if twice:
                yield Problem(("classes",), f"names {', '.join(map(repr, twice))} twice")
        if raw.get("probes") is not None:
            if raw.get("schema") is None:
                yield Problem(("probes",), "needs a schema: it says what features may be")
            if task == "multiclass":
                yield Problem(("probes",), "models of several classes are not probed")
        negative = raw.get("negative_class")
        if negative is not None and str(negative) == str(raw.get("positive_class", 1)):
            yield Problem(("negative_class",), f"is the positive class too: {negative!r}")

    @field_validator("unit")
    @classmethod
    def _ordinary(cls, unit: float) -> float:
        if not 2.0**-UNIT_EXPONENT_MAX < unit < 2.0**UNIT_EXPONENT_MAX:
            raise ValueError(f"expected a number above 0 (1e-154 to 1e154), such as 1000; got {unit:g}")
        return unit

    @field_validator("slices")
    @classmethod
    def _slices_known(cls, slices: tuple[SliceSpec, ...], info: ValidationInfo) -> tuple[SliceSpec, ...]:
        problems = [
            Problem((position,), complaint)
            for position, spec in enumerate(slices)
            for feature in features_of(spec)
            if (complaint := _unknown_feature(feature, info))
        ]
        if problems:
            raise Problems(problems)
        return slices

    @field_validator("slices")
    @classmethod
    def _slices_cut(cls, slices: tuple[SliceSpec, ...], info: ValidationInfo) -> tuple[SliceSpec, ...]:
        problems = [
            Problem((position,), complaint)
            for position, spec in enumerate(slices)
            for part in bins_in(spec)
            if (complaint := _not_cut(part.feature, info))
        ]
        if problems:
            raise Problems(problems)
        return slices

    @field_validator("protected")
    @classmethod
    def _protected_known(cls, protected: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        problems = [
            Problem((position,), complaint)
            for position, feature in enumerate(protected)
            if (complaint := _unknown_feature(feature, info))
        ]
        if problems:
            raise Problems(problems)
        return protected

    @field_validator("legitimate")
    @classmethod
    def _legitimate_known(cls, legitimate: tuple[Stratum, ...], info: ValidationInfo) -> tuple[Stratum, ...]:
        found: list[Stratum] = []
        problems: list[Problem] = []
        for position, spec in enumerate(legitimate):
            complaint = _unknown_feature(spec.feature, info)
            if spec.feature in info.data.get("protected", ()):
                complaint = f"{spec.feature} is protected: it cannot justify a difference as well"
            elif isinstance(spec, BinSlice):
                complaint = complaint or _not_cut(spec.feature, info)
            try:
                found.append(with_bins(spec, info.data.get("slices", ()), info.data.get("feature_schema")))
            except ValueError as error:
                complaint = complaint or str(error)
            if complaint:
                problems.append(Problem((position,), complaint))
        if problems:
            raise Problems(problems)
        return tuple(found)

    @field_validator("probes")
    @classmethod
    def _probes_known(cls, probes: ProbeSettings | None, info: ValidationInfo) -> ProbeSettings | None:
        schema = info.data.get("feature_schema")
        if probes is not None and schema is not None:
            problems = [*probes.unknown(schema.features, info.data.get("protected", ()))]
            if problems:
                raise Problems(problems)
        return probes


def _not_cut(feature: str, info: ValidationInfo) -> str:
    """Why a feature cannot be cut into bins; empty where it can, or where nobody says what it is."""
    schema = info.data.get("feature_schema")
    known = schema.features.get(feature) if schema is not None else None
    if known is None or known.type in NUMERIC or known.type is FeatureType.ANY:
        return ""
    return f"{feature} is a {known.type.value} in the schema, which has no bins: write {feature} alone"


def _unknown_feature(feature: str, info: ValidationInfo) -> str:
    schema = info.data.get("feature_schema")
    if schema is None or feature in schema.features:
        return ""
    return f"no feature {feature!r} in the schema{nearest(feature, list(schema.features))}"
