"""Records read straight into typed columns: the common case of decoding and judging, in one compiled pass.

A msgspec decoder is built per mapping and schema: it knows every path that will be read and what each feature
must be. What it refuses, or is not sure of, goes the exact way (`decode_chunk`, the schema's judges), one
record at a time: it may refuse a record that is right, and never passes one that is wrong. Fields nobody
reads are skipped, not decoded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from monitor.core.columns import Columns
from monitor.core.decode import (
    PROBE_PREFIX,
    REQUEST_ID_CHARS_MAX,
    Limits,
    RawRecord,
    Rejected,
    by_model,
    decode_chunk,
)
from monitor.core.errors import MappingError
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.mapping import parse_path
from monitor.core.plan import ModelPlan
from monitor.core.readable import Readable, decoded
from monitor.core.schema.feature import TEXTUAL, Feature, FeatureType
from monitor.core.schema.judges import OK, judge_of
from monitor.core.slices.spec import BinSlice, CategorySlice, CrossSlice, WhereSlice

Ints = NDArray[np.int64]

_WHOLE_MAX: Final = 2**53
"""Larger integers are read the exact way: decoders differ in what they make of them."""

_TEXT_EXACT_BELOW: Final = 10.0**15
"""Numbers that name a slice are written as integers below it, whichever way JSON wrote them."""

_KNOWN_MAX: Final = 20_000
"""Texts of one feature remembered as right; when full it starts anew."""

_DIGITS_MAX: Final = 4_300
_LONG_NUMBER: Final = re.compile(rb"\d{%d}" % _DIGITS_MAX)

_Whole = Annotated[int, Meta(ge=-_WHOLE_MAX, le=_WHOLE_MAX)]
_Plain = bool | _Whole | float | str | None
_FIELD_TYPES: Final[dict[str, Any]] = {
    "request_id": Annotated[str, Meta(min_length=1, max_length=REQUEST_ID_CHARS_MAX)] | _Whole,
    "timestamp": _Whole | float | str | None,
    "model_version": str | _Whole | None,
    "score": Annotated[float, Meta(ge=0, le=1)] | None,
    "probabilities": dict[str, float] | list[float] | None,
    "value": float | None,
    "interval": dict[str, float] | list[float] | None,
    "interval_low": float | None,
    "interval_high": float | None,
    "decision": _Plain,
    "label": _Plain,
    "probe": None,  # whatever says that a probe asked is read the exact way
}
_REQUIRED: Final = frozenset({"request_id", "model"})
_UNKEPT: Final = frozenset({"model", "probe"})
_REFUSALS: Final = (msgspec.DecodeError, TypeError, ValueError, RecursionError, OverflowError)

Place = tuple[str, str]
"""What a value is: ("field", NAME) or ("feature", NAME)."""


class _Unsuited(Exception):
    """This mapping or schema is read record by record."""


@dataclass
class _Node:
    """An object in the records: what is read of it."""

    leaves: dict[str, tuple[Place, Any, bool]] = field(default_factory=dict)  # key → place, type, required
    inner: dict[str, _Node] = field(default_factory=dict)
    closed: bool = False

    def at(self, steps: Sequence[str | int]) -> _Node:
        node = self
        for step in steps:
            if not isinstance(step, str) or step in node.leaves:
                raise _Unsuited
            node = node.inner.setdefault(step, _Node())
        return node

    def leaf(self, steps: Sequence[str | int], place: Place, kind: Any, required: bool) -> None:
        parent = self.at(steps[:-1])
        key = steps[-1] if steps else None
        if not isinstance(key, str) or key in parent.leaves or key in parent.inner:
            raise _Unsuited
        parent.leaves[key] = (place, kind, required)

    def struct(self, name: str, tag: tuple[str, str] | None = None) -> type[msgspec.Struct]:
        """A struct whose fields are the leaves, then the inner objects, in order."""
        entries = [(key, kind, required) for key, (_, kind, required) in self.leaves.items()]
        entries += [
            (key, node.struct(f"{name}_{i}"), True) for i, (key, node) in enumerate(self.inner.items())
        ]
        fields = [
            (f"f{i}", kind) if required else (f"f{i}", kind, None)
            for i, (_, kind, required) in enumerate(entries)
        ]
        options: dict[str, Any] = {"tag_field": tag[0], "tag": tag[1]} if tag else {}
        return msgspec.defstruct(
            name,
            fields,
            rename={f"f{i}": key for i, (key, _, _) in enumerate(entries)},
            kw_only=True,
            gc=False,
            forbid_unknown_fields=self.closed,
            **options,
        )

    def columns(self, structs: Sequence[Any]) -> dict[Place, Sequence[Any]]:
        """Column of each leaf."""
        columns: list[Sequence[Any]] = list(zip(*map(msgspec.structs.astuple, structs), strict=True))
        found: dict[Place, Sequence[Any]] = {}
        found |= {place: column for (place, _, _), column in zip(self.leaves.values(), columns, strict=False)}
        for node, column in zip(self.inner.values(), columns[len(self.leaves) :], strict=True):
            found |= node.columns(column)
        return found

    @property
    def objects(self) -> int:
        """Objects that every record has."""
        return 1 + sum(node.objects for node in self.inner.values())


class _Features:
    """What the decoder has to know of a model's features, and what is left to be judged behind it."""

    def __init__(self, plan: ModelPlan) -> None:
        self.declared: Mapping[str, Feature] = {} if plan.schema is None else plan.schema.schema.features
        self.closed = plan.schema is not None and plan.schema.schema.unexpected == "violate"
        binned, exact = _sliced(plan)
        self.types: dict[str, tuple[Any, bool]] = {
            name: (_feature_type(feature, name in exact), feature.required)
            for name, feature in self.declared.items()
        }
        beyond = sorted((binned | exact) - set(self.declared))
        self.never = beyond if self.closed else []
        self.types |= {name: (_Plain, False) for name in beyond if not self.closed}
        self._texts = [
            (name, judge_of(feature))
            for name, feature in self.declared.items()
            if feature.type in TEXTUAL
            and (feature.closed or feature.pattern or feature.max_length is not None)
        ]
        self._known: dict[str, set[Any]] = {name: set() for name, _ in self._texts}
        self._whole = [name for name, feature in self.declared.items() if feature.type is FeatureType.INTEGER]

    def suspects(self, columns: Columns) -> list[int]:
        """Rows that the judges have to see."""
        wrong: list[Ints] = []
        for name, judge in self._texts:
            known = self._known[name]
            new = set(columns.column(name)) - known
            if new:
                if len(known) + len(new) > _KNOWN_MAX:
                    known.clear()
                right = {value for value in new if value is None or judge(value) == OK}
                known |= right
                if bad := new - right:
                    found = columns.factor(name)
                    wrong.append(np.flatnonzero(found.of([value in bad for value in found.values])))
        for name in self._whole:
            numbers = columns.numbers(name)
            wrong.append(np.flatnonzero(~np.isnan(numbers) & (numbers != np.floor(numbers))))
        return np.concatenate(wrong).tolist() if wrong else []


def _sliced(plan: ModelPlan) -> tuple[set[str], set[str]]:
    """Features that slices read as numbers, and those of which they read the value itself."""
    binned: set[str] = set()
    exact: set[str] = set()
    for spec in plan.slices.specs:
        match spec:
            case BinSlice():
                binned.add(spec.feature)
            case CategorySlice():
                exact.add(spec.feature)
            case CrossSlice():
                exact.update(spec.features)
            case WhereSlice():
                exact.update(name for name, _, _ in spec.where)
    return binned, exact


def _feature_type(feature: Feature, exact: bool) -> Any:
    """What the decoder takes: never what the feature's judge refuses, but for texts and whole numbers."""
    kind: Any
    match feature.type:
        case FeatureType.NUMBER | FeatureType.INTEGER:
            low, high = feature.minimum, feature.maximum
            if exact:
                limit = float(np.nextafter(_TEXT_EXACT_BELOW, 0))
                low = -limit if low is None else max(-limit, low)
                high = limit if high is None else min(limit, high)
            kind = float if low is None and high is None else Annotated[float, Meta(ge=low, le=high)]
        case FeatureType.STRING | FeatureType.CATEGORY:
            kind = str
        case FeatureType.BOOLEAN:
            kind = bool
        case FeatureType.ANY:
            raise _Unsuited
    return kind | None if feature.nullable else kind


class _Layout:
    """One model's records as the decoder sees them."""

    def __init__(self, plan: ModelPlan, mapping: FieldMapping, fields: Iterable[str], features: bool) -> None:
        self.plan = plan
        self.root = _Node()
        self.constants: dict[str, str] = {}
        self.features = _Features(plan) if features else None
        for name in ("request_id", "probe", *fields):
            path = mapping.paths.get(name, f"$.{name}")
            if path.startswith("="):
                self.constants[name] = path[1:]
            else:
                self.root.leaf(_steps(path), ("field", name), _FIELD_TYPES[name], name in _REQUIRED)
        if self.features is not None and (self.features.types or self.features.closed):
            steps = _steps(mapping.paths.get("features", "$.features"))
            for name, (kind, required) in self.features.types.items():
                self.root.leaf((*steps, name), ("feature", name), kind, required)
            if self.features.closed:
                node = self.root.at(steps)
                if len(node.leaves) > len(self.features.types) or node.inner:
                    raise _Unsuited
                node.closed = True


def _steps(path: str) -> tuple[str | int, ...]:
    if path.startswith("="):
        raise _Unsuited
    try:
        return parse_path(path)
    except MappingError:
        raise _Unsuited from None


@dataclass(frozen=True)
class Read:
    """A chunk as it was read; together the parts account for every record.

    Attributes:
        readable: records of each model.
        rejected: what cannot be used, in offset order.
        probes: model → records that probes asked for, which are no traffic.
    """

    readable: list[Readable]
    rejected: list[Rejected]
    probes: Counter[str]


class ChunkReader:
    """Reads the chunks of one topic.

    Args:
        kind: predictions or labels.
        mapping: where the source keeps its fields.
        models: the configured models by name.
        limits: of one record.
    """

    def __init__(
        self,
        kind: Literal["predictions", "labels"],
        mapping: FieldMapping,
        models: Mapping[str, ModelPlan],
        limits: Limits,
    ) -> None:
        self._kind = kind
        self._mapping = mapping
        self._models = models
        self._limits = limits
        self._layouts: dict[type, _Layout] = {}
        self._decoder: msgspec.json.Decoder[Any] | None = None
        try:
            self._build()
        except (_Unsuited, TypeError, ValueError):
            self._decoder = None

    def read(self, records: Sequence[Any]) -> Read:
        """Decode a chunk.

        Args:
            records: Kafka records with `value`, `offset` and `timestamp`, in offset order.
        """
        values = [record.value or b"" for record in records]
        structs = self._decode(values)
        exact = [i for i, struct in enumerate(structs) if struct is None]
        groups: dict[type, list[int]] = {}
        kinds = set(map(type, structs)) - {type(None)}
        if len(kinds) == 1 and not exact:
            groups[kinds.pop()] = list(range(len(structs)))
        else:
            for i, struct in enumerate(structs):
                if struct is not None:
                    groups.setdefault(type(struct), []).append(i)
        offsets = np.array([record.offset for record in records], np.int64)
        times_ms = np.array([record.timestamp for record in records], np.int64)
        typed: dict[str, Readable] = {}
        for struct_type, rows in groups.items():
            layout = self._layouts[struct_type]
            chosen = structs if len(rows) == len(structs) else [structs[i] for i in rows]
            found, suspects = self._typed(layout, chosen, rows, values, offsets, times_ms)
            exact += suspects
            if found is not None:
                typed[layout.plan.name] = found
        if not exact:
            return Read(list(typed.values()), [], Counter())
        exact.sort()
        raw = [RawRecord(records[i].value, records[i].offset, records[i].timestamp) for i in exact]
        rows_, rejected = decode_chunk(raw, self._mapping, self._models, self._limits)
        for name, group in by_model(rows_).items():
            one = Readable.of(group, self._mapping, self._fields(name))
            typed[name] = one if name not in typed else typed[name].merged(one, self._mapping)
        probes = Counter(row.model for row in rows_ if row.probe)
        return Read(list(typed.values()), rejected, probes)

    def _typed(
        self, layout: _Layout, structs: Sequence[Any], rows: list[int], values: Sequence[bytes],
        offsets: Ints, times_ms: Ints,
    ) -> tuple[Readable | None, list[int]]:  # fmt: skip
        """The records of one model as columns, without those that have to be looked at one by one."""
        count = len(structs)
        if not count:
            return None, []
        columns = layout.root.columns(structs)
        features = {name: column for (what, name), column in columns.items() if what == "feature"}
        fields: dict[str, Sequence[Any]] = {
            name: column
            for (what, name), column in columns.items()
            if what == "field" and name not in _UNKEPT
        }
        fields |= {name: [constant] * count for name, constant in layout.constants.items()}
        ids: Sequence[Any] = fields.pop("request_id")
        if layout.features is not None:
            features |= {name: [None] * count for name in layout.features.never}
        if set(map(type, ids)) != {str}:
            ids = [str(one) for one in ids]
        suspects = (
            [] if layout.features is None else layout.features.suspects(Columns([{}] * count, features))
        )
        if PROBE_PREFIX in "\n".join(ids):
            suspects += [i for i, one in enumerate(ids) if one.startswith(PROBE_PREFIX)]
        if suspects:
            keep = np.setdiff1d(np.arange(count), suspects).tolist()
            kept = [structs[i] for i in keep]
            found, more = self._typed(layout, kept, [rows[i] for i in keep], values, offsets, times_ms)
            return found, [*more, *(rows[i] for i in set(suspects))]
        at = np.array(rows, np.int64)
        bodies = [values[i] for i in rows] if count < len(values) else values
        return (
            Readable(
                layout.plan.name, offsets[at], times_ms[at], list(ids), fields, features,
                decoded(bodies), np.zeros(0, np.int64),
            ),
            [],
        )  # fmt: skip

    def _decode(self, values: Sequence[bytes]) -> list[Any]:
        """A struct for each value, None for what is to be read the exact way."""
        if self._decoder is None:
            return [None] * len(values)
        structs: list[Any] = []
        refused = 0
        left = map(self._decoder.decode, values)
        while True:
            try:
                structs.extend(left)  # what came before a refusal stays in the list
                break
            except _REFUSALS:
                structs.append(None)
                refused += 1
        for i in self._doubtful(values, len(structs) - refused):
            structs[i] = None
        return structs

    def _doubtful(self, values: Sequence[bytes], accepted: int) -> list[int]:
        """Values the decoder may wrongly take: it does not look into what it skips."""
        joined = b"".join(values)
        found: list[int] = []
        limits = self._limits
        if not joined.isascii():
            try:
                joined.decode()
            except UnicodeDecodeError:
                found += [i for i, value in enumerate(values) if not _is_utf8(value)]
        # Accepted records have an object each, and those within: what is more may be deep nesting.
        brackets = joined.count(b"{") + joined.count(b"[")
        least = min(layout.root.objects for layout in self._layouts.values())
        if brackets > least * (accepted - 1) + limits.depth_max:
            found += [i for i, v in enumerate(values) if v.count(b"{") + v.count(b"[") > limits.depth_max]
        largest = max(map(len, values), default=0)
        if largest > min(limits.record_bytes_max, _DIGITS_MAX):
            found += [
                i for i, value in enumerate(values)
                if len(value) > limits.record_bytes_max
                or (len(value) > _DIGITS_MAX and _LONG_NUMBER.search(value))
            ]  # fmt: skip
        return found

    def _fields(self, name: str) -> tuple[str, ...]:
        if self._kind == "labels":
            return ("timestamp", "label")
        return ("timestamp", "model_version", *self._models[name].reading.task.fields)

    def _build(self) -> None:
        path = self._mapping.paths.get("model", "$.model")
        if path.startswith("="):
            plan = self._models.get(path[1:])
            if plan is None:
                raise _Unsuited
            plans: list[ModelPlan] = [plan]
        else:
            plans = list(self._models.values())
        if not plans:
            raise _Unsuited
        steps = _steps(path) if not path.startswith("=") else ()
        if len(plans) > 1 and not (len(steps) == 1 and isinstance(steps[0], str)):
            raise _Unsuited
        for plan in plans:
            layout = _Layout(plan, self._mapping, self._fields(plan.name), self._kind == "predictions")
            tag = None
            if len(plans) > 1:
                tag = (str(steps[0]), plan.name)
                if steps[0] in layout.root.leaves or steps[0] in layout.root.inner:
                    raise _Unsuited
            elif steps:
                layout.root.leaf(steps, ("field", "model"), Literal[plan.name], True)
            self._layouts[layout.root.struct("record", tag)] = layout
        types = tuple(self._layouts)
        union: Any = types[0]
        for other in types[1:]:
            union |= other
        self._decoder = msgspec.json.Decoder(union)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
