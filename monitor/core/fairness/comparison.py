"""Groups compared on one quantity: the worst pair, each against the rest, all, and a named reference.

The worst pair is picked after looking, so its interval is simultaneous: with k groups each of the m = k (k -
1) / 2 pairs is measured at confidence 1 - (1 - level) / m (Bonferroni). The greatest lower end and the
greatest upper end then hold the true greatest difference between any two groups at `level`, whichever pair
that is. Intervals of single groups and of their gaps hold at `level` one by one.

A group of fewer than `rows_min` rows has a rate with its (wide) interval, and no gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Final

from monitor.core.fairness.extremes import greatest, smallest
from monitor.core.fairness.readings import OVERALL, Comparison, Contrast, Extreme, GroupReading
from monitor.core.fairness.recovery import difference, inverse, ratio
from monitor.core.fairness.sums import Sums, total
from monitor.core.metrics.estimate import Estimate

ROWS_MIN: Final = 30
"""Rows from which a group's gap is told. Below, the interval of a rate spans a third of its range."""


def compare(
    groups: Mapping[str, Sums],
    reference: str | None = None,
    level: float = 0.95,
    rows_min: int = ROWS_MIN,
    ratios: bool = True,
    absent: str = "no rows",
) -> Comparison:
    """Compare groups that share no rows.

    Args:
        groups: name → sums, of one family.
        reference: the group that others are held against.
        level: confidence level, in (0, 1).
        rows_min: rows from which a group has gaps.
        ratios: whether ratios are wanted.
        absent: what is missing in a group without rows.

    >>> from monitor.core.fairness.sums import Trials
    >>> found = compare({"a": Trials(75, 100), "b": Trials(50, 100)})
    >>> found.worst.difference.value, found.worst.higher, found.four_fifths.value
    (0.25, 'a', 'unclear')
    """
    if not groups:
        nothing = Estimate.undefined("no group in this window")
        return Comparison(nothing, {}, Extreme.undefined(absent), Extreme.undefined(absent))
    whole = total(list(groups.values()))
    readings = {}
    for name, sums in groups.items():
        others = [other for key, other in groups.items() if key != name]
        rest = total(others) if others else None
        held = None
        if reference is not None and reference != name:
            held = contrast(sums, groups[reference], level, rows_min, ratios, absent)
        readings[name] = GroupReading(
            sums.rows,
            _value(sums, level, absent),
            Contrast.undefined("there is no other group")
            if rest is None
            else contrast(sums, rest, level, rows_min, ratios, absent),
            _to_overall(sums, rest, level, rows_min, ratios, absent),
            held,
        )
    return Comparison(
        _value(whole, level, absent),
        readings,
        _worst(groups, level, rows_min, ratios, absent),
        _furthest(groups, level, rows_min, ratios, absent),
    )


def insufficient(rows: int, rows_min: int, absent: str) -> str | None:
    """Why `rows` rows are not compared; None where they are enough.

    >>> insufficient(8, 30, "no decisions")
    'insufficient data: 8 rows, 30 are needed'
    """
    if rows == 0:
        return absent
    return None if rows >= rows_min else f"insufficient data: {rows} rows, {rows_min} are needed"


def _value(sums: Sums, level: float, absent: str) -> Estimate:
    return sums.measure(level) if sums.rows else Estimate.undefined(absent)


def contrast(one: Sums, other: Sums, level: float, rows_min: int, ratios: bool, absent: str) -> Contrast:
    """`one` against `other`; the arguments are those of `compare`."""
    refusal = insufficient(one.rows, rows_min, absent) or insufficient(other.rows, rows_min, absent)
    if refusal:
        return Contrast.undefined(refusal)
    left, right = one.measure(level), other.measure(level)
    return Contrast(difference(left, right), _ratio(left, right, ratios))


def _ratio(one: Estimate, other: Estimate, wanted: bool) -> Estimate:
    return ratio(one, other) if wanted else Estimate.undefined("a ratio means nothing for this quantity")


def _to_overall(
    sums: Sums, rest: Sums | None, level: float, rows_min: int, ratios: bool, absent: str
) -> Contrast:
    """Against all groups together: what the contrast to the rest says, the group's share w taken as given.

    With g the group and r the rest, all is `w g + (1 - w) r`: the difference to it is `(1 - w) (g - r)` and
    the ratio `1 / (w + (1 - w) / (g / r))`, which rises with g / r.
    """
    if rest is None or rest.rows == 0:
        refusal = insufficient(sums.rows, rows_min, absent)
        return Contrast.undefined(refusal or "there is no other group")
    found = contrast(sums, rest, level, rows_min, ratios, absent)
    share = sums.rows / (sums.rows + rest.rows)
    gap, times = found.difference, found.ratio
    if gap.value is not None:
        gap = _mapped(gap, lambda value: (1 - share) * value)
        if times.value is None and ratios and rest.mean == 0 and sums.mean > 0:
            times = Estimate(1 / share)
        else:
            times = _mapped(times, lambda value: _ratio_to_all(value, share))
    return Contrast(gap, times)


def _ratio_to_all(value: float, share: float) -> float:
    if value == 0:
        return 0.0
    return 1 / share if math.isinf(value) else 1 / (share + (1 - share) / value)


def _mapped(value: Estimate, rising: Callable[[float], float]) -> Estimate:
    if value.value is None:
        return value
    return Estimate(
        rising(value.value),
        None if value.low is None else rising(value.low),
        None if value.high is None else rising(value.high),
    )


def _worst(groups: Mapping[str, Sums], level: float, rows_min: int, ratios: bool, absent: str) -> Extreme:
    enough = {name: sums for name, sums in groups.items() if sums.rows >= max(rows_min, 1)}
    if len(enough) < 2:
        some = any(sums.rows for sums in groups.values())
        return Extreme.undefined(
            f"insufficient data: fewer than two groups have {rows_min} rows" if some else absent
        )
    pairs = list(combinations(enough, 2))
    each = 1 - (1 - level) / len(pairs)
    measured = {name: sums.measure(each) for name, sums in enough.items()}
    found = []
    for one, other in pairs:
        higher, lower = (one, other) if enough[one].mean >= enough[other].mean else (other, one)
        gap = difference(measured[higher], measured[lower])
        found.append((higher, lower, gap, _ratio(measured[lower], measured[higher], ratios)))
    return _extreme(found)


def _furthest(groups: Mapping[str, Sums], level: float, rows_min: int, ratios: bool, absent: str) -> Extreme:
    each = 1 - (1 - level) / max(len(groups), 1)
    found = []
    for name, sums in groups.items():
        others = [other for key, other in groups.items() if key != name]
        held = _to_overall(sums, total(others) if others else None, each, rows_min, ratios, absent)
        gap = held.difference
        if gap.value is None:
            continue
        if gap.value >= 0:
            found.append((name, OVERALL, gap, inverse(held.ratio)))
        else:
            found.append((OVERALL, name, _negative(gap), held.ratio))
    if not found:
        return Extreme.undefined(f"insufficient data: fewer than two groups have {rows_min} rows")
    return _extreme(found)


def _negative(value: Estimate) -> Estimate:
    """Minus an estimate."""
    assert value.value is not None
    return Estimate(
        -value.value,
        None if value.high is None else -value.high,
        None if value.low is None else -value.low,
    )


def _extreme(found: list[tuple[str, str, Estimate, Estimate]]) -> Extreme:
    """The greatest of differences that are not negative, and the smallest of ratios that are at most 1."""
    higher, lower, _, _ = max(found, key=lambda item: item[2].value or 0.0)
    return Extreme(
        higher, lower, greatest(gap for *_, gap, _ in found), smallest(times for *_, times in found)
    )
