"""What became of a slice since its alert began: its age, errors too many, and whether its users leave.

Pure helpers for the notes of an alert. Shares are best taken of two stretches of the same kind of time (an
hour against the same hour before), so that a daily cycle is not read as people leaving.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.core.detectors.finding import percent
from monitor.core.fairness.readings import estimate_dict
from monitor.core.fairness.recovery import difference, ratio
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import wilson
from monitor.core.times import format_duration


@dataclass(frozen=True)
class Note:
    """A sentence for people, and the figures behind it, ready for JSON."""

    text: str
    values: Mapping[str, Any]


def age(began_ms: int, at_ms: int) -> Note:
    """How long it has been going on, epoch milliseconds of event time.

    >>> age(0, 5_400_000).text
    'going on for 1h30m'
    """
    seconds = max(at_ms - began_ms, 0) // 1000
    return Note(f"going on for {format_duration(seconds)}", {"age_s": seconds})


def excess_errors(
    rows: int, errors: int, rest_rows: int, rest_errors: int, level: float = 0.95
) -> Note | None:
    """Errors of a slice beyond what the rest's error rate would have made, with an interval.

    `excess = rows (errors / rows - rest_errors / rest_rows)`; its interval is `rows` times that of the
    difference of the two rates (`recovery.difference`). None where either side has no rows.

    >>> excess_errors(1_000, 180, 10_000, 1_000).text
    '80 errors more than the rest would have made (57 to 106)'
    """
    if rows == 0 or rest_rows == 0:
        return None
    gap = difference(_rate(errors, rows, level), _rate(rest_errors, rest_rows, level))
    assert gap.value is not None
    assert gap.low is not None
    assert gap.high is not None
    found = Estimate(gap.value * rows, gap.low * rows, gap.high * rows)
    count, low, high = (round(end * rows) for end in (gap.value, gap.low, gap.high))
    if count >= 0:
        text = f"{count:,} errors more than the rest would have made ({low:,} to {high:,})"
    else:
        text = f"{-count:,} errors fewer than the rest would have made ({-high:,} to {-low:,})"
    return Note(text, {"excess_errors": estimate_dict(found)})


def share_change(
    slice_before: int,
    all_before: int,
    slice_after: int,
    all_after: int,
    level: float = 0.95,
    design_effect: float = 1.0,
) -> Note | None:
    """What became of a slice's share of traffic.

    The change is `after / before - 1` of the two shares, its interval that of their ratio
    (`recovery.ratio`). None where a stretch has no traffic or the slice had none before.

    Args:
        slice_before: requests of the slice in a stretch before the alert began.
        all_before: requests of all traffic in that stretch.
        slice_after: requests of the slice since then.
        all_after: requests of all traffic since then.
        level: confidence level, in (0, 1).
        design_effect: by how much shares vary more than independent rows would; at least 1. Counts are
            divided by it in the intervals.

    >>> share_change(800, 10_000, 592, 10_000).text
    'its share of traffic fell from 8 % to 5.9 % (-26 %, between -33 % and -18 %): its users may be leaving'
    >>> share_change(800, 10_000, 790, 10_000).text
    'its share of traffic is what it was: 7.9 % against 8 % (-1 %, between -10 % and +9 %)'
    """
    if slice_before == 0 or all_before == 0 or all_after == 0:
        return None
    before = _rate(slice_before, all_before, level, design_effect)
    after = _rate(slice_after, all_after, level, design_effect)
    times = ratio(after, before)
    assert times.value is not None
    assert times.low is not None
    assert times.high is not None
    assert before.value is not None
    assert after.value is not None
    change = Estimate(times.value - 1, times.low - 1, times.high - 1)
    between = f"({_percents(times.value)}, between {_percents(times.low)} and {_percents(times.high)})"
    shares = f"from {percent(before.value)} to {percent(after.value)} {between}"
    if times.high < 1:
        text = f"its share of traffic fell {shares}: its users may be leaving"
    elif times.low > 1:
        text = f"its share of traffic rose {shares}"
    else:
        text = (
            f"its share of traffic is what it was: {percent(after.value)} against {percent(before.value)} "
            f"{between}"
        )
    values = {"before": before.to_dict(), "after": after.to_dict(), "change": estimate_dict(change)}
    return Note(text, {"share_of_traffic": values})


def _rate(hits: int, rows: int, level: float, design_effect: float = 1.0) -> Estimate:
    return Estimate(hits / rows, *wilson(hits / rows, rows / design_effect, level))


def _percents(times: float) -> str:
    return "any" if math.isinf(times) else f"{100 * (times - 1):+.0f} %"
