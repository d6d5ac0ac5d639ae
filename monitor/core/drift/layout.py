"""Which cells count a model's features: one array for all of them, laid out by the schema.

A schema whose reference bins its features otherwise has another layout, and its counts go to arrays of their
own: a counter always tells which schema judged it. The layout's fingerprint is in the registry family
`schemas`, and its id stands where a slice id would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Counts
from monitor.core.schema.feature import NUMERIC, Feature, FeatureType
from monitor.core.schema.model import FeatureSchema

Floats = NDArray[np.float64]

FAMILY: Final = "schemas"
"""Registry of layouts."""

SCORE: Final = "@score"
"""Name of the block of scores; no feature is counted under it."""

MISSING: Final = 0
INVALID: Final = 1
FIRST: Final = 2
"""Cells of every block: absent or null; a value that cannot be counted; then the values."""

SCORE_CELLS: Final = 64
"""Cells of the score block: an eighth as fine as the score histograms."""

MAGNITUDES_PER_DECADE: Final = 24
MAGNITUDE_MIN: Final = -12
MAGNITUDE_MAX: Final = 16
MAGNITUDES: Final = (MAGNITUDE_MAX - MAGNITUDE_MIN) * MAGNITUDES_PER_DECADE
"""Cells of log10 |x| from 1e-12 to 1e16, ends clipped."""

SCALE_CELLS: Final = 2 * MAGNITUDES + 1
"""Per numeric feature: zero, then magnitudes of positive values, then of negative ones."""


class BlockKind(StrEnum):
    """What the cells of a block are, after `MISSING` and `INVALID`."""

    NUMBER = "number"  # bins between the reference's edges
    CATEGORY = "category"  # listed values, then any other
    BOOLEAN = "boolean"  # false, true
    PRESENT = "present"  # one cell: there is a value
    SCORE = "score"  # bins of the score's logit


@dataclass(frozen=True, eq=False)
class Block:
    """The cells of one feature.

    Attributes:
        name: of the feature, or `SCORE`.
        kind: what its cells are.
        start: first cell.
        size: number of cells.
        edges: NUMBER: float64[size - 3], as in the schema's reference.
        values: CATEGORY: listed values, in the order of their cells.
    """

    name: str
    kind: BlockKind
    start: int
    size: int
    edges: Floats | None = None
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class FeatureLayout:
    """Blocks one after the other, features in the schema's order, the score last.

    Attributes:
        blocks: all of them.
        numeric: names of numeric features; feature i has cells [i · SCALE_CELLS, (i + 1) · SCALE_CELLS) of
            the scale array.
        tails: per numeric feature, the 1 % and 99 % quantiles of the reference, float64[len(numeric), 2]; nan
            where it has none.
    """

    blocks: tuple[Block, ...]
    numeric: tuple[str, ...]
    tails: Floats

    @classmethod
    def of(cls, schema: FeatureSchema) -> FeatureLayout:
        """The layout of a schema."""
        blocks: list[Block] = []
        start = 0
        features = [(name, feature) for name, feature in schema.features.items() if name != SCORE]
        for name, feature in features:
            blocks.append(_block(name, feature, start))
            start += blocks[-1].size
        blocks.append(Block(SCORE, BlockKind.SCORE, start, FIRST + SCORE_CELLS))
        numeric = [(name, feature.reference) for name, feature in features if feature.type in NUMERIC]
        tails = [
            (r.quantiles[0], r.quantiles[-1]) if r is not None and r.quantiles else (np.nan, np.nan)
            for _, r in numeric
        ]
        return cls(
            tuple(blocks), tuple(name for name, _ in numeric), np.array(tails, np.float64).reshape(-1, 2)
        )

    @property
    def size(self) -> int:
        """Cells of the array."""
        return self.blocks[-1].start + self.blocks[-1].size

    @property
    def starts(self) -> NDArray[np.int64]:
        """First cell of each block, int64[blocks]."""
        return np.array([block.start for block in self.blocks], np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the meaning of any cell: 16 hexadecimal digits."""
        told = hashlib.sha256()
        for block in self.blocks:
            edges = None if block.edges is None else block.edges.tolist()
            told.update(repr((block.name, block.kind.value, block.size, edges, block.values)).encode())
        told.update(repr(self.tails.tolist()).encode())
        return told.hexdigest()[:16]

    def reference(self, schema: FeatureSchema) -> Counts:
        """Counts of the sample the schema came from, int64[size]; zero where it has none, as for scores."""
        counts = np.zeros(self.size, np.int64)
        for block in self.blocks:
            found = None if block.name == SCORE else schema.features[block.name].reference
            if found is None:
                continue
            cells: Iterable[int]
            if block.kind is BlockKind.NUMBER:
                cells = found.counts or ()
            elif block.kind is BlockKind.CATEGORY:
                values = found.values or {}
                cells = [*(values.get(value, 0) for value in block.values or ()), found.other]
            elif block.kind is BlockKind.BOOLEAN:
                cells = [(found.values or {}).get(value, 0) for value in ("false", "true")]
            else:
                cells = [found.rows - found.missing - found.invalid]
            counts[block.start : block.start + block.size] = [found.missing, found.invalid, *cells]
        return counts


def _block(name: str, feature: Feature, start: int) -> Block:
    reference = feature.reference
    if feature.type in NUMERIC and reference is not None and reference.edges is not None:
        edges = np.array(reference.edges, np.float64)
        return Block(name, BlockKind.NUMBER, start, FIRST + len(edges) + 1, edges=edges)
    if feature.type is FeatureType.CATEGORY and reference is not None and reference.values is not None:
        values = tuple(reference.values)
        return Block(name, BlockKind.CATEGORY, start, FIRST + len(values) + 1, values=values)
    if feature.type is FeatureType.BOOLEAN:
        return Block(name, BlockKind.BOOLEAN, start, FIRST + 2)
    return Block(name, BlockKind.PRESENT, start, FIRST + 1)
