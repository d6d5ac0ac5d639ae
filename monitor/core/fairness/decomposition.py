"""Is the model worse for this slice, or is the slice's mix different?

A slice's error rate is `e = π f + (1 - π) g`, with π its share of labelled positives (the label mix), f its
false negative rate and g its false positive rate. The gap to the rest splits without remainder, each part
taken halfway between the two:

    label mix  = (π1 - π2) · ((f1 + f2) / 2 - (g1 + g2) / 2)
    the model  = π̄ · (f1 - f2) + (1 - π̄) · (g1 - g2),        π̄ = (π1 + π2) / 2

`score_mix` splits the same gap by where scores lie. Intervals are normal, by the delta method: every share is
an independent binomial one, its variance taken at (hits + 1/2) / (rows + 1). A mix that differs is a likely
cause, never a proof: the labels themselves may be what is wrong.

Source: Kitagawa (1955), doi:10.1080/01621459.1955.10501299; Oaxaca (1973), doi:10.2307/2525981.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.detectors.finding import percent
from monitor.core.fairness.split import Split, apart, normal

CLASS_ROWS_MIN: Final = 10
"""Labelled positives, and negatives, that either side needs: below, a class's error rate is a guess."""


class Confusion(NamedTuple):
    """Labelled decisions of a slice, counted."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def of(cls, counts: SliceCounts) -> Confusion:
        """From the counters of a slice."""
        return cls(*(counts[cell] for cell in (Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN)))

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(self)

    @property
    def positives(self) -> int:
        """Labelled positives."""
        return self.tp + self.fn

    @property
    def negatives(self) -> int:
        """Labelled negatives."""
        return self.fp + self.tn

    @property
    def error_rate(self) -> float:
        """Share of wrong decisions; needs rows."""
        return (self.fp + self.fn) / self.rows


@dataclass(frozen=True)
class Explanation:
    """What a gap comes from.

    Attributes:
        notes: sentences for people; empty where too little is known.
        values: the figures behind them, ready for JSON.
    """

    notes: tuple[str, ...]
    values: Mapping[str, Any]


def explain_gap(
    slice_: Confusion, rest: Confusion, scores: Split | None = None, level: float = 0.95
) -> Explanation:
    """Split the gap in error rate between a slice and the rest into label mix and model.

    Args:
        slice_: labelled decisions of the slice.
        rest: those of all other traffic.
        scores: the same gap split by scores, where `score_mix.split_by_scores` could.
        level: confidence level of the intervals, in (0, 1).

    >>> found = explain_gap(Confusion(558, 76, 304, 62), Confusion(369, 66, 524, 41))
    >>> round(found.values["label_mix"]["gap"], 4)
    0.031
    """
    notes: list[str] = []
    values: dict[str, Any] = {"label_mix": None, "score_mix": None}
    if min(slice_.positives, slice_.negatives, rest.positives, rest.negatives) >= CLASS_ROWS_MIN:
        split = split_by_labels(slice_, rest, level)
        mixes = (slice_.positives / slice_.rows, rest.positives / rest.rows)
        notes.append(_of_labels(split, mixes))
        values["label_mix"] = {**split.to_dict(), "positives": list(mixes)}
    if scores is not None:
        notes.append(_of_scores(scores))
        values["score_mix"] = scores.to_dict()
    return Explanation(tuple(notes), values)


def split_by_labels(slice_: Confusion, rest: Confusion, level: float = 0.95) -> Split:
    """The gap in error rate by label mix; either side has rows of both classes.

    >>> split = split_by_labels(Confusion(80, 10, 90, 20), Confusion(160, 5, 45, 40))
    >>> round(split.mix.value, 4), round(split.model.value, 4)  # the same rates, fewer positives
    (-0.03, 0.0)
    """
    one, two = ((_share(c.positives, c.rows), _share(c.fn, c.positives), _share(c.fp, c.negatives))
                for c in (slice_, rest))  # fmt: skip
    (p1, v1), (f1, vf1), (g1, vg1) = one
    (p2, v2), (f2, vf2), (g2, vg2) = two
    between, mean = p1 - p2, (p1 + p2) / 2
    slope = (f1 + f2) / 2 - (g1 + g2) / 2
    turn = ((f1 - f2) - (g1 - g2)) / 2
    spread_mix = slope**2 * (v1 + v2) + (between / 2) ** 2 * (vf1 + vf2 + vg1 + vg2)
    spread_model = turn**2 * (v1 + v2) + mean**2 * (vf1 + vf2) + (1 - mean) ** 2 * (vg1 + vg2)
    return Split(
        slice_.error_rate - rest.error_rate,
        normal(between * slope, spread_mix, level),
        normal(mean * (f1 - f2) + (1 - mean) * (g1 - g2), spread_model, level),
    )


def _share(hits: int, rows: int) -> tuple[float, float]:
    """A share and its variance, half a hit added to either side for the latter."""
    smooth = (hits + 0.5) / (rows + 1)
    return hits / rows, smooth * (1 - smooth) / rows


def _of_labels(split: Split, mixes: tuple[float, float]) -> str:
    mix, model = split.mix.value or 0.0, split.model.value or 0.0
    labels = f"{percent(mixes[0])} positives against {percent(mixes[1])}"
    worse = "worse" if model >= 0 else "better"
    chance = "" if apart(split.model) else ", which may be chance"
    if apart(split.mix) and mix * split.gap > 0 and model * split.gap >= 0:
        whole, rest = round(abs(100 * split.gap), 1), round(abs(100 * model), 1)
        return (
            f"of the gap of {whole:.1f} points in error rate, {whole - rest:.1f} come from another label mix "
            f"({labels}), {rest:.1f} from the model being {worse} on the same labels{chance}"
        )
    gap = f"error rate is {_points(split.gap)} points {'higher' if split.gap >= 0 else 'lower'}"
    by_model = f"the model is {worse} by {_points(model)} points on the same labels{chance}"
    if not apart(split.mix):
        return f"{gap}; its label mix ({labels}) does not explain that: {by_model}"
    return f"{gap}: another label mix ({labels}) makes {100 * mix:+.1f} points, and {by_model}"


def _of_scores(split: Split) -> str:
    mix, model = split.mix.value or 0.0, split.model.value or 0.0
    chance = "" if apart(split.model) else ", which may be chance"
    where = "which may be chance" if not apart(split.mix) else "harder" if mix > 0 else "easier"
    return (
        f"by score: {100 * mix:+.1f} points come from where its scores lie ({where}), {100 * model:+.1f} "
        f"from being {'wrong more' if model >= 0 else 'right more'} often at the same score{chance}"
    )


def _points(share: float) -> str:
    """A difference of rates in points, a hundredth of the whole each."""
    return f"{abs(100 * share):.1f}"
