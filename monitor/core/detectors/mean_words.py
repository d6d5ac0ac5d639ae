"""What is said of a gap between two means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from monitor.core.amounts import amount
from monitor.core.detectors.finding import NAMED, Finding, SliceName, clock
from monitor.core.detectors.mean_tables import INVALID, N1, N2, MeanMetric, MeanStream, means
from monitor.core.evidence.edetector import Floats
from monitor.core.records import AlertKind, Severity
from monitor.core.slices.spec import CATCH_ALL

_WORDS: Final = {
    MeanMetric.MEAN_VALUE: "mean predicted value",
    MeanMetric.MEAN_SCORE: "mean score",
    MeanMetric.MAE: "mean absolute error",
    MeanMetric.BIAS: "bias (mean of value - label)",
}
_SERVED_ALIKE: Final = (
    "Look for a rule or a feature that stands in for this group, and compare like cases: "
    "monitor fairness, within strata of what may justify a difference."
)
_ADVICE: Final = {
    MeanMetric.MEAN_VALUE: _SERVED_ALIKE,
    MeanMetric.MEAN_SCORE: _SERVED_ALIKE,
    MeanMetric.MAE: "Compare predictions of this slice that are far off with good ones: features, client.",
    MeanMetric.BIAS: "Its predictions are off to one side: see whether a feature or the labels of it moved.",
}


def others(name: SliceName, names: Mapping[int, SliceName]) -> str:
    """Whom a slice is compared with: the other value of a feature of two, or the rest.

    >>> two = {i: SliceName(i, '{"sex":"%s"}' % sex) for i, sex in enumerate(("Female", "Male"), 1)}
    >>> others(two[1], two)
    'sex = Male'
    >>> others(two[1], {1: two[1]})
    'the rest'
    """
    if len(name.parts) != 1 or NAMED in name.parts:
        return "the rest"
    same = [o for o in names.values() if o.parts.keys() == name.parts.keys() and o.id != name.id]
    alone = len(same) == 1 and not CATCH_ALL & set(same[0].parts.values())
    return same[0].text if alone else "the rest"


def finding_of(
    stream: MeanStream,
    names: Mapping[int, SliceName],
    sums: Floats | None,
    reference: Floats,
    *,
    ratio: bool,
    began_ms: int,
    at_ms: int,
    tolerated: float,
) -> Finding:
    """A gap in words; evidence is the caller's to add.

    Args:
        stream: the test.
        names: slice id → name.
        sums: since the change began, float64[9]; None for a gap that the reference shows.
        reference: float64[8].
        ratio: means are compared by their ratio.
        began_ms: where the evidence begins, epoch ms.
        at_ms: end of the last bucket taken, epoch ms.
        tolerated: ρ0 or δ0.
    """
    name, words = names[stream.slice_id], _WORDS[stream.metric]
    shown = reference if sums is None else sums
    mean, rest = _pair(shown)
    mean_before, rest_before = _pair(reference)
    other = others(name, names)
    times, times_before = _ratio(mean, rest), _ratio(mean_before, rest_before)
    figures = f"{amount(mean)} against {amount(rest)}"
    in_times = ratio and math.isfinite(times) and math.isfinite(times_before)
    if in_times:
        said = f"{words} of {name.text} is {times:.2g} times that of {other}: {figures}"
        before = f"{times_before:.2g} times in the reference"
    else:
        said = f"{words} of {name.text} is {figures} of {other}"
        before = f"{amount(mean_before)} against {amount(rest_before)} in the reference"
    if sums is None:
        summary = f"{said}, and was so in the reference"
        advice = "Decide whether this gap is acceptable. Only its growth will page."
    else:
        summary = f"{said}, over {int(shown[N1]):,} rows since {clock(began_ms)} ({before})"
        advice = _ADVICE[stream.metric]
    return Finding(
        kind=AlertKind.STANDING_GAP if sums is None else AlertKind.GAP_CHANGE,
        subject={"slice": name.parts, "metric": stream.metric.value},
        holds=True,
        severity=Severity.NOTICE if sums is None else Severity.PAGE,
        log_evidence=0.0,
        log_threshold=0.0,
        effect=times if in_times else mean - rest,
        effect_unit="ratio" if in_times else "difference",
        rows=int(shown[N1]),
        excess=None,
        began_ms=began_ms,
        at_ms=at_ms,
        summary=summary,
        advice=advice,
        values={
            "slice_mean": mean,
            "rest_mean": rest,
            "difference": mean - rest,
            "ratio": times if math.isfinite(times) else None,
            "reference_slice_mean": mean_before,
            "reference_rest_mean": rest_before,
            "slice_rows": int(shown[N1]),
            "rest_rows": int(shown[N2]),
            "tolerated_ratio" if ratio else "tolerated_difference": tolerated,
            "side": "lower" if stream.low else "higher",
        },
        notes=("asymptotic: the evidence takes the reference's means to be normal",) if sums is None else (),
        acknowledged=sums is None,
        features=name.features,
        invalid_rows=0 if sums is None else int(shown[INVALID]),
    )


def _pair(sums: Floats) -> tuple[float, float]:
    one, rest = means(np.asarray(sums)[None, :])
    return float(one[0]), float(rest[0])


def _ratio(one: float, other: float) -> float:
    return one / other if other else math.inf
