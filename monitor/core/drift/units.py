"""Changes of unit that values are mistaken by: the table that scale shifts are named from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Change:
    """Values x arrive as slope · x + intercept.

    Attributes:
        slope: not 0.
        intercept: in the unit of what arrives.
        words: what is likely to have happened.
    """

    slope: float
    intercept: float
    words: str

    @property
    def is_factor(self) -> bool:
        """A positive factor and nothing else."""
        return self.slope > 0 and self.intercept == 0


_FACTORS: Final = (
    (10.0, "a decimal place too many", "a decimal place too few"),
    (100.0, "cents instead of whole money, or percent instead of a fraction",
     "whole money instead of cents, or a fraction instead of percent"),
    (1e3, "thousandths (milliseconds, millimetres, grams) instead of whole units",
     "thousands (kilo-) instead of single units"),
    (1e6, "millionths (microseconds) instead of whole units", "millions (mega-) instead of single units"),
    (1e9, "nanoseconds instead of seconds", "billions (giga-) instead of single units"),
    (150.0, "yen instead of dollars or euros", "dollars or euros instead of yen"),
    (83.0, "rupees instead of dollars or euros", "dollars or euros instead of rupees"),
    (7.0, "days instead of weeks, or yuan instead of dollars",
     "weeks instead of days, or dollars instead of yuan"),
    (12.0, "months instead of years, or inches instead of feet",
     "years instead of months, or feet instead of inches"),
    (24.0, "hours instead of days", "days instead of hours"),
    (60.0, "seconds instead of minutes, or minutes instead of hours",
     "minutes instead of seconds, or hours instead of minutes"),
    (365.0, "days instead of years", "years instead of days"),
    (3_600.0, "seconds instead of hours", "hours instead of seconds"),
    (86_400.0, "seconds instead of days", "days instead of seconds"),
    (1.609, "kilometres instead of miles", "miles instead of kilometres"),
    (2.2046, "pounds instead of kilograms", "kilograms instead of pounds"),
    (2.54, "centimetres instead of inches", "inches instead of centimetres"),
    (3.2808, "feet instead of metres", "metres instead of feet"),
    (3.785, "litres instead of gallons", "gallons instead of litres"),
    (4.184, "joules instead of calories", "calories instead of joules"),
    (28.35, "grams instead of ounces", "ounces instead of grams"),
    (39.37, "inches instead of metres", "metres instead of inches"),
    (1_024.0, "bytes instead of kibibytes", "kibibytes instead of bytes"),
    (1_048_576.0, "bytes instead of mebibytes", "mebibytes instead of bytes"),
)  # fmt: skip
"""Factor, and in words that values arrive multiplied, or divided, by it."""

_RATES: Final = (150.0, 83.0)
_RATES_MOVE: Final = (0.9, 0.95, 1.05, 1.1)
"""Rates of exchange are round figures: they are recognised up to a tenth higher or lower."""

_ALL: Final = (
    *_FACTORS,
    *((factor * move, up, down) for factor, up, down in _FACTORS if factor in _RATES for move in _RATES_MOVE),
)

CHANGES: Final = (
    *(Change(factor, 0.0, up) for factor, up, _ in _ALL),
    *(Change(1.0 / factor, 0.0, down) for factor, _, down in _ALL),
    Change(-1.0, 0.0, "the opposite sign"),
    Change(1.8, 32.0, "Fahrenheit instead of Celsius"),
    Change(1.0 / 1.8, -32.0 / 1.8, "Celsius instead of Fahrenheit"),
    Change(1.0, 273.15, "kelvin instead of Celsius"),
    Change(1.0, -273.15, "Celsius instead of kelvin"),
)
"""Every change that has a name; of those with the same words the first is the round figure."""
