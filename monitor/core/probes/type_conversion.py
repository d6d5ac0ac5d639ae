"""The same value as another type: is it read the same, refused, or silently read as something else?

Numbers sent as text are mostly read or refused; the harmful ones are null, "nan" and "" into trees, keys of
categories that change type, and "1,0". What is answered differently without an error is a finding, and
where the answer is that of null the value went missing in silence.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from monitor.core.probes.answers import SAME, Answer, ProbeResult, Subject, Trial
from monitor.core.probes.dialogue import Rounds
from monitor.core.probes.space import Axis
from monitor.core.probes.variants import case_of, put, worst

VARIANTS: Final = (
    "float", "int", "text", "text of float", "text with spaces", "text with comma", "text with exponent",
    "true", "text true", "null", "nan", "text nan", "empty text", "inf",
)  # fmt: skip
"""The columns of the matrix, for 1: 1.0, 1, "1", "1.0", " 1 ", "1,0", "1e0", true, "true", null, NaN, "nan",
"" and inf."""

FEATURES_MAX: Final = 10
"""Features of one request: 14 variants of each are 140 rows."""


@dataclass(frozen=True)
class TypeConversion:
    """Configuration of the probe.

    Attributes:
        tolerance: scores this close are the same.
    """

    tolerance: float = SAME

    name: ClassVar[str] = "type_conversion"

    def rounds(self, subject: Subject, rng: np.random.Generator) -> Rounds:
        """One batch, all variants of the features in focus."""
        names = [n for n in subject.space.axes if n in subject.features]
        names = [n for n in names if subject.focus is None or n in subject.focus]
        if len(names) > FEATURES_MAX:
            names = [names[i] for i in sorted(rng.choice(len(names), FEATURES_MAX, replace=False))]
        asked = [
            (name, variant, value)
            for name in names
            for variant, value in matrix(subject.space.axes[name], subject.features[name]).items()
        ]
        rows = [put(subject.features, {name: value}) for name, _, value in asked]
        answers = (yield rows) if rows else ()
        nulls = {
            name: answer
            for (name, variant, _), answer in zip(asked, answers, strict=True)
            if variant == "null"
        }
        trials, cases = [], []
        for (name, variant, value), row, answer in zip(asked, rows, answers, strict=True):
            legal = variant == "null" and subject.space.axes[name].nullable
            differs = subject.differs(answer, self.tolerance) and not legal
            change = subject.change(answer)
            trials.append(
                Trial(
                    name, variant, flipped=subject.flips(answer) and not legal, different=differs,
                    error=answer.error, score_change=None if change is None else abs(change),
                )
            )  # fmt: skip
            if differs:
                words = _words(subject, name, variant, value, answer, nulls.get(name))
                case = case_of(self.name, subject, (name,), row, answer, words)
                cases.append(replace(case, variant=variant))
        return ProbeResult(self.name, subject, tuple(trials), worst(cases))


def matrix(axis: Axis, value: Any) -> dict[str, Any]:
    """Variants of a value; those that would be the value itself, or another value, are left out.

    >>> from monitor.core.schema.feature import FeatureType
    >>> one = matrix(Axis("x", FeatureType.NUMBER), 1.0)
    >>> [one[name] for name in ("int", "text", "text with comma", "text with exponent", "true")]
    [1, '1', '1,0', '1e0', True]
    """
    if isinstance(value, bool):
        found = _of_boolean(value)
    elif isinstance(value, int | float) and abs(value) <= sys.float_info.max:
        found = _of_number(value)
    elif isinstance(value, str):
        found = _of_text(value)
    else:
        return {}
    if not axis.numeric:
        found.pop("inf", None)
    return {k: v for k, v in found.items() if not (type(v) is type(value) and v == value)}


_NOTHING: Final[Mapping[str, Any]] = {"null": None, "nan": math.nan, "text nan": "nan", "empty text": ""}


def _of_number(value: float) -> dict[str, Any]:
    whole = float(value).is_integer() and abs(value) < 2**53
    short = str(int(value)) if whole else repr(float(value))
    digits, exponent = f"{float(value):.16e}".split("e")
    mantissa = short if short.lstrip("-") in "0123456789" else digits.rstrip("0").rstrip(".")
    power = 0 if mantissa == short else int(exponent)
    numbers: dict[str, Any] = {"float": float(value)} | ({"int": int(value)} if whole else {})
    return numbers | {
        "text": short,
        "text of float": repr(float(value)),
        "text with spaces": f" {short} ",
        "text with comma": repr(float(value)).replace(".", ","),
        "text with exponent": f"{mantissa}e{power}",
        "true": bool(value),
        "text true": "true" if value else "false",
        **_NOTHING,
        "inf": math.inf,
    }


def _of_boolean(value: bool) -> dict[str, Any]:
    number = _of_number(int(value))
    return {**number, "text true": str(value).lower()}


def _of_text(value: str) -> dict[str, Any]:
    found: dict[str, Any] = {"text with spaces": f" {value} ", "true": True, "text true": "true", **_NOTHING}
    try:
        number = float(value)
    except ValueError:
        return found
    return {**_of_number(number), **found} if math.isfinite(number) else found


def _words(subject: Subject, name: str, variant: str, value: Any, answer: Answer, null: Answer | None) -> str:
    own = subject.features[name]
    if subject.space.axes[name].sensitive:
        what = subject.space.masking.received(name, variant, own)
    else:
        what = f"{own!r} sent as {value!r}"
    alike = (
        variant != "null"
        and null is not None
        and null.score is not None
        and answer.score is not None
        and abs(null.score - answer.score) <= SAME
    )
    return f"{name}: {what}" + (", read as if it were missing" if alike else "")
