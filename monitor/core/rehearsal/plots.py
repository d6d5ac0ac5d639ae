"""Plots as inline SVG: no script, no font, no address; colours are classes of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

_WIDTH: Final = 460
_HEIGHT: Final = 250
_LEFT: Final = 46
_RIGHT: Final = 24
_TOP: Final = 12
_BOTTOM: Final = 38
_CELL: Final = 22


def short(value: Any) -> str:
    """A value as an axis has room for.

    >>> short(1234567.0), short(0.00012345), short("Never-married-at-all"), short(True)
    ('1.23M', '0.000123', 'Never-married…', 'true')
    """
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, str):
        return value if len(value) <= 14 else value[:13] + "…"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scale = 1e3 if unit == "k" else size
            return f"{value / scale:.3g}{unit}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"


def curve(feature: str, series: Sequence[Mapping[str, Any]], threshold: float | None) -> str:
    """The score of several requests along one feature; a dot is where a request is."""
    scores = [s for one in series for s in one["scores"] if s is not None]
    low, high = _range(scores)
    numeric = all(
        isinstance(v, int | float) and not isinstance(v, bool) for one in series for v in one["values"]
    )
    values = list(dict.fromkeys(v for one in series for v in one["values"]))
    if numeric:
        least, most = min(values), max(values)
        span = (most - least) or 1.0

        def x(value: Any) -> float:
            return float(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - least) / span)

        ticks = [least + span * i / 4 for i in range(5)]
    else:
        step = (_WIDTH - _LEFT - _RIGHT) / len(values)

        def x(value: Any) -> float:
            return _LEFT + step * (values.index(value) + 0.5)

        ticks = values

    def y(score: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (score - low) / (high - low))

    parts = [_open(f"score along {feature}", _WIDTH, _HEIGHT), *_frame(y, low, high)]
    crowded = not numeric and len(ticks) > 6
    for tick in ticks:
        label = short(tick)[:7] if crowded else short(tick)
        parts.append(_text(x(tick), _HEIGHT - 20, label, "middle"))
    if threshold is not None and low <= threshold <= high:
        parts.append(_level("cut", y(threshold)))
    for one in series:
        points = [(x(v), y(s), v) for v, s in zip(one["values"], one["scores"], strict=True) if s is not None]
        if numeric:
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b, _ in points)
            parts.append(f'<polyline class="thin" points="{line}"/>')
        else:
            parts += [f'<circle class="thin-dot" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b, _ in points]
        parts += [
            f'<circle class="here" cx="{a:.1f}" cy="{b:.1f}" r="3.2"><title>{escape(one["request_id"])}: '
            f"{escape(short(v))}</title></circle>"
            for a, b, v in points
            if v == one["here"]
        ]
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, feature, "middle", "strong"))
    return "".join([*parts, "</svg>"])


def distances(found: Mapping[str, Mapping[str, Any]], near: float) -> str:
    """A row a feature: the share of requests it flips, and how near the flips are, on a log scale."""
    row, left, bar, right = 24, 150, 110, 16
    width = 760
    start, height = left + bar + 60, 40 + row * len(found)
    ends = (-2.0, 1.3)

    def x(iqr: float) -> float:
        place = (math.log10(max(iqr, 10 ** ends[0])) - ends[0]) / (ends[1] - ends[0])
        return start + (width - start - right) * min(max(place, 0.0), 1.0)

    parts = [_open("how near flips are", width, height)]
    parts.append(
        f'<rect class="near" x="{start}" y="8" width="{x(near) - start:.1f}" height="{height - 32}"/>'
    )
    parts.append(_text(start + 4, 18, "near", "start", "faint"))
    for place, (name, one) in enumerate(found.items()):
        y = 22 + row * place
        share = len(one["iqr"]) / one["trials"] if one["trials"] else 0.0
        parts.append(_text(left - 8, y + 12, name if len(name) <= 20 else name[:19] + "…", "end"))
        parts.append(f'<rect class="track" x="{left}" y="{y + 3}" width="{bar}" height="11" rx="3"/>')
        parts.append(
            f'<rect class="bar" x="{left}" y="{y + 3}" width="{bar * share:.1f}" height="11" rx="3"/>'
        )
        parts.append(_text(left + bar + 6, y + 12, f"{share:.0%}", "start", "faint"))
        parts += [f'<circle class="flip" cx="{x(d):.1f}" cy="{y + 8.5}" r="3"/>' for d in one["iqr"]]
    for tick in (0.01, 0.1, 1, 10):
        parts.append(_text(x(tick), height - 4, f"{tick:g} IQR", "middle", "faint"))
    return "".join([*parts, "</svg>"])


def surface(one: Mapping[str, Any], threshold: float | None) -> str:
    """The score over two features of one request: a ring where it is, a cross where the probe went."""
    xs, ys, scores = one["x"], one["y"], one["scores"]
    size = 320
    wide, tall = size / len(xs), size / len(ys)
    left, top = 110, 10
    low, high = _range([s for line in scores for s in line if s is not None])
    middle = threshold if threshold is not None and low < threshold < high else (low + high) / 2
    first, second = one["features"]
    parts = [_open(f"score over {first} and {second}", left + size + 20, top + size + 50)]
    for j, line in enumerate(scores):
        for i, score in enumerate(line):
            a, b = left + wide * i, top + size - tall * (j + 1)
            words = "refused" if score is None else f"{score:.3f}"
            fill = "#8888" if score is None else _shade(score, low, middle, high)
            parts.append(
                f'<rect x="{a:.1f}" y="{b:.1f}" width="{wide + 0.3:.1f}" height="{tall + 0.3:.1f}" '
                f'fill="{fill}">'
                f"<title>{escape(short(xs[i]))}, {escape(short(ys[j]))}: {words}</title></rect>"
            )
    if threshold is not None:
        parts += _border(scores, threshold, left, top, size, wide, tall)

    def at(pair: Sequence[Any]) -> tuple[float, float]:
        return left + wide * (_place(xs, pair[0]) + 0.5), top + size - tall * (_place(ys, pair[1]) + 0.5)

    a, b = at(one["here"])
    parts.append(f'<circle class="ring" cx="{a:.1f}" cy="{b:.1f}" r="6"/>')
    if one["there"] is not None:
        c, d = at(one["there"])
        parts.append(f'<path class="cross" d="M{c - 5:.1f} {d - 5:.1f}l10 10m0 -10l-10 10"/>')
    for i in _spread(len(xs)):
        parts.append(_text(left + wide * (i + 0.5), top + size + 16, short(xs[i])[:9], "middle"))
    for j in _spread(len(ys)):
        parts.append(_text(left - 6, top + size - tall * (j + 0.5) + 4, short(ys[j]), "end"))
    parts.append(_text(left + size / 2, top + size + 38, first, "middle", "strong"))
    parts.append(
        f'<text class="strong" text-anchor="middle" transform="translate(16 {top + size / 2}) rotate(-90)">'
        f"{escape(second)}</text>"
    )
    return "".join([*parts, "</svg>"])


def pair_map(pairs: Iterable[Mapping[str, Any]]) -> str:
    """Features by features: in how many requests the two do together what neither does alone."""
    often = {tuple(one["features"]): one["requests"] for one in pairs}
    names = sorted({name for pair in often for name in pair})[:24]
    most = max(often.values())
    left = top = 130
    side = _CELL * len(names)
    parts = [_open("pairs of features", left + side + 60, top + side + 10)]
    for j, second in enumerate(names):
        parts.append(_text(left - 6, top + _CELL * j + 15, short(second), "end"))
        parts.append(
            f'<text text-anchor="start" transform="translate({left + _CELL * j + 14} {top - 6}) rotate(-50)">'
            f"{escape(short(second))}</text>"
        )
        for i, first in enumerate(names):
            count = often.get((first, second)) or often.get((second, first)) or 0
            opacity = 0.15 + 0.85 * count / most if count else 0
            a, b = left + _CELL * i, top + _CELL * j
            parts.append(f'<rect class="grid" x="{a}" y="{b}" width="{_CELL}" height="{_CELL}"/>')
            if count:
                parts.append(
                    f'<rect class="bar" x="{a}" y="{b}" width="{_CELL}" height="{_CELL}" '
                    f'fill-opacity="{opacity:.2f}">'
                    f"<title>{escape(first)} and {escape(second)}: {count}</title></rect>"
                )
                style = "on" if opacity > 0.6 else ""
                parts.append(_text(a + _CELL / 2, b + 15, str(count), "middle", style))
    return "".join([*parts, "</svg>"])


def _border(
    scores: Any, threshold: float, left: int, top: int, size: int, wide: float, tall: float
) -> list[str]:
    """Where the decision changes between two cells."""

    def side(score: float | None) -> bool | None:
        return None if score is None else score >= threshold

    path = []
    for j, line in enumerate(scores):
        for i, score in enumerate(line):
            a, b = left + wide * i, top + size - tall * (j + 1)
            if (
                i + 1 < len(line)
                and None not in (pair := {side(score), side(line[i + 1])})
                and len(pair) == 2
            ):
                path.append(f"M{a + wide:.1f} {b:.1f}v{tall:.1f}")
            if (
                j + 1 < len(scores)
                and None not in (pair := {side(score), side(scores[j + 1][i])})
                and len(pair) == 2
            ):
                path.append(f"M{a:.1f} {b:.1f}h{wide:.1f}")
    return [f'<path class="border" d="{"".join(path)}"/>'] if path else []


def _range(scores: Sequence[float]) -> tuple[float, float]:
    """Of an axis: [0, 1] where scores are probabilities."""
    if not scores or (min(scores) >= 0 and max(scores) <= 1):
        return 0.0, 1.0
    low, high = min(scores), max(scores)
    room = max(0.5, 1e-6 * abs(low))
    return (low, high) if high > low else (low - room, high + room)


def _shade(score: float, low: float, middle: float, high: float) -> str:
    """Blue below the middle, white at it, orange above."""
    above = score >= middle
    share = (score - middle) / (high - middle) if above else (middle - score) / (middle - low)
    end = (214, 106, 38) if above else (38, 103, 176)
    red, green, blue = (round(246 + (channel - 246) * min(max(share, 0.06), 1.0)) for channel in end)
    return f"rgb({red},{green},{blue})"


def _place(values: Sequence[Any], value: Any) -> float:
    """Where a value lies among the cells."""
    if value in values:
        return float(values.index(value))
    below = [v for v in values if isinstance(v, int | float) and v <= value]
    return float(max(len(below) - 1, 0))


def _spread(count: int) -> list[int]:
    """At most six places, evenly."""
    step = max(1, math.ceil(count / 6))
    return list(range(0, count, step))


def _frame(y: Any, low: float, high: float) -> list[str]:
    parts = []
    for i in range(5):
        score = low + (high - low) * i / 4
        parts.append(_level("grid", y(score)))
        parts.append(_text(_LEFT - 6, y(score) + 4, short(score), "end"))
    return parts


def _level(style: str, y: float) -> str:
    return f'<line class="{style}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _open(title: str, width: float, height: float) -> str:
    box = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
    return f'<svg {box} role="img" aria-label="{escape(title)}">'


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
