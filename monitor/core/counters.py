"""The layout of every counter: which cells exist, how wide they are, in which tiers they live.

The store keeps sums and nothing else. A *cell* is an unsigned integer that only grows; a *kind* is
a dense array of cells that live together under one key; a *tier* is a bucket length with a retention.
A key is (kind, tier, bucket start, model, slice). Every metric is computed from these arrays when it
is read, so any number of workers may add in any order and any window is an exact merge.

Real-valued contributions (a log loss, a score) are stored in fixed point, `FIXED_ONE` to the unit,
rounded per record: the sum does not depend on how records were cut into chunks.

Two kinds of array share a shape: the plain one, and its *retracted* twin, which holds what corrected
labels took back. A reader subtracts; nothing in the store ever shrinks.

Change a layout only together with `LAYOUT_VERSION`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LAYOUT_VERSION: Final = 4
"""Recorded in the store at first start; another version refuses to start."""

FIXED_ONE: Final = 1 << 24
"""Fixed-point unit of real-valued sums: one record's rounding error is at most 2**-25."""

ALL_SLICE: Final = 0
"""The slice id of all traffic of a model."""

Counts = NDArray[np.int64]
"""An array of cells as a reader sees it: plain minus retracted."""


class Scalar(IntEnum):
    """Cells kept for every slice in every tier. `_sum` cells are fixed point."""

    REQUESTS = 0
    INVALID = 1  # requests with at least one violation
    TRACKED = 2  # requests whose labels are awaited (inside the label sample)
    SCORED = 3  # requests with a score in [0, 1]
    DECIDED = 4
    POSITIVE = 5  # positive decisions
    SCORE_SUM = 6
    SCORE_SQ_SUM = 7
    LABELLED = 8
    LABEL_POSITIVE = 9
    TP = 10
    FP = 11
    TN = 12
    FN = 13
    RATED = 14  # labelled and scored
    LOG_LOSS_SUM = 15
    LOG_LOSS_SQ_SUM = 16
    BRIER_SUM = 17
    BRIER_SQ_SUM = 18
    CLIPPED = 19  # log losses that hit the clip
    CORRECT = 20  # right decisions where there are more than two classes, which have no TP, FP, TN, FN
    WRONG = 21


class Join(IntEnum):
    """Cells of the label join, of a model as a whole, in every tier."""

    DUPLICATE_PREDICTIONS = 0
    CONFLICTING_PREDICTIONS = 1
    LABELS_APPLIED = 2
    DUPLICATE_LABELS = 3
    CORRECTED_LABELS = 4
    STALE_LABELS = 5  # older than the label already applied
    PARKED_LABELS = 6  # came before their prediction; counted at the label's own time
    ADOPTED_LABELS = 7  # parked labels whose prediction came; counted where they were parked
    UNSAMPLED_LABELS = 8  # outside the label sample
    CLAMPED_TIMESTAMPS = 9  # lay in the future of their Kafka record
    REVISED_AFTER_EVIDENCE = 10  # applied to a bucket the evaluator had taken already


CODES: Final = 16
"""Cells per feature in the violations array: `monitor.core.schema.violations.Code`."""

SCORE_BINS: Final = 512
SCORE_LOGIT_MAX: Final = 16.0
SCORE_PARTS: Final = 3
"""Per score bin: scored, labelled positive, labelled negative; cell = bin * 3 + part."""

CALIBRATION_BINS: Final = 20
CALIBRATION_PARTS: Final = 3
"""Per equal-width bin of the score: rated, positive, score sum; cell = bin * 3 + part."""

CLASS_PARTS: Final = 4
CLASS_DECIDED: Final = 0
CLASS_LABELLED: Final = 1
CLASS_SAID: Final = 2
CLASS_RIGHT: Final = 3
"""Per class: decided for; and among labelled decisions: labels, decisions, both; cell = number * 4 + part."""

LOG_LOSS_EPS: Final = float(np.finfo(np.float64).eps)
"""Scores are clipped to [eps, 1 - eps] before a log loss, as scikit-learn does for float64."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A bucket length and how long its buckets are kept, in seconds of event time."""

    name: str
    bucket_s: int
    keep_s: int


DEFAULT_TIERS: Final = (
    Tier("10s", 10, 3_600),
    Tier("1m", 60, 86_400),
    Tier("1h", 3_600, 30 * 86_400),
    Tier("1d", 86_400, 400 * 86_400),
)

DEMO_TIERS: Final = (Tier("1s", 1, 900), *DEFAULT_TIERS)


@dataclass(frozen=True, eq=False)
class Kind:
    """One dense array of cells and where it is kept.

    Attributes:
        name: part of the key.
        size: number of cells; 0 where a registry or the schema decides (violations, features).
        per_slice: kept for every slice, or for all traffic only.
        keep_s: tier name → seconds kept; None for every tier at the tier's own retention.
        narrow: tier names where a cell is 32 bits wide; elsewhere it is 64.
        guard: of a kind whose array may begin with a label, the kind its prediction was counted in: it begins
            only where that is kept still.
    """

    name: str
    size: int
    per_slice: bool
    keep_s: dict[str, int] | None = None
    narrow: frozenset[str] = frozenset()
    guard: Kind | None = None

    def kept_s(self, tier: Tier) -> int:
        """Seconds this kind is kept in `tier`; 0 when it is not kept there."""
        if self.keep_s is None:
            return tier.keep_s
        return min(self.keep_s.get(tier.name, 0), tier.keep_s)

    def width_bits(self, tier: Tier) -> int:
        """Bits of one cell in `tier`."""
        return 32 if tier.name in self.narrow else 64


_CURVE_KEEP_S = {"1m": 2 * 3_600, "1h": 7 * 86_400, "1d": 400 * 86_400}

SCALARS: Final = Kind("scalars", len(Scalar), per_slice=True)
JOIN: Final = Kind("join", len(Join), per_slice=False, guard=SCALARS)
"""Where all is well its first cell comes with a label, so that an array begins with one."""
VIOLATIONS: Final = Kind("violations", 0, per_slice=False)
JUDGED: Final = Kind("judged", 0, per_slice=False)
"""Requests by the feature schema that judged them; cell = id in the registry `feature_schemas`."""

SCORES: Final = Kind("scores", SCORE_BINS * SCORE_PARTS, True, _CURVE_KEEP_S, frozenset({"1m"}))
CALIBRATION: Final = Kind(
    "calibration", CALIBRATION_BINS * CALIBRATION_PARTS, True, _CURVE_KEEP_S, guard=SCORES
)

FEATURES: Final = Kind("features", 0, per_slice=False, narrow=frozenset({"1s", "10s", "1m"}))
"""Histograms of all features and of the score, laid out by `monitor.core.drift.layout`; the id of that layout
in the registry `schemas` stands in place of a slice id."""

SCALE: Final = Kind(
    "scale", 0, False, {"1s": 120, "10s": 600, "1m": 2 * 3_600}, frozenset({"1s", "10s", "1m"})
)
"""Magnitudes and signs of numeric features, under the layout's id too."""

TAILS: Final = Kind(
    "tails", 0, True, {"1s": 120, "10s": 600, "1m": 2 * 3_600}, frozenset({"1s", "10s", "1m"})
)
"""Per slice and numeric feature: values beyond the reference's 1 % and 99 % quantiles; cell = feature * 2 +
side, features numbered as in the layout."""

_FINE = frozenset({"1s", "10s", "1m"})

CLASSES: Final = Kind("classes", 0, per_slice=True, narrow=_FINE)
"""Multiclass: decisions and labels per class, numbered as in the registry `classes`."""

CONFUSION: Final = Kind("confusion", 0, True, _CURVE_KEEP_S, frozenset({"1m"}), guard=CLASSES)
"""Multiclass: labelled decisions per pair of classes; see `confusion_cell`."""

VALUES: Final = Kind("values", 0, per_slice=True)
"""Regression: counts and sums of powers; see `monitor.core.tasks.moments`."""

RESIDUALS: Final = Kind("residuals", 0, True, _CURVE_KEEP_S, frozenset({"1m"}), guard=VALUES)
"""Regression: absolute errors by logarithmic bins."""

LOSSES: Final = Kind("losses", 0, True, _CURVE_KEEP_S)
"""Regression: rows, and what labelled ones were off by, per bin of the value; `monitor.core.tasks.losses`."""

RANKING: Final = Kind("ranking", 0, True, {"1m": 2 * 3_600, "1h": 86_400, "1d": 30 * 86_400})
"""Not cells but rows: the labelled scores of a slice one by one, while they are few (`ranking_rows_max`)."""

_PROBE_KEEP_S = {"1s": 120, "10s": 1_200, "1m": 2 * 3_600, "1h": 3 * 86_400, "1d": 90 * 86_400}

PROBE_TRIALS: Final = Kind("probe_trials", 0, True, _PROBE_KEEP_S, _FINE)
"""What probes found, per slice; cells as in `monitor.core.probes.results`, like those of the three below.

Buckets of probes are of the store's clock when they were counted, whatever time the requests have."""

PROBE_SHAPES: Final = Kind("probe_shapes", 0, False, _PROBE_KEEP_S, _FINE)
"""Sizes of changes of the score, and distances that flip."""

PROBE_TYPES: Final = Kind("probe_types", 0, False, _PROBE_KEEP_S, _FINE)
"""The matrix of types."""

PROBE_SETS: Final = Kind("probe_sets", 0, False, _PROBE_KEEP_S, _FINE)
"""Sets of features that act only together; cell = id in the registry `probe_sets`."""

PROBE_WORK: Final = Kind("probe_work", 0, False, _PROBE_KEEP_S, _FINE)
"""What probing cost; cells are `monitor.core.probes.results.Work`."""

PROBE_KINDS: Final = (PROBE_TRIALS, PROBE_SHAPES, PROBE_TYPES, PROBE_SETS, PROBE_WORK)

RANKING_ROW: Final = np.dtype("<u4")
"""One labelled score: its bin of 2**30 uniform in logit(p) over ±16, above the two bits below."""
RANKING_BINS: Final = 1 << 30
RANKING_POSITIVE: Final = 1
RANKING_RETRACTED: Final = 2

KINDS: Final = (
    SCALARS,
    JOIN,
    VIOLATIONS,
    JUDGED,
    SCORES,
    CALIBRATION,
    FEATURES,
    SCALE,
    TAILS,
    CLASSES,
    CONFUSION,
    VALUES,
    RESIDUALS,
    LOSSES,
    RANKING,
    *PROBE_KINDS,
)
"""Everything that is counted: read this tuple, know the store."""


@dataclass(frozen=True, slots=True)
class CellKey:
    """The address of one array."""

    kind: Kind
    tier: Tier
    bucket_s: int  # start of the bucket, epoch seconds, a multiple of tier.bucket_s
    model: str
    slice_id: int = ALL_SLICE
    retracted: bool = False


@dataclass(frozen=True)
class Increment:
    """What a flush adds to one array.

    Attributes:
        key: which array.
        cells: cell numbers, strictly increasing, int64[n].
        amounts: what to add, all positive, int64[n].
        create: False for label-side increments, which must not bring an expired bucket back; only where the
            kind has a guard that is kept still do they begin an array.
        ttl_s: seconds to live if this increment creates the key.
    """

    key: CellKey
    cells: NDArray[np.int64]
    amounts: NDArray[np.int64]
    create: bool
    ttl_s: int


@dataclass(frozen=True)
class Rows:
    """What a flush appends to a ranking.

    `data` holds `RANKING_ROW` records. They are added only where the slice's score histogram of that bucket
    exists; beyond `rows_max` the ranking is closed and its space given back.
    """

    key: CellKey
    data: bytes
    rows_max: int


def ranking_rows_max(tier: Tier) -> int:
    """Labelled rows a slice keeps one by one in one bucket; past it the histogram alone answers.

    A histogram of 512 bins is off by up to 0.014 (ROC AUC) and 0.04 (PR AUC) on slices of some dozens of
    rows, and by 0.005 (PR AUC) where scores are tied; see docs/decisions/0003.
    """
    return 4_096 if tier.bucket_s <= 60 else 32_768


@dataclass(frozen=True)
class Ranking:
    """Labelled scores merged over a window: distinct codes, ascending, with their labels.

    `codes`, `positive`, `negative` are int64[k].
    """

    codes: Counts
    positive: Counts
    negative: Counts

    @classmethod
    def of(cls, data: bytes) -> Ranking:
        """Net counts of `RANKING_ROW` records; a retraction cancels the row it took back."""
        rows = np.frombuffer(data, RANKING_ROW)
        codes, place = np.unique((rows >> 2).astype(np.int64), return_inverse=True)
        sign = np.where(rows & RANKING_RETRACTED, -1.0, 1.0)
        yes = (rows & RANKING_POSITIVE) > 0
        positive = np.bincount(place[yes], sign[yes], len(codes)).astype(np.int64)
        negative = np.bincount(place[~yes], sign[~yes], len(codes)).astype(np.int64)
        kept = positive + negative > 0
        return cls(codes[kept], positive[kept], negative[kept])


@dataclass(frozen=True)
class Curve:
    """Score histograms of one slice, merged over a window.

    `scored`, `positive`, `negative` are int64[512]: all scored rows, labelled positives, labelled
    negatives per bin of `score_bin`.
    """

    scored: Counts
    positive: Counts
    negative: Counts

    @classmethod
    def of(cls, cells: Counts) -> Curve:
        """Read the `scores` array."""
        parts = cells.reshape(SCORE_BINS, SCORE_PARTS)
        return cls(parts[:, 0], parts[:, 1], parts[:, 2])


@dataclass(frozen=True)
class SliceCounts:
    """All that is known of one slice in one window: the input of every metric.

    Attributes:
        scalars: int64[len(Scalar)].
        scores: int64[SCORE_BINS * SCORE_PARTS] or None where curves are not kept that finely.
        calibration: int64[CALIBRATION_BINS * CALIBRATION_PARTS] or None.
        ranking: the labelled scores one by one, or None where they were too many or are not kept.
        classes: of several classes, decisions and labels per class; None for another task.
        confusion: of several classes, pairs of label and decision, or None where it is not kept.
        values: of a regression, counts and sums of powers; None for another task.
        residuals: of a regression, absolute errors by bin, or None where they are not kept.
        losses: of a regression, errors by bin of the value, or None where they are not kept.
        unit: of a regression, what its sums count in.
    """

    scalars: Counts
    scores: Counts | None = None
    calibration: Counts | None = None
    ranking: Ranking | None = None
    classes: Counts | None = None
    confusion: Counts | None = None
    values: Counts | None = None
    residuals: Counts | None = None
    losses: Counts | None = None
    unit: float = 1.0

    def __getitem__(self, cell: Scalar) -> int:
        return int(self.scalars[cell])

    def holding(self, arrays: Mapping[Kind, Counts], unit: float = 1.0) -> SliceCounts:
        """The same with arrays of some kinds that are kept per slice, and the unit of a regression."""
        found: dict[str, Any] = {kind.name: cells for kind, cells in arrays.items()}
        return replace(self, unit=unit, **found)

    @cached_property
    def curve(self) -> Curve | None:
        """The score histograms, if kept."""
        return None if self.scores is None else Curve.of(self.scores)

    @classmethod
    def zero(cls) -> SliceCounts:
        """An empty window."""
        return cls(
            np.zeros(SCALARS.size, np.int64),
            np.zeros(SCORES.size, np.int64),
            np.zeros(CALIBRATION.size, np.int64),
        )

    def __add__(self, other: SliceCounts) -> SliceCounts:
        return SliceCounts(
            self.scalars + other.scalars,
            None if self.scores is None or other.scores is None else self.scores + other.scores,
            None
            if self.calibration is None or other.calibration is None
            else self.calibration + other.calibration,
        )


def score_bin(scores: NDArray[np.float64], bins: int = SCORE_BINS) -> NDArray[np.int64]:
    """Bin of each score: 512 bins uniform in logit(p) over ±16, ends clipped.

    Args:
        scores: float64[n] in [0, 1].
        bins: how many; a multiple of 512 refines the same edges.

    Returns:
        int64[n] in [0, bins - 1].

    >>> score_bin(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 256, 511]
    """
    with np.errstate(divide="ignore"):
        logit = np.log(scores) - np.log1p(-scores)
    position = np.floor((logit + SCORE_LOGIT_MAX) * (bins / (2 * SCORE_LOGIT_MAX)))
    return np.clip(position, 0, bins - 1).astype(np.int64)


def confusion_cell(labels: NDArray[np.int64], decisions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cell of each pair of class numbers, int64[n]: K classes take the first K² cells, whatever K is.

    Source: Szudzik (2006), An elegant pairing function.

    >>> confusion_cell(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])).tolist()
    [0, 1, 2, 3, 6]
    """
    return np.where(labels >= decisions, labels * labels + labels + decisions, decisions**2 + labels)


def fixed(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Fixed-point form of real contributions, rounded half to even.

    >>> fixed(np.array([0.5])).tolist() == [FIXED_ONE // 2]
    True
    """
    return np.rint(values * FIXED_ONE).astype(np.int64)


def merge(parts: Iterable[SliceCounts]) -> SliceCounts:
    """Sum of windows; the empty sum is an empty window."""
    total = SliceCounts.zero()
    for part in parts:
        total = total + part
    return total
