"""What probes have found of a model, read from counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from monitor.core.counters import Counts
from monitor.core.probes.results import (
    CHANGE_BINS,
    CHANGE_EDGES,
    IQR_BINS,
    IQR_EDGES,
    PROBES_MAX,
    QUANTILE_EDGES,
    SHAPE_PARTS,
    Part,
    TypePart,
    Work,
    trials_of,
    types_of,
)
from monitor.core.probes.type_conversion import VARIANTS
from monitor.core.understood import understood

WHOLE: Final = ""
"""Feature of trials that are about the request as a whole."""


@dataclass(frozen=True)
class ProbeRow:
    """One probe of one feature.

    Attributes:
        probe: its name.
        feature: that was changed; `WHOLE` where the question is about the request.
        trials: requests asked about.
        flips: the decision changed.
        near: it changed within a quarter of an interquartile range.
        different: score or decision changed, and no error said so.
        errors: the model refused.
        score_changes: trials by |score change|, int64[12]: bins between `CHANGE_EDGES`; None of a slice.
        distances_iqr: flips by distance, int64[8]: bins between `IQR_EDGES`; None of a slice.
        distances_quantile: the same in shares of the reference, between `QUANTILE_EDGES`.
    """

    probe: str
    feature: str
    trials: int
    flips: int
    near: int
    different: int
    errors: int
    score_changes: tuple[int, ...] | None = None
    distances_iqr: tuple[int, ...] | None = None
    distances_quantile: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON; histograms with their cut points."""
        found = {
            "probe": self.probe, "feature": self.feature, "trials": self.trials, "flips": self.flips,
            "near": self.near, "different": self.different, "errors": self.errors,
        }  # fmt: skip
        histograms = {
            "score_changes": (CHANGE_EDGES, self.score_changes),
            "distances_iqr": (IQR_EDGES, self.distances_iqr),
            "distances_quantile": (QUANTILE_EDGES, self.distances_quantile),
        }
        return found | {
            name: {"edges": list(edges), "counts": list(counts)}
            for name, (edges, counts) in histograms.items()
            if counts is not None
        }


@dataclass(frozen=True)
class ProbesReport:
    """What probes have found of a model.

    Attributes:
        model: its name.
        from_s, to_s: when it was counted, epoch seconds.
        slice: whose trials; `{}` for all traffic.
        work: what probing cost, by the names of `Work`.
        rows: per probe and feature, only those with trials.
        types: feature → variant → trials, different, flips, errors.
        sets: features that act together → searches that showed it.
        cases: the worst ones, as stored.
    """

    model: str
    from_s: int
    to_s: int
    slice: Mapping[str, str]
    work: Mapping[str, int]
    rows: Sequence[ProbeRow]
    types: Mapping[str, Mapping[str, Mapping[str, int]]]
    sets: Mapping[tuple[str, ...], int]
    cases: Sequence[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "model": self.model,
            "from_s": self.from_s,
            "to_s": self.to_s,
            "slice": dict(self.slice),
            **self.work,
            "probes": [row.to_dict() for row in self.rows],
            "types": self.types,
            "sets": [{"features": list(names), "searches": count} for names, count in self.sets.items()],
            "cases": list(self.cases),
        }


def rows_of(
    trials: Counts, shapes: Counts | None, probes: Sequence[str], features: Mapping[int, str]
) -> list[ProbeRow]:
    """Rows of `probe_trials`, with the histograms of `probe_shapes`.

    Args:
        trials: cells.
        shapes: cells; None where they are not kept, as of a slice.
        probes: names by place.
        features: id → name.
    """
    table = trials_of(trials)
    width = PROBES_MAX * SHAPE_PARTS
    shape = np.zeros((len(table), PROBES_MAX, SHAPE_PARTS), np.int64)
    if shapes is not None:
        kept = shapes[: len(table) * width]
        shape.reshape(-1)[: kept.size] = kept
    found = []
    for feature, probe in np.argwhere(table[:, : len(probes), Part.TRIALS]).tolist():
        name = WHOLE if feature == 0 else features.get(feature)
        if name is None:
            continue
        counts = table[feature, probe].tolist()
        row = ProbeRow(probes[probe], name, counts[0], counts[1], counts[2], counts[3], counts[4])
        if shapes is not None:
            bins = tuple(shape[feature, probe].tolist())
            changes, distances = bins[:CHANGE_BINS], bins[CHANGE_BINS:]
            row = replace(
                row,
                score_changes=changes,
                distances_iqr=distances[:IQR_BINS],
                distances_quantile=distances[IQR_BINS:],
            )
        found.append(row)
    return sorted(found, key=lambda row: (probes.index(row.probe), row.feature))


def matrix_of(cells: Counts, features: Mapping[int, str]) -> dict[str, dict[str, dict[str, int]]]:
    """The type matrix: feature → variant → counts."""
    types = types_of(cells)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for feature, variant in np.argwhere(types[:, : len(VARIANTS), TypePart.TRIALS]).tolist():
        if feature in features:
            counts = {part.name.lower(): int(types[feature, variant, part]) for part in TypePart}
            found.setdefault(features[feature], {})[VARIANTS[variant]] = counts
    return found


@understood("the name of a set of features")
def sets_of(cells: Counts, names: Mapping[int, str]) -> dict[tuple[str, ...], int]:
    """Sets of features that act together, the most frequent first."""
    found = {
        tuple(json.loads(names[number])): int(cells[number])
        for number in np.flatnonzero(cells).tolist()
        if number in names
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def work_of(cells: Counts) -> dict[str, int]:
    """What probing cost, by name."""
    return {part.name.lower(): int(cells[part]) if part < cells.size else 0 for part in Work}
