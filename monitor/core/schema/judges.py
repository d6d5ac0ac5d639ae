"""The exact judgement of one value: which code it violates first, or none.

A judge is a function of the value alone. It is the law; the compiled chunk validator is only a faster
way to learn that a judge would find nothing.

Order of the checks, which decides the code when several would apply: presence, null, type (with NaN
and infinity), then range; for text: Unicode, length, pattern, category.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import SchemaValidator, core_schema

from monitor.core.schema.feature import Feature, FeatureType, whole_text_pattern
from monitor.core.schema.violations import Code

OK: Final = -1
"""What a judge answers when nothing is wrong."""

Judge = Callable[[Any], int]
"""Value → `Code`, or `OK`."""

NUMERIC_TEXT_MAX: Final = 64
"""Longer text is text, whatever it looks like."""

_NUMERIC_TEXT: Final = re.compile(
    r"""[+-]?(?:
        [0-9]+(?:[.,][0-9]*)?            # 42   42.   4.2   4,2
      | [.,][0-9]+                       # .5   ,5
      | [0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+  # 1,234.5
      | [0-9]{1,3}(?:,[0-9]{3}){2,}       # 1,234,567
      | [0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+  # 1.234,5
      | [0-9]{1,3}(?:\.[0-9]{3}){2,}      # 1.234.567
    )(?:[eE][+-]?[0-9]+)?""",
    re.VERBOSE,
)


def is_numeric_text(text: str) -> bool:
    """Whether text spells a finite decimal number, with a point or a comma, spaces around it allowed.

    "nan", "inf", "null", "" and "0x1F" do not.

    >>> [is_numeric_text(text) for text in ("42", " 4.2e1 ", "1,5", "1.234,50", "nan", "", "4 2", "12%")]
    [True, True, True, True, False, False, False, False]
    """
    return len(text) <= NUMERIC_TEXT_MAX and _NUMERIC_TEXT.fullmatch(text.strip()) is not None


def judge_of(feature: Feature) -> Judge:
    """The judge of one declared feature, for a value that is present."""
    match feature.type:
        case FeatureType.NUMBER | FeatureType.INTEGER:
            judge = _number_judge(feature)
        case FeatureType.STRING | FeatureType.CATEGORY:
            judge = _text_judge(feature)
        case FeatureType.BOOLEAN:
            judge = _boolean_judge
        case FeatureType.ANY:
            judge = _any_judge
    return _null_judge(judge, OK if feature.nullable else Code.NULL)


def _null_judge(judge: Judge, null_code: int) -> Judge:
    def judged(value: Any) -> int:
        return null_code if value is None else judge(value)

    return judged


def _number_judge(feature: Feature) -> Judge:
    low = -math.inf if feature.minimum is None else feature.minimum
    high = math.inf if feature.maximum is None else feature.maximum
    whole = feature.type is FeatureType.INTEGER

    def judge(value: Any) -> int:
        if isinstance(value, bool):
            return Code.TYPE
        if isinstance(value, int | float):
            try:
                number = float(value)
            except OverflowError:
                return Code.INFINITE
            if number != number:  # noqa: PLR0124 - the fastest test for NaN
                return Code.NAN
            if number in _INFINITIES:
                return Code.INFINITE
            if whole and not number.is_integer():
                return Code.TYPE
            return OK if low <= number <= high else Code.OUT_OF_RANGE
        if isinstance(value, str) and is_numeric_text(value):
            return Code.NUMBER_AS_STRING
        return Code.TYPE

    return judge


_INFINITIES: Final = (math.inf, -math.inf)


def _text_judge(feature: Feature) -> Judge:
    length_max = math.inf if feature.max_length is None else feature.max_length
    # A closed set decides by itself whether text is known, Unicode or not.
    known = frozenset(feature.categories or ()) if _is_closed(feature) else None
    matches = _matcher(feature.pattern) if feature.pattern is not None else None

    def judge(value: Any) -> int:
        if not isinstance(value, str):
            return Code.TYPE
        if known is None and not _is_unicode(value):
            return Code.PATTERN
        if len(value) > length_max:
            return Code.TOO_LONG
        if matches is not None and not matches(value):
            return Code.PATTERN
        if known is not None and value not in known:
            return Code.UNKNOWN_CATEGORY
        return OK

    return judge


def _is_closed(feature: Feature) -> bool:
    return feature.type is FeatureType.CATEGORY and feature.closed


def _is_unicode(text: str) -> bool:
    """Lone surrogates, the remains of text cut in the middle of a character, cannot be encoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _matcher(pattern: str) -> Callable[[str], bool]:
    # The same linear-time engine as in the compiled validator, so both read a pattern alike.
    validator = SchemaValidator(core_schema.str_schema(strict=True, pattern=whole_text_pattern(pattern)))
    return validator.isinstance_python


def _boolean_judge(value: Any) -> int:
    return OK if isinstance(value, bool) else Code.TYPE


def _any_judge(_value: Any) -> int:
    return OK
