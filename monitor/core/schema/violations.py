"""What can be wrong with a record that was read: bounded codes, and the sentence a person reads.

A violation is data, not an error. Counters hold codes only; the sentence is made for the few records
kept as evidence.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from monitor.core.printable import printable

RECORD: Final = "record"
"""Stands where a feature's name would, for violations of the record itself (cell id 0)."""

RECORD_INDEX: Final = -1
"""The feature index of violations of the record itself."""

TEXT_MAX: Final = 100
"""Characters of a received value that a message shows."""


class Code(IntEnum):
    """Every kind of violation. The value is the cell within a feature's cells; never renumber.

    >>> Code.NUMBER_AS_STRING.slug
    'number_as_string'
    >>> Code.from_slug("null") is Code.NULL
    True
    """

    MISSING = 0  # a required feature is not in the record
    NULL = 1  # null where the feature is not nullable
    NAN = 2
    INFINITE = 3  # infinite, or an integer too large for a 64-bit float
    NUMBER_AS_STRING = 4  # "42" sent where a number is due
    TYPE = 5  # any other change of type; on the record: the features are not an object
    OUT_OF_RANGE = 6
    UNKNOWN_CATEGORY = 7
    PATTERN = 8  # text that does not match, or is not valid Unicode
    TOO_LONG = 9
    UNEXPECTED = 10  # on the record: features the schema does not name
    BAD_TIMESTAMP = 11  # on the record
    SCORE_RANGE = 12  # on the record: the score is no number in [0, 1]
    GIBBERISH = 13  # soft: text that does not read like the sample's, or with broken characters
    NEAR_MISS = 14  # soft: text that is a slip away from a known value

    @property
    def slug(self) -> str:
        """The name in alerts and JSON."""
        return _SLUGS[self]

    @classmethod
    def from_slug(cls, slug: str) -> Code:
        """The code of a slug.

        Raises:
            KeyError: no code has this slug.
        """
        return _CODES[slug]


_SLUGS: Final = {
    Code.MISSING: "missing_feature",
    Code.NULL: "null",
    Code.NAN: "nan",
    Code.INFINITE: "infinite",
    Code.NUMBER_AS_STRING: "number_as_string",
    Code.TYPE: "type_changed",
    Code.OUT_OF_RANGE: "out_of_range",
    Code.UNKNOWN_CATEGORY: "unknown_category",
    Code.PATTERN: "pattern",
    Code.TOO_LONG: "too_long",
    Code.UNEXPECTED: "unexpected_feature",
    Code.BAD_TIMESTAMP: "bad_timestamp",
    Code.SCORE_RANGE: "score_range",
    Code.GIBBERISH: "gibberish",
    Code.NEAR_MISS: "near_miss",
}
SOFT: Final = frozenset({Code.GIBBERISH, Code.NEAR_MISS})
"""Doubts. They are counted beside the violations, but a record that has nothing else stays valid."""

_CODES: Final = {slug: code for code, slug in _SLUGS.items()}


@dataclass(frozen=True, slots=True)
class Violation:
    """One feature of one record that breaks the schema.

    >>> Violation("age", Code.OUT_OF_RANGE, "a number between 0 and 120", "100000").message
    'age: expected a number between 0 and 120, received 100000'

    Attributes:
        feature: the feature's name, or `RECORD`.
        code: what is wrong with it.
        expected: what the schema asks for, in words.
        received: what came, escaped, at most `TEXT_MAX` characters; of a sensitive feature only its kind.
    """

    feature: str
    code: Code
    expected: str
    received: str

    @property
    def message(self) -> str:
        """The sentence a person reads."""
        return printable(f"{self.feature}: expected {self.expected}, received {self.received}")


def clipped(text: str, length_max: int = TEXT_MAX) -> str:
    """Cut text to `length_max` characters, the last an ellipsis if anything was cut.

    >>> clipped("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def quoted(text: str, length_max: int = TEXT_MAX) -> str:
    r"""Text in double quotes, everything unprintable escaped, cut to `length_max` characters.

    >>> print(quoted("a\nb"), quoted("Zürich"))
    "a\nb" "Zürich"
    """
    head = text[: length_max + 1]
    return clipped(json.dumps(head, ensure_ascii=not head.isprintable()), length_max)


def received_text(value: Any, *, masked: bool = False) -> str:
    """A value as a message shows it: bounded, escaped, spelled as JSON spells it.

    Args:
        value: anything decoded from JSON.
        masked: tell the kind of the value and not the value (sensitive features).

    Returns:
        At most `TEXT_MAX` characters.

    >>> received_text(float("nan")), received_text({"a": 1}), received_text("x", masked=True)
    ('NaN', 'an object of 1 keys', 'a string of 1 characters')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean" if masked else ("true" if value else "false")
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)} items"
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if masked else quoted(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, int | float) and masked:
        return "a number"
    if isinstance(value, int) and value.bit_length() > 200:  # longer than a message, and slow to spell
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return repr(value)
    return clipped(f"a value of type {type(value).__name__}")
