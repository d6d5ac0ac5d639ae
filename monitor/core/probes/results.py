"""Results as cells that add up, and the few worst cases.

Per slice (a model version is a slice) and feature and probe: trials, flips, near flips, silent differences
and errors. For all traffic also how much scores changed and how near the flips were, and the matrix of types.
A feature's number is its place in the registry of features plus one; number 0 is the request as a whole, so
arrays grow at their end when features appear.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np

from monitor.core.counters import ALL_SLICE, PROBE_SETS, PROBE_SHAPES, PROBE_TRIALS, PROBE_TYPES, Counts
from monitor.core.masking import Masking, is_masked
from monitor.core.probes.answers import NEAR_IQR, Answer, Case, Features, ProbeResult, Subject, Trial
from monitor.core.probes.type_conversion import VARIANTS

PROBES_MAX: Final = 16
"""Room for probes in a feature's cells; they are numbered by their place in `PROBES`."""

VARIANTS_MAX: Final = 16
"""Room for variants of a type in a feature's cells."""

SETS_FAMILY: Final = "probe_sets"
"""Registry of sets of features."""

SETS_MAX: Final = 200
"""Sets of features that are counted; what comes later is not."""


class Part(IntEnum):
    """Cells of one feature and probe, in every slice: `probe_trials`.

    Cell = (feature * PROBES_MAX + probe) * len(Part) + part.
    """

    TRIALS = 0
    FLIPS = 1
    NEAR = 2  # flips within a quarter of the interquartile range
    DIFFERENT = 3
    ERRORS = 4


class TypePart(IntEnum):
    """Cells of one feature and type variant: `probe_types`.

    Cell = (feature * VARIANTS_MAX + variant) * len(TypePart) + part.
    """

    TRIALS = 0
    DIFFERENT = 1
    FLIPS = 2
    ERRORS = 3


class Work(IntEnum):
    """Cells of what probing cost: `probe_work`."""

    REQUESTS = 0  # probed
    ROWS = 1  # sent to the model
    ERRORS = 2  # of them, answered with an error
    DROPPED = 3  # candidates that found the queue full, or were too large for it
    RETURNED = 4  # rows of probes that came back as traffic, and were left out
    UNSTEADY = 5  # requests the model does not repeat its score of; nothing else was asked about them


CHANGE_EDGES: Final = (1e-9, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Cut points of |score change|: bin 0 is no change."""

IQR_EDGES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Cut points of the least distance that flips, in interquartile ranges."""

QUANTILE_EDGES: Final = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
"""Cut points of the same in shares of the reference."""

CHANGE_BINS: Final = len(CHANGE_EDGES) + 1
IQR_BINS: Final = len(IQR_EDGES) + 1
QUANTILE_BINS: Final = len(QUANTILE_EDGES) + 1
SHAPE_PARTS: Final = CHANGE_BINS + IQR_BINS + QUANTILE_BINS
"""Of `probe_shapes`, of all traffic: cell = (feature * PROBES_MAX + probe) * SHAPE_PARTS + bin."""

Address = tuple[str, int]
"""Name of a kind, and a slice id."""


@dataclass
class Added:
    """What results add to the store: address → cell → amount. Sums in any order are equal."""

    cells: dict[Address, dict[int, int]] = field(default_factory=dict)

    def add(self, address: Address, cell: int, amount: int = 1) -> None:
        """Add to one cell."""
        mine = self.cells.setdefault(address, {})
        mine[cell] = mine.get(cell, 0) + amount

    def __add__(self, other: Added) -> Added:
        total = Added()
        for part in (self, other):
            for address, cells in part.cells.items():
                for cell, amount in cells.items():
                    total.add(address, cell, amount)
        return total

    def arrays(self) -> dict[Address, tuple[Counts, Counts]]:
        """Cells, strictly increasing, and amounts, of each address: int64[n] both."""
        found = {}
        for address, cells in self.cells.items():
            numbers = np.array(sorted(cells), np.int64)
            found[address] = numbers, np.array([cells[int(n)] for n in numbers], np.int64)
        return found


def count(
    results: Iterable[ProbeResult],
    probes: Sequence[str],
    number: Callable[[str], int | None],
    set_number: Callable[[str], int | None] = lambda _: None,
) -> Added:
    """Cells of results.

    Args:
        results: of probes.
        probes: their names, numbered by place (`[probe.name for probe in PROBES]`).
        number: feature → its number in the registry of features, or None where it has none: not counted.
        set_number: name of a set (`set_name`) → its id in the registry of sets, or None.
    """
    added = Added()
    for result in results:
        probe = probes.index(result.probe)
        for together in result.together:
            known = set_number(set_name(together))
            if known is not None:
                added.add((PROBE_SETS.name, ALL_SLICE), known)
        for trial in result.trials:
            known = -1 if trial.feature == "" else number(trial.feature)
            if known is not None:
                _count(added, result.subject, probe, known + 1, trial)
    return added


def set_name(features: Iterable[str]) -> str:
    """Name of a set in its registry, whatever order its features are in.

    >>> set_name(("term", "age"))
    '["age", "term"]'
    """
    return json.dumps(sorted(features), ensure_ascii=False)


def trials_of(cells: Counts) -> Counts:
    """The `probe_trials` array, int64[features + 1, PROBES_MAX, len(Part)]."""
    width = PROBES_MAX * len(Part)
    padded = np.zeros(-(-max(cells.size, 1) // width) * width, np.int64)
    padded[: cells.size] = cells
    return padded.reshape(-1, PROBES_MAX, len(Part))


def types_of(cells: Counts) -> Counts:
    """The `probe_types` array, int64[features + 1, VARIANTS_MAX, len(TypePart)]."""
    width = VARIANTS_MAX * len(TypePart)
    padded = np.zeros(-(-max(cells.size, 1) // width) * width, np.int64)
    padded[: cells.size] = cells
    return padded.reshape(-1, VARIANTS_MAX, len(TypePart))


def _count(added: Added, subject: Subject, probe: int, feature: int, trial: Trial) -> None:
    parts = {
        Part.TRIALS: True,
        Part.FLIPS: trial.flipped,
        Part.NEAR: trial.near,
        Part.DIFFERENT: trial.different,
        Part.ERRORS: trial.error is not None,
    }
    first = (feature * PROBES_MAX + probe) * len(Part)
    for slice_id in subject.slices:
        for part, holds in parts.items():
            if holds:
                added.add((PROBE_TRIALS.name, slice_id), first + part)
    shape = (feature * PROBES_MAX + probe) * SHAPE_PARTS
    for value, edges, start in (
        (trial.score_change, CHANGE_EDGES, 0),
        (trial.distance_iqr, IQR_EDGES, CHANGE_BINS),
        (trial.distance_quantile, QUANTILE_EDGES, CHANGE_BINS + IQR_BINS),
    ):
        if value is not None:
            bin_ = int(np.searchsorted(edges, value, side="right"))
            added.add((PROBE_SHAPES.name, ALL_SLICE), shape + start + bin_)
    if trial.variant in VARIANTS:
        _count_type(added, feature, trial)


def _count_type(added: Added, feature: int, trial: Trial) -> None:
    first = (feature * VARIANTS_MAX + VARIANTS.index(trial.variant)) * len(TypePart)
    parts = {
        TypePart.TRIALS: True,
        TypePart.DIFFERENT: trial.different,
        TypePart.FLIPS: trial.flipped,
        TypePart.ERRORS: trial.error is not None,
    }
    for part, holds in parts.items():
        if holds:
            added.add((PROBE_TYPES.name, ALL_SLICE), first + part)


_FLOAT: Final = "float"

WORST_MAX: Final = 100
"""Cases kept of a model."""

WORST_EACH: Final = 5
"""Of these, of one probe and the same features: one bad feature does not crowd out the rest."""


@dataclass(frozen=True)
class WorstCase:
    """A case with the request it is about: all it takes to ask again.

    Attributes:
        id: of the case, a hash of what was asked and answered.
        request_id, model, version: of the request.
        case: what was found.
    """

    id: str
    request_id: str
    model: str
    version: str
    case: Case

    @property
    def rank(self) -> tuple[bool, float, str]:
        """Greater is worse; the id breaks ties, so that merging is free of order."""
        return self.case.flipped, self.case.severity, self.id

    @property
    def rank_text(self) -> str:
        """`rank` as text that sorts alike."""
        return f"{int(self.case.flipped)}{min(self.case.severity, 1e15):026.9f}{self.id}"

    @property
    def group(self) -> str:
        """Probe and features: so many cases of each are kept."""
        return json.dumps([self.case.probe, *self.case.features])

    @property
    def lists(self) -> tuple[str, ...]:
        """Names of the lists whose samples it belongs to; alerts look there for what they rest on."""
        case = self.case
        match case.probe:
            case "type_conversion":
                return tuple(f"probes/{case.probe}/{name}/{case.variant}" for name in case.features)
            case "interaction":
                return (f"probes/{case.probe}/{set_name(case.features)}",)
            case "single_feature":
                near = case.flipped and case.distance_iqr is not None and case.distance_iqr <= NEAR_IQR
                return (f"probes/{case.probe}",) if near else ()
            case "counterfactual" if not case.flipped:
                return ()
            case _:
                return tuple(f"probes/{case.probe}/{name}" for name in case.features[:1])

    def record(self, masking: Masking) -> dict[str, Any]:
        """As JSON.

        Args:
            masking: of the model's sensitive features, whose values are replaced.
        """
        case = self.case
        return {
            "id": self.id,
            "request_id": self.request_id,
            "model": self.model,
            "model_version": self.version,
            "probe": case.probe,
            "features": list(case.features),
            "change": case.words,
            "original": _shown(case.original, masking),
            "changed": _shown(case.changed, masking),
            "before": _answer(case.before),
            "after": _answer(case.after),
            "flipped": case.flipped,
            "severity": case.severity,
            "distance_iqr": case.distance_iqr,
            "distance_quantile": case.distance_quantile,
        }


def worst_of(results: Iterable[ProbeResult]) -> list[WorstCase]:
    """Cases of results, the worst first, bounded."""
    cases = [
        WorstCase(
            _id(result, case), result.subject.request_id, result.subject.model, result.subject.version, case
        )
        for result in results
        for case in result.cases
    ]
    return merge_worst(cases)


def merge_worst(*lists: Iterable[WorstCase], limit: int = WORST_MAX) -> list[WorstCase]:
    """The worst of several lists, the worst first; merging in any order and grouping gives one list."""
    every = {case.id: case for cases in lists for case in cases}
    had: dict[tuple[str, tuple[str, ...]], int] = {}
    kept = []
    for case in sorted(every.values(), key=lambda one: one.rank, reverse=True):
        about = case.case.probe, case.case.features
        had[about] = had.get(about, 0) + 1
        if had[about] <= WORST_EACH:
            kept.append(case)
    return kept[:limit]


def _id(result: ProbeResult, case: Case) -> str:
    subject, told = result.subject, result.subject.space.masking.told
    # Of what is hidden the id holds no more than the case shows: values could be tried out against it.
    asked = [
        subject.model, subject.version, subject.request_id, case.probe, told(case.changed),
        told(case.original), case.before.score, case.after.score,
    ]  # fmt: skip
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shown(features: Features, masking: Masking) -> Mapping[str, Any]:
    return {name: _plain(value) for name, value in masking.told(features).items()}


def asked_again(features: Features) -> dict[str, Any]:
    """Features of a stored case as they were sent.

    Raises:
        ValueError: some are sensitive, or not of a schema that has sensitive ones, and were not stored.
    """
    hidden = [name for name, value in features.items() if is_masked(value)]
    if hidden:
        raise ValueError(
            f"{', '.join(hidden)}: sensitive values are not stored; take the request from its topic"
        )
    return {name: _sent(value) for name, value in features.items()}


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinities."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return {_FLOAT: str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _sent(value: Any) -> Any:
    """What `_plain` was made of."""
    if isinstance(value, dict):
        alone = value.keys() == {_FLOAT} and isinstance(value[_FLOAT], str)
        return float(value[_FLOAT]) if alone else {name: _sent(inner) for name, inner in value.items()}
    return [_sent(inner) for inner in value] if isinstance(value, list) else value


def _answer(answer: Answer) -> dict[str, Any]:
    return {"score": answer.score, "decision": answer.decision, "error": answer.error}
