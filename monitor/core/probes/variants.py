"""Making variants of a request, and words for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from monitor.core.masking import HIDDEN
from monitor.core.probes.answers import NEAR_IQR, Answer, Case, Features, Subject, Trial

RANK_FLOOR: Final = 0.001
"""Added to the share of the reference travelled: a step of no length is not infinitely severe."""

CASES_MAX: Final = 3
"""Cases one result carries: the worst."""

ABSENT: Final = object()
"""In place of a value: the feature is not there."""


def put(features: Features, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The request with some values changed."""
    return {**features, **changes}


def travel(subject: Subject, changed: Features, names: Iterable[str]) -> tuple[float, float]:
    """Distance of a variant in interquartile ranges and in shares of the reference, summed over features.

    Only features whose values are legal before and after have a distance; the others add 1.
    """
    iqr = quantile = 0.0
    for name in names:
        axis, one, other = subject.space.axes[name], subject.features.get(name), changed.get(name)
        if subject.space.is_legal(name, one) and subject.space.is_legal(name, other):
            iqr += axis.distance(one, other)
            quantile += axis.travelled(one, other)
        else:
            iqr += 1.0
            quantile += 1.0
    return iqr, quantile


def case_of(probe: str, subject: Subject, names: tuple[str, ...], changed: Features, answer: Answer,
            words: str = "") -> Case:  # fmt: skip
    """A case, its severity |score change| / (share of the reference travelled + `RANK_FLOOR`)."""
    iqr, quantile = travel(subject, changed, names)
    change = subject.change(answer)
    return Case(
        probe,
        names,
        words or ", ".join(shown(subject, name, changed) for name in names),
        dict(subject.features),
        dict(changed),
        subject.base,
        answer,
        subject.flips(answer),
        abs(change or 0.0) / (quantile + RANK_FLOOR),
        iqr,
        quantile,
    )


def worst(cases: Iterable[Case], count: int = CASES_MAX) -> tuple[Case, ...]:
    """The most severe cases, flips first."""
    return tuple(sorted(cases, key=lambda case: (-case.flipped, -case.severity, case.words))[:count])


def trial_of(
    subject: Subject, feature: str, variants: Iterable[tuple[Features, Answer]], names: tuple[str, ...] = ()
) -> Trial:
    """Several variants of one feature as one trial: it flips where any does.

    Args:
        subject: the request.
        feature: what the trial is about.
        variants: rows that were asked, and the answers.
        names: features changed together; `feature` alone by default.
    """
    changes, iqrs, quantiles, errors = [], [], [], []
    different = False
    for row, answer in variants:
        change = subject.change(answer)
        if change is None:
            errors.append(answer.error)
            continue
        changes.append(abs(change))
        different = different or subject.differs(answer)
        if subject.flips(answer):
            iqr, quantile = travel(subject, row, names or ((feature,) if feature else ()))
            iqrs.append(iqr)
            quantiles.append(quantile)
    least = min(iqrs, default=None)
    return Trial(
        feature,
        flipped=bool(iqrs),
        near=least is not None and least <= NEAR_IQR,
        different=different,
        error=errors[0] if errors and not changes else None,
        score_change=max(changes, default=None),
        distance_iqr=least,
        distance_quantile=min(quantiles, default=None),
    )


def shown(subject: Subject, name: str, changed: Features) -> str:
    """One change for people; the values of sensitive features are masked."""
    return in_words(subject, name, subject.features.get(name, ABSENT), changed.get(name, ABSENT))


def in_words(subject: Subject, name: str, before: Any, after: Any) -> str:
    """The same of two values; `ABSENT` for none."""
    texts = [_text(subject, name, value) for value in (before, after)]
    return f"{name} {HIDDEN}" if HIDDEN in texts else f"{name} {texts[0]} → {texts[1]}"


def _text(subject: Subject, name: str, value: Any) -> str:
    if subject.space.axes[name].sensitive:
        return subject.space.masking.value(name, value)
    return "(absent)" if value is ABSENT else json.dumps(value, ensure_ascii=False, default=str)[:100]
