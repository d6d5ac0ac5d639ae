"""Plots of the report, drawn as SVG by hand: bars and lines are all it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH: Final = 720
_ROW: Final = 22
_LEFT: Final = 250
_COLOURS: Final = ("#2f6fab", "#c4572b", "#3f8f5f", "#7d5ba6", "#b08900", "#557788")


def bars(title: str, values: Mapping[str, float], limit: float | None = None, unit: str = "") -> str:
    """Horizontal bars, one a name, with a line at `limit`."""
    most = max([*values.values(), limit or 0.0, 1e-9])
    room = _WIDTH - _LEFT - 90
    height = 40 + _ROW * len(values)
    parts = [_head(title, height)]
    for row, (name, value) in enumerate(values.items()):
        y = 34 + _ROW * row
        ours = limit is None or value <= limit
        colour = _COLOURS[0] if ours else _COLOURS[1]
        parts.append(_text(_LEFT - 8, y + 13, name, "end"))
        parts.append(
            f'<rect x="{_LEFT}" y="{y}" width="{room * value / most:.1f}" height="16" fill="{colour}"/>'
        )
        parts.append(_text(_LEFT + room * value / most + 6, y + 13, f"{value:,.4g}{unit}"))
    if limit is not None:
        x = _LEFT + room * limit / most
        parts.append(_dashed(x, 28, x, height - 4))
    return "".join([*parts, "</svg>"])


def lines(title: str, series: Mapping[str, Sequence[float]], limit: float, top: float) -> str:
    """Lines over places 0, 1, 2, …, cut off at `top`, with a line at `limit`."""
    height, room, tall = 300, _WIDTH - 220, 230
    low = min([0.0, *(min(values) for values in series.values())])
    steps = max(len(values) for values in series.values()) - 1

    def y(value: float) -> float:
        return 40 + tall * (1 - (min(value, top) - low) / (top - low))

    parts = [_head(title, height)]
    for place, (name, values) in enumerate(series.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        points = " ".join(f"{40 + room * i / steps:.1f},{y(v):.1f}" for i, v in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{room + 60}" y="{44 + 20 * place}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(room + 78, 55 + 20 * place, name))
    parts.append(_dashed(40, y(limit), 40 + room, y(limit)))
    parts += [_text(40 + room * i / steps, height - 8, str(i), "middle") for i in range(steps + 1)]
    return "".join([*parts, "</svg>"])


def _head(title: str, height: int) -> str:
    size = f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="12"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{ground}{_text(10, 18, title, weight="bold")}'


def _dashed(x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="#222" stroke-dasharray="4 3"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {place}>{escape(text)}</text>"
