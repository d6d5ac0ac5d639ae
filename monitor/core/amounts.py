"""Amounts of any unit, as people read them."""

from __future__ import annotations

from typing import Final

_GROUPED_FROM: Final = 999.5
_POWERS_FROM: Final = 1e9


def amount(value: float) -> str:
    """Three digits, or the whole part in groups where it is long.

    >>> [amount(x) for x in (24_000.4, 999.7, 56.78, 0.0123456, -3.0, 3.2e12)]
    ['24,000', '1,000', '56.8', '0.0123', '-3', '3.2e+12']
    """
    return f"{value:,.0f}" if _GROUPED_FROM <= abs(value) < _POWERS_FROM else f"{value:.3g}"
