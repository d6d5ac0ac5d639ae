"""How a schema becomes the next one: the change that would accept what broke it, and how two of them differ.

A proposal is not advice: it says what the schema would have to be for the values to be right. Whether they
are is for a person to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.errors import SchemaError
from monitor.core.schema.feature import NUMERIC, Feature, FeatureType
from monitor.core.schema.model import FeatureSchema
from monitor.core.schema.violations import RECORD, Code, clipped

_SHOWN_MAX: Final = 60


@dataclass(frozen=True)
class Change:
    """One field of one feature; `field` is empty where the feature as a whole is added or removed.

    Attributes:
        feature: its name, or `record` for the schema itself.
        field: of the feature.
        before: value so far; None where there was none.
        after: value to come; None where there is to be none.
        caution: what accepting it gives up, or "".
    """

    feature: str
    field: str
    before: Any
    after: Any
    caution: str = ""

    @property
    def text(self) -> str:
        """For people.

        >>> Change("age", "maximum", 120.0, 130.0).text
        'age: maximum 120 → 130'
        """
        if not self.field:
            return f"{self.feature}: {'removed' if self.after is None else 'added'}"
        return f"{self.feature}: {self.field} {_shown(self.before)} → {_shown(self.after)}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        said = {"feature": self.feature, "field": self.field, "before": self.before, "after": self.after}
        return said | ({"caution": self.caution} if self.caution else {})


def propose(schema: FeatureSchema, feature: str, code: Code, received: Iterable[str]) -> tuple[Change, ...]:
    """What would make the schema accept the values that break it.

    Args:
        schema: as it is.
        feature: name of the feature, or `record`.
        code: how it is broken.
        received: values that broke it, spelled as JSON (`Violation.received`); others are left out.

    Returns:
        The changes; none where no schema could accept the values, or none of them can be read.
    """
    if feature == RECORD:
        tolerates = code is Code.UNEXPECTED and schema.unexpected == "violate"
        caution = "new features are then never noticed; better to declare them"
        return (Change(RECORD, "unexpected", "violate", "tolerate", caution),) if tolerates else ()
    if feature not in schema.features or code not in _PROPOSALS:
        return ()
    declared = schema.features[feature]
    found = _PROPOSALS[code](declared, [value for text in received for value in _read(text)])
    return tuple(
        Change(feature, field, _plain(getattr(declared, field)), after, caution)
        for field, after, caution in found
        if _plain(getattr(declared, field)) != after
    )


def accept(schema: FeatureSchema, changes: Sequence[Change]) -> FeatureSchema:
    """The schema with changes made.

    Raises:
        SchemaError: the result would contradict itself, or a change names no feature of the schema.
    """
    document = schema.model_dump(mode="json", exclude_defaults=True)
    for change in changes:
        if change.feature == RECORD:
            document[change.field] = change.after
        elif change.feature not in document["features"]:
            raise SchemaError([f"no feature {change.feature!r}"])
        else:
            body = document["features"][change.feature]
            body[change.field] = change.after
            if change.field == "type":
                # What belonged to the old type, its reference included, means nothing in the new one.
                kept = ("type", "required", "nullable", "tolerated", "sensitive", "immutable", "note")
                document["features"][change.feature] = {k: v for k, v in body.items() if k in kept}
    try:
        return FeatureSchema.model_validate(document)
    except ValueError as error:
        raise SchemaError([str(error)]) from None


def compare(old: FeatureSchema, new: FeatureSchema) -> tuple[Change, ...]:
    """Every field in which two schemas differ; references by their number of rows."""
    found = [
        Change(RECORD, field, getattr(old, field), getattr(new, field))
        for field in ("unexpected", "tolerated")
        if getattr(old, field) != getattr(new, field)
    ]
    for name in dict.fromkeys([*old.features, *new.features]):
        before, after = old.features.get(name), new.features.get(name)
        if before is None or after is None:
            found.append(Change(name, "", before and before.expected, after and after.expected))
            continue
        for field in Feature.model_fields:
            one, two = _plain(getattr(before, field)), _plain(getattr(after, field))
            if getattr(before, field) != getattr(after, field):
                found.append(Change(name, field, one, two))
    return tuple(found)


Proposal = Callable[[Feature, Sequence[Any]], list[tuple[str, Any, str]]]


def _range(feature: Feature, values: Sequence[Any]) -> list[tuple[str, Any, str]]:
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    finite = [v for v in numbers if math.isfinite(v)]
    found: list[tuple[str, Any, str]] = []
    if finite and feature.minimum is not None and min(finite) < feature.minimum:
        found.append(("minimum", min(finite), ""))
    if finite and feature.maximum is not None and max(finite) > feature.maximum:
        found.append(("maximum", max(finite), ""))
    return found


def _categories(feature: Feature, values: Sequence[Any]) -> list[tuple[str, Any, str]]:
    new = dict.fromkeys(v for v in values if isinstance(v, str) and v not in (feature.categories or ()))
    caution = "the model has never seen them: retrain it, or see what it answers"
    return [("categories", [*(feature.categories or ()), *new], caution)] if new else []


def _type(feature: Feature, values: Sequence[Any]) -> list[tuple[str, Any, str]]:
    numbers = bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if feature.type is FeatureType.INTEGER and numbers:
        return [("type", FeatureType.NUMBER.value, "")]
    what = "a number may then come as text" if feature.type in NUMERIC else "its values may then be anything"
    return [
        ("type", FeatureType.ANY.value, f"{what}, and only its absence is noticed; better fixed upstream")
    ]


_PROPOSALS: Final[dict[Code, Proposal]] = {
    Code.MISSING: lambda _, __: [("required", False, "the model must know what to do without it")],
    Code.NULL: lambda _, __: [("nullable", True, "the model must know what to do without it")],
    Code.NAN: _type,
    Code.INFINITE: _type,
    Code.NUMBER_AS_STRING: _type,
    Code.TYPE: _type,
    Code.OUT_OF_RANGE: _range,
    Code.UNKNOWN_CATEGORY: _categories,
    Code.PATTERN: lambda _, __: [("pattern", None, "any text is then right")],
    Code.TOO_LONG: lambda _, __: [("max_length", None, "text of any length is then right")],
}


def _read(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except ValueError:
        return []


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    rows = getattr(value, "rows", None)
    return value if rows is None else f"{rows} rows"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return clipped(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _SHOWN_MAX)
