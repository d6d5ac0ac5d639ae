"""What the features of a model may be: the ground on which variants are searched.

A finding is worth something where it is about an input that could come. So searches move inside the
plausible range of each feature, over its legal values, respect declared relations, and combine values
that the traffic has shown together.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.masking import Masking
from monitor.core.probes.pairs import PairCounts
from monitor.core.probes.relations import Relation
from monitor.core.schema.feature import NUMERIC, QUANTILE_LEVELS, Feature, FeatureType
from monitor.core.schema.model import FeatureSchema

Floats = NDArray[np.float64]

IQR_OF_TAILS: Final = 1.349 / 4.653
"""Interquartile range over the distance of the 1 % and 99 % quantiles, of a normal distribution: what a unit
is where more than half of the values are one value and the interquartile range is nothing."""

_FAR: Final = 1e9
"""Interquartile ranges: what lies further away is as far, and still a number."""

DECIMALS_MAX: Final = 4
"""A reference whose values need more decimals than this is continuous."""

QUANTILE_LEVELS_DISTINCT: Final = 12
"""Distinct quantiles, of 25, up to which the cut points of the histogram tell more of a feature."""

VALUES_MAX: Final = 100
"""Legal values of a category that are known to the searches, the most frequent first."""


@dataclass(frozen=True)
class Constraints:
    """What the schema does not say.

    Attributes:
        immutable: features no search changes, beside those the schema marks.
        protected: features that no answer should depend on; counterfactuals swap them, searches leave them.
        proxies: protected feature → proxy → value → its counterpart, `{"sex": {"relationship": {"Husband":
            "Wife", "Wife": "Husband"}}}`; values not named stay.
        relations: between features, that every variant keeps.
        ends: feature → plausible least and greatest value, where better known than the reference's 1 % and
            99 % quantiles (0.5 % and 99.5 %, say).
    """

    immutable: frozenset[str] = frozenset()
    protected: tuple[str, ...] = ()
    proxies: Mapping[str, Mapping[str, Mapping[Any, Any]]] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Axis:
    """One feature as searches see it.

    Attributes:
        name: of the feature.
        type: as the schema says.
        changeable: searches may move it: neither immutable nor protected, and its values are known.
        protected: counterfactuals swap it.
        sensitive: its values are not shown.
        required: it must be there.
        nullable: null is legal.
        minimum: least legal number; -inf where there is none.
        maximum: greatest legal number; inf where there is none.
        low: least plausible number; nan where the distribution is not known.
        high: greatest plausible number.
        unit: interquartile range, the unit of distances; positive.
        decimals: places after the point; None for a continuum.
        quantiles: distinct quantiles of the reference, ascending, float64[q].
        levels: mean level of each, float64[q].
        marks: values the reference was cut at, ascending, where its quantiles are mostly one value and say
            little about the others: there a model has its steps.
        values: legal categories or booleans, the most frequent first.
        measure: the unit of measurement, as the schema words it; "" where it does not.
    """

    name: str
    type: FeatureType
    changeable: bool = True
    protected: bool = False
    sensitive: bool = False
    required: bool = True
    nullable: bool = False
    minimum: float = -math.inf
    maximum: float = math.inf
    low: float = math.nan
    high: float = math.nan
    unit: float = 1.0
    decimals: int | None = None
    quantiles: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    levels: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    marks: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    values: tuple[Any, ...] = ()
    measure: str = ""

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.type in NUMERIC

    def rank(self, value: float) -> float:
        """Share of the reference below a number, in [0, 1]; the middle of a tie."""
        if not self.quantiles.size:
            return 0.5
        found = float(np.interp(value, self.quantiles, self.levels, left=0.0, right=1.0))
        # Between quantiles that are next to each other, or beyond each other's reach, a slope is no number.
        return min(1.0, max(0.0, found))

    def distance(self, one: Any, other: Any) -> float:
        """Between two values: in interquartile ranges, at most `_FAR`; two categories are 1 apart."""
        if not self.numeric:
            return float(one != other)
        return min(abs(float(other) - float(one)) / self.unit, _FAR)

    def travelled(self, one: Any, other: Any) -> float:
        """Share of the reference between two values; two categories are 1 apart."""
        if not self.numeric:
            return float(one != other)
        return abs(self.rank(float(other)) - self.rank(float(one)))

    def places(self, value: Any) -> int | None:
        """Decimals that numbers near `value` may have: its own if it has more than the reference."""
        if self.type is FeatureType.INTEGER:
            return 0
        if self.decimals is None:
            return None
        own = _decimals(float(value))
        return None if own is None else max(self.decimals, own)

    def number(self, value: float, places: int | None) -> float | int:
        """The legal number nearest to `value`, of the type that the traffic sends."""
        value = min(max(value, self.minimum), self.maximum)
        if self.type is FeatureType.INTEGER:
            low, high = math.ceil(max(self.minimum, -1e300)), math.floor(min(self.maximum, 1e300))
            return int(min(max(round(value), low), high))
        return float(value) if places is None else round(value, places)

    def grid(self, count: int) -> list[float]:
        """At most `count` values between the plausible ends, ascending: evenly spaced quantiles.

        A reference with ties has fewer distinct quantiles; what is missing is spread over the gaps between
        those there are.
        """
        if not self.numeric or not self.low < self.high:
            return []
        wanted = np.interp(np.arange(1, count + 1) / (count + 1), *self._steps())
        inner = {float(v) for v in wanted if self.low < v < self.high}
        points = sorted({self.low, self.high} | inner)
        while len(points) < count + 2:
            gaps = np.diff(points)
            widest = int(np.argmax(gaps))
            points.insert(widest + 1, points[widest] + float(gaps[widest]) / 2)
        return points[1:-1]

    def around(self, value: float, share: float) -> list[float]:
        """The numbers that lie this share of the reference below and above `value`, within the ends."""
        if not self.quantiles.size:
            return []
        here = self.rank(value)
        ranks = [min(max(here + side * share, 0.0), 1.0) for side in (-1, 1)]
        return [float(v) for v in np.clip(np.interp(ranks, *self._steps()), self.low, self.high)]

    def middle(self, low: float, high: float) -> float:
        """Where to look between two numbers: half way, at the nearest mark where there is one between."""
        half = (low + high) / 2
        inside = self.marks[(self.marks > low) & (self.marks < high)]
        return float(inside[np.argmin(np.abs(inside - half))]) if inside.size else half

    def _steps(self) -> tuple[Floats, Floats]:
        return (self.levels, self.quantiles) if self.quantiles.size else (np.zeros(1), np.full(1, self.low))


@dataclass(frozen=True)
class FeatureSpace:
    """All features of a model.

    Attributes:
        axes: feature → what it may be, in the schema's order.
        constraints: as declared.
        pairs: values seen together; None where nothing is known of it.
        sensitive_key: what values of sensitive features are hashed with where they are told.
    """

    axes: Mapping[str, Axis]
    constraints: Constraints = Constraints()
    pairs: PairCounts | None = None
    sensitive_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        schema: FeatureSchema,
        constraints: Constraints | None = None,
        pairs: PairCounts | None = None,
        sensitive_key: bytes | None = None,
    ) -> FeatureSpace:
        """Read a schema with its reference.

        Args:
            schema: of the model.
            constraints: what it does not say.
            pairs: values seen together in the traffic.
            sensitive_key: what values of sensitive features are hashed with.
        """
        declared = constraints or Constraints()
        axes = {name: _axis(name, feature, declared) for name, feature in schema.features.items()}
        return cls(axes, declared, pairs, sensitive_key)

    @cached_property
    def masking(self) -> Masking:
        """How values of sensitive features are told."""
        return Masking.of(self.axes, self.sensitive_key)

    @cached_property
    def changeable(self) -> tuple[str, ...]:
        """Features that searches may move."""
        return tuple(name for name, axis in self.axes.items() if axis.changeable)

    def is_legal(self, name: str, value: Any) -> bool:
        """Whether a value is of the feature's type, within bounds or among the legal values.

        Infinity is no number to search from, nor is an integer beyond every float.
        """
        axis = self.axes[name]
        if axis.numeric:
            return (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and axis.minimum <= value <= axis.maximum
                and abs(value) <= sys.float_info.max
            )
        return value in axis.values if axis.values else isinstance(value, str)

    def plausible(
        self, features: Mapping[str, Any], changed: tuple[str, ...] | None = None, *, joint: bool = True
    ) -> bool:
        """Whether a row could come.

        Args:
            features: of the row.
            changed: only what these have to do with is judged; None for everything.
            joint: values have to have been seen together, where that is known.
        """
        names = tuple(self.axes) if changed is None else changed
        if not all(self.is_legal(name, features.get(name)) for name in names):
            return False
        touched = [r for r in self.constraints.relations if changed is None or r.names & set(changed)]
        if not all(relation.holds(features) for relation in touched):
            return False
        return not joint or self.pairs is None or all(self.pairs.seen(features, name) for name in names)


def typical(space: FeatureSpace) -> dict[str, Any]:
    """A request like many: medians, and the most frequent values; 1 and no text where nothing is known."""
    found: dict[str, Any] = {}
    for name, axis in space.axes.items():
        if axis.numeric and axis.quantiles.size:
            middle = float(np.interp(0.5, axis.levels, axis.quantiles))
            found[name] = axis.number(middle, 0 if axis.type is FeatureType.INTEGER else axis.decimals)
        elif axis.numeric:
            found[name] = axis.number(1.0, 0)
        else:
            found[name] = axis.values[0] if axis.values else ""
    return found


def _axis(name: str, feature: Feature, declared: Constraints) -> Axis:
    frozen = feature.immutable or name in declared.immutable or name in declared.protected
    common = Axis(
        name,
        feature.type,
        protected=name in declared.protected,
        sensitive=feature.sensitive,
        required=feature.required,
        nullable=feature.nullable,
        measure=feature.unit or "",
    )
    if feature.type in NUMERIC:
        return _number_axis(common, feature, frozen, declared.ends.get(name))
    values = _values(feature)
    return _with(common, changeable=len(values) > 1 and not frozen, values=values)


def _number_axis(axis: Axis, feature: Feature, frozen: bool, ends: tuple[float, float] | None) -> Axis:
    minimum = -math.inf if feature.minimum is None else float(feature.minimum)
    maximum = math.inf if feature.maximum is None else float(feature.maximum)
    bounded = _with(axis, minimum=minimum, maximum=maximum, changeable=False)
    known = None if feature.reference is None else feature.reference.quantiles
    if known is None:
        return bounded
    quantiles, place = np.unique(np.asarray(known, np.float64), return_inverse=True)
    levels = np.bincount(place, QUANTILE_LEVELS) / np.bincount(place)
    low, high = ends or (float(quantiles[0]), float(quantiles[-1]))
    low, high = max(low, minimum), min(high, maximum)
    first, third = np.interp((0.25, 0.75), QUANTILE_LEVELS, known)
    unit = float(third - first) or float(quantiles[-1] - quantiles[0]) * IQR_OF_TAILS or 1.0
    cuts = np.asarray((feature.reference.edges if feature.reference else None) or (), np.float64)
    tied = quantiles.size <= QUANTILE_LEVELS_DISTINCT
    marks = cuts[(cuts >= low) & (cuts <= high)] if tied else cuts[:0]
    places = [_decimals(float(value)) for value in quantiles]
    decimals = None if None in places else max(p for p in places if p is not None)
    return _with(
        bounded, low=low, high=high, unit=unit, decimals=decimals, quantiles=quantiles, levels=levels,
        marks=marks, changeable=low < high and not frozen,
    )  # fmt: skip


def _values(feature: Feature) -> tuple[Any, ...]:
    if feature.type is FeatureType.BOOLEAN:
        return (False, True)
    seen = {} if feature.reference is None else feature.reference.values or {}
    declared = feature.categories or ()
    if feature.closed and feature.categories:
        seen = {value: count for value, count in seen.items() if value in set(declared)}
    often = sorted(seen, key=lambda value: (-seen[value], value))
    return tuple([*often, *(value for value in declared if value not in seen)][:VALUES_MAX])


def _decimals(value: float) -> int | None:
    """Places after the point, up to `DECIMALS_MAX`; None beyond."""
    return next((n for n in range(DECIMALS_MAX + 1) if round(value, n) == value), None)


def _with(axis: Axis, **fields: Any) -> Axis:
    return Axis(**{**vars(axis), **fields})
