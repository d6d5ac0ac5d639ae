"""What a decoder of typed columns is built of: where records keep what is read, and what each value must be.

Built per mapping and schema by `monitor.core.typed_reader`, which says what it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from monitor.core.columns import Columns
from monitor.core.decode import REQUEST_ID_CHARS_MAX
from monitor.core.errors import MappingError
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.mapping import parse_path
from monitor.core.plan import ModelPlan
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

_KNOWN_CHARS_MAX: Final = 200
"""A longer text is judged whenever it comes: remembered, 20,000 of them would take gigabytes."""

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

Place = tuple[str, str]
"""What a value is: ("field", NAME) or ("feature", NAME)."""


class Unsuited(Exception):
    """This mapping or schema is read record by record."""


@dataclass
class Node:
    """An object in the records: what is read of it."""

    leaves: dict[str, tuple[Place, Any, bool]] = field(default_factory=dict)  # key → place, type, required
    inner: dict[str, Node] = field(default_factory=dict)
    closed: bool = False

    def at(self, steps: Sequence[str | int]) -> Node:
        """The object a path leads to, made where it was not yet.

        Raises:
            Unsuited: the path leads through a value, or into a list.
        """
        node = self
        for step in steps:
            if not isinstance(step, str) or step in node.leaves:
                raise Unsuited
            node = node.inner.setdefault(step, Node())
        return node

    def leaf(self, steps: Sequence[str | int], place: Place, kind: Any, required: bool) -> None:
        """Read a value of type `kind` at a path.

        Raises:
            Unsuited: something else is read there.
        """
        parent = self.at(steps[:-1])
        key = steps[-1] if steps else None
        if not isinstance(key, str) or key in parent.leaves or key in parent.inner:
            raise Unsuited
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

    @property
    def places(self) -> list[Place]:
        """What the columns are."""
        own = [place for place, _, _ in self.leaves.values()]
        return own + [place for node in self.inner.values() for place in node.places]

    def columns(self, structs: Sequence[Any]) -> list[Sequence[Any]]:
        """Column of each of the `places`."""
        found: list[Sequence[Any]] = list(zip(*map(msgspec.structs.astuple, structs), strict=True))
        inner = found[len(self.leaves) :]
        del found[len(self.leaves) :]
        for node, column in zip(self.inner.values(), inner, strict=True):
            found += node.columns(column)
        return found

    @property
    def objects(self) -> int:
        """Objects that every record has."""
        return 1 + sum(node.objects for node in self.inner.values())


class Features:
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
            new = set(columns.factor(name).values) - known
            if new:
                if len(known) + len(new) > _KNOWN_MAX:
                    known.clear()
                right = {value for value in new if value is None or judge(value) == OK}
                known |= {value for value in right if value is None or len(value) <= _KNOWN_CHARS_MAX}
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
            raise Unsuited
    return kind | None if feature.nullable else kind


class Layout:
    """One model's records as the decoder sees them."""

    def __init__(self, plan: ModelPlan, mapping: FieldMapping, fields: Iterable[str], features: bool) -> None:
        self.plan = plan
        self.root = Node()
        self.constants: dict[str, str] = {}
        self.features = Features(plan) if features else None
        for name in ("request_id", "probe", *fields):
            path = mapping.paths.get(name, f"$.{name}")
            if path.startswith("="):
                self.constants[name] = path[1:]
            else:
                self.root.leaf(steps_of(path), ("field", name), _FIELD_TYPES[name], name in _REQUIRED)
        if self.features is not None and (self.features.types or self.features.closed):
            steps = steps_of(mapping.paths.get("features", "$.features"))
            for name, (kind, required) in self.features.types.items():
                self.root.leaf((*steps, name), ("feature", name), kind, required)
            if self.features.closed:
                node = self.root.at(steps)
                if len(node.leaves) > len(self.features.types) or node.inner:
                    raise Unsuited
                node.closed = True


def steps_of(path: str) -> tuple[str | int, ...]:
    """Keys that a path leads through.

    Raises:
        Unsuited: it is a constant, or no path that a decoder can follow.
    """
    if path.startswith("="):
        raise Unsuited
    try:
        return parse_path(path)
    except MappingError:
        raise Unsuited from None
