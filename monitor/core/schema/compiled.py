"""The schema compiled: a whole chunk of records judged in one call.

Nearly every record is right, so the work is split. One call of a pydantic-core validator goes over the
chunk and leaves a hole where a record may be wrong; the exact judges of `monitor.core.schema.judges`
then look at those records alone. The validator may suspect a record that is right, never pass one that
is wrong, and the account is the judges' own.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from monitor.core.columns import Columns, Factor, factor
from monitor.core.masking import Masking
from monitor.core.schema.feature import Feature, FeatureType, whole_text_pattern
from monitor.core.schema.judges import OK, judge_of
from monitor.core.schema.text_judge import judges_of
from monitor.core.schema.violations import (
    RECORD,
    RECORD_INDEX,
    SOFT,
    TEXT_MAX,
    Code,
    Violation,
    clipped,
    quoted,
    received_text,
)

_ABSENT: Final = object()
_ANY_TEXT: Final = r"\A"
_NAMED_MAX: Final = 3
"""Unexpected features that a message names."""

Unexpected = Literal["tolerate", "violate"]


class Declared(Protocol):
    """What is compiled: `monitor.core.schema.FeatureSchema`."""

    @property
    def features(self) -> Mapping[str, Feature]:
        """Name → feature, in the schema's order."""
        ...

    @property
    def unexpected(self) -> Unexpected:
        """Whether a feature beyond the schema is a violation."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with anything it says."""
        ...


@dataclass(frozen=True)
class ChunkViolations:
    """The exact account of a chunk: every (row, feature) that violates, once, ordered by row and feature.

    Attributes:
        row: int64[k], index of the record in the chunk.
        feature: int64[k], index of the feature in the schema's order; -1 for the record itself.
        code: int64[k], the first `Code` the value violates.
        compiled: the schema that judged.
    """

    row: NDArray[np.int64]
    feature: NDArray[np.int64]
    code: NDArray[np.int64]
    compiled: CompiledSchema = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Indices of records with at least one violation, increasing, int64[m]."""
        return np.unique(self.row)

    def explain(self, records: Sequence[Any], j: int) -> Violation:
        """The sentence for violation `j`, made only when somebody will read it.

        Args:
            records: the very chunk that was checked.
            j: which violation, 0 <= j < k.
        """
        record = records[int(self.row[j])]
        return self.compiled.explain(record, int(self.feature[j]), Code(int(self.code[j])))


class CompiledSchema:
    """Built once per schema, used for every chunk.

    Args:
        schema: the declared features.
        sensitive_key: what values of sensitive features are hashed with; None tells their kind only.

    Attributes:
        schema: what it was built from.
        names: feature names in the schema's order; a feature index counts in this tuple.
        masking: how values of sensitive features are told.
    """

    def __init__(self, schema: Declared, sensitive_key: bytes | None = None) -> None:
        self.schema = schema
        self.names = tuple(schema.features)
        self.masking = Masking.of(schema.features, sensitive_key)
        self._features = tuple(schema.features.values())
        self._forbid = schema.unexpected == "violate"
        self._plan = tuple(
            (index, name, Code.MISSING if feature.required else OK, judge_of(feature))
            for index, (name, feature) in enumerate(schema.features.items())
        )
        self._texts = judges_of(schema.features)
        record = core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(_core(feature), required=feature.required)
                for name, feature in schema.features.items()
            },
            strict=True,
            extra_behavior="forbid" if self._forbid else "ignore",
        )
        self._record = SchemaValidator(record)
        # A record that fails becomes None in place, so one call names the suspects of a whole chunk
        # and no error is ever spelled out.
        hole = core_schema.with_default_schema(record, default=None, on_error="default")
        self._chunk = SchemaValidator(core_schema.list_schema(hole, strict=True))

    def check_chunk(self, records: Sequence[Any], rows: Sequence[int] | None = None) -> ChunkViolations:
        """Judge a chunk.

        Args:
            records: the features of each record as decoded from JSON. What is not an object violates
                `TYPE` as a record, and nothing else.
            rows: those to be judged, increasing; the others are known to be right. All where it is None.

        Returns:
            The exact account, equal to `check_record` of every row.
        """
        places = range(len(records)) if rows is None else rows
        chunk = [records[place] for place in places]
        row: list[int] = []
        feature: list[int] = []
        code: list[int] = []
        for index, read in enumerate(self._chunk.validate_python(chunk)):
            if read is None:
                for position, violated in self.check_record(chunk[index]):
                    row.append(places[index])
                    feature.append(position)
                    code.append(violated)
        return ChunkViolations(
            np.array(row, np.int64), np.array(feature, np.int64), np.array(code, np.int64), self
        )

    def soft_chunk(self, records: Sequence[Any]) -> ChunkViolations:
        """Doubts about the texts of a chunk: `monitor.core.schema.violations.SOFT` codes and no others.

        They say nothing about `check_chunk`: a text that breaks a closed category may be a near miss as well,
        and a record with nothing but doubts is valid. What was judged before costs a look-up.

        Args:
            records: as `check_chunk` takes them.
        """
        found: list[tuple[int, int, int]] = []
        for index, name, judge in self._texts:
            texts = _texts(records, name)
            codes = judge.doubtful(texts.values)
            if codes:
                doubtful = {place: codes[v] for place, v in enumerate(texts.values) if v in codes}
                rows = np.flatnonzero(np.isin(texts.index, list(doubtful)))
                found += [(row, index, doubtful[int(texts.index[row])]) for row in rows.tolist()]
        table = np.array(sorted(found), np.int64).reshape(-1, 3)
        return ChunkViolations(table[:, 0], table[:, 1], table[:, 2], self)

    def check_record(self, record: Any) -> list[tuple[int, int]]:
        """Judge one record feature by feature, without the compiled validator: the law.

        Returns:
            (feature index, code) of every violation, by feature; index -1, the record itself, comes first.
        """
        if not isinstance(record, Mapping):
            return [(RECORD_INDEX, Code.TYPE)]
        found: list[tuple[int, int]] = []
        present = 0
        for index, name, absent_code, judge in self._plan:
            value = record.get(name, _ABSENT)
            if value is _ABSENT:
                code = absent_code
            else:
                present += 1
                code = judge(value)
            if code != OK:
                found.append((index, code))
        if self._forbid and len(record) > present:
            found.insert(0, (RECORD_INDEX, Code.UNEXPECTED))
        return found

    def accepts(self, record: Mapping[str, Any]) -> bool:
        """Whether the compiled validator passes a record; False says nothing yet (see `check_record`)."""
        return self._record.isinstance_python(record)

    def explain(self, record: Any, feature: int, code: Code) -> Violation:
        """The sentence for one violation found in a record."""
        if feature == RECORD_INDEX:
            return self._explain_record(record, code)
        name, declared = self.names[feature], self._features[feature]
        if code in SOFT:
            judge = next(judge for index, _, judge in self._texts if index == feature)
            received = judge.received(record[name])
            return Violation(name, code, _LIKE[code], self._masked(name, received, record[name]))
        if code == Code.MISSING:
            return Violation(name, code, declared.expected, "nothing: the feature is absent")
        value = record.get(name)
        received = received_text(value, masked=declared.sensitive)
        return Violation(name, code, declared.expected, self._masked(name, received, value))

    def _masked(self, name: str, received: str, value: Any) -> str:
        hidden = name in self.masking.features
        return self.masking.received(name, received, value) if hidden else received

    def _explain_record(self, record: Any, code: Code) -> Violation:
        # With a sensitive feature nobody knows whether its value stands here, be it as a name.
        secret = bool(self.masking.features)
        if code == Code.TYPE:
            received = received_text(record, masked=secret)
            told = self.masking.received(RECORD, received, record) if secret else received
            return Violation(RECORD, code, "an object of features", told)
        extra = [str(name) for name in record if name not in self.schema.features]
        if secret:
            counted = f"{len(extra)} undeclared feature{'s' if len(extra) > 1 else ''}"
            return Violation(RECORD, code, "only features of the schema", counted)
        shown = ", ".join(self._named(name) for name in extra[:_NAMED_MAX])
        more = f" and {len(extra) - _NAMED_MAX} more" if len(extra) > _NAMED_MAX else ""
        return Violation(RECORD, code, "only features of the schema", clipped(shown, TEXT_MAX - 20) + more)

    def _named(self, name: str) -> str:
        folded = {known.casefold(): known for known in self.names}
        nearest = difflib.get_close_matches(name[:TEXT_MAX].casefold(), folded, n=1, cutoff=0.8)
        return quoted(name, 24) + (f" (like {quoted(folded[nearest[0]], 24)}?)" if nearest else "")


_LIKE: Final = {
    Code.GIBBERISH: "text that reads like the sample's",
    Code.NEAR_MISS: "a known value in its right spelling",
}


def _texts(records: Sequence[Any], name: str) -> Factor:
    """The texts of one feature; None for everything else: no record, no text."""
    if isinstance(records, Columns):
        found = records.factor(name)
        return Factor([value if isinstance(value, str) else None for value in found.values], found.index)
    return factor([_text(record, name) for record in records])


def _text(record: Any, name: str) -> str | None:
    value = record.get(name) if isinstance(record, Mapping) else None
    return value if isinstance(value, str) else None


def _core(feature: Feature) -> CoreSchema:
    """The validator of one feature: passes only what its judge passes."""
    schema: CoreSchema
    match feature.type:
        case FeatureType.NUMBER:
            schema = _core_number(feature)
        case FeatureType.INTEGER:
            # A strict float keeps strings and booleans out, the lax integer then refuses fractions.
            schema = core_schema.chain_schema([_core_number(feature), core_schema.int_schema()])
        case FeatureType.CATEGORY if (
            feature.closed and feature.pattern is None and feature.max_length is None
        ):
            schema = core_schema.literal_schema(list(feature.categories or ()))
        case FeatureType.STRING | FeatureType.CATEGORY:
            schema = _core_text(feature)
        case FeatureType.BOOLEAN:
            schema = core_schema.bool_schema(strict=True)
        case FeatureType.ANY:
            schema = core_schema.no_info_plain_validator_function(_refuse_null)  # no schema says just that
    return core_schema.nullable_schema(schema) if feature.nullable else schema


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise ValueError
    return value


def _core_number(feature: Feature) -> CoreSchema:
    return core_schema.float_schema(strict=True, allow_inf_nan=False, ge=feature.minimum, le=feature.maximum)


def _core_text(feature: Feature) -> CoreSchema:
    # A pattern in any case: without one, text that is not valid Unicode passes.
    pattern = _ANY_TEXT if feature.pattern is None else whole_text_pattern(feature.pattern)
    text = core_schema.str_schema(strict=True, pattern=pattern, max_length=feature.max_length)
    if feature.type is FeatureType.CATEGORY and feature.closed:
        return core_schema.chain_schema([text, core_schema.literal_schema(list(feature.categories or ()))])
    return text
