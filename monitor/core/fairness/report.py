"""Everything there is to say about how one model serves the groups of one feature, or of a crossing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from monitor.core.counters import SliceCounts, merge
from monitor.core.fairness import FAMILIES, REGRESSION_FAMILIES
from monitor.core.fairness.calibration_gap import CalibrationBin, calibration_bins
from monitor.core.fairness.comparison import ROWS_MIN, compare
from monitor.core.fairness.decomposition import Confusion, Explanation, explain_gap
from monitor.core.fairness.equalized_odds import EQUALIZED_ODDS, equalized_odds
from monitor.core.fairness.error_rate import ErrorRateGap
from monitor.core.fairness.readings import Comparison, Verdict
from monitor.core.fairness.score_mix import errors_by_score, split_by_scores
from monitor.core.fairness.within import Stratified, within

CRITERIA = (*(family.name for family in FAMILIES), EQUALIZED_ODDS)
CRITERIA_OF: Final = {
    "binary": CRITERIA,
    "multiclass": ("error_rate",),
    "regression": tuple(family.name for family in REGRESSION_FAMILIES),
}
"""Task → what its groups are compared by."""

_EVERY: Final = (*FAMILIES, *REGRESSION_FAMILIES)
"""Names of everything that is compared."""

Parts = Mapping[str, str]


@dataclass(frozen=True)
class FairnessReport:
    """The groups of `by` in one window.

    Attributes:
        by: features that make the groups.
        groups: name → definition of each group with requests, `{"sex": "Female"}`.
        reference: name of the group that others are held against, if any.
        level: confidence level.
        criteria: name → comparison.
        within: legitimate features → criterion → group → the gap within their strata, to the reference, or
            to the rest without one.
        explanations: for groups with a higher error rate than the rest, where that comes from.
        calibration: group → bins of the score.
    """

    by: tuple[str, ...]
    groups: Mapping[str, Parts]
    reference: str | None
    level: float
    criteria: Mapping[str, Comparison]
    within: Mapping[tuple[str, ...], Mapping[str, Mapping[str, Stratified]]]
    explanations: Mapping[str, Explanation]
    calibration: Mapping[str, Sequence[CalibrationBin]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        criteria = {name: found.to_dict() for name, found in self.criteria.items()}
        parity = self.criteria.get("demographic_parity")
        if parity is not None:
            criteria["demographic_parity"]["four_fifths"] = parity.four_fifths.value
        return {
            "by": list(self.by),
            "groups": {name: dict(parts) for name, parts in self.groups.items()},
            "reference": self.reference,
            "level": self.level,
            "criteria": criteria,
            "within": [
                {
                    "features": list(features),
                    "criteria": {
                        name: {group: gap.to_dict() for group, gap in gaps.items()}
                        for name, gaps in found.items()
                    },
                }
                for features, found in self.within.items()
            ],
            "explanations": {
                name: {"notes": list(found.notes), **found.values}
                for name, found in self.explanations.items()
            },
            "calibration_bins": {
                name: [part.to_dict() for part in bins] for name, bins in self.calibration.items()
            },
        }


def group_name(parts: Parts) -> str:
    """A group as a person names it.

    >>> group_name({"sex": "Female", "race": "Black"})
    'race=Black sex=Female'
    """
    return " ".join(f"{feature}={value}" for feature, value in sorted(parts.items()))


def fairness_report(
    by: Sequence[str],
    slices: Sequence[tuple[Parts, SliceCounts]],
    crossed: Mapping[tuple[str, ...], Sequence[tuple[Parts, SliceCounts]]],
    reference: str | None = None,
    criteria: Sequence[str] = CRITERIA,
    threshold: float | None = None,
    level: float = 0.95,
    rows_min: int = ROWS_MIN,
) -> FairnessReport:
    """Compare the groups of `by`.

    Args:
        by: features that make the groups.
        slices: definition and counters of each group; groups share no rows.
        crossed: legitimate features → the slices of `by` crossed with them.
        reference: name of one of the groups, see `group_name`.
        criteria: what to compare, of `CRITERIA_OF` the task.
        threshold: score from which decisions are positive, to split gaps by score; None skips that.
        level: confidence level of the intervals, in (0, 1).
        rows_min: rows from which a group is compared.
    """
    groups = {group_name(parts): counts for parts, counts in slices}
    compared: dict[str, Comparison] = {}
    for family in _EVERY:
        if family.name in criteria:
            compared[family.name] = compare(
                {name: family(counts) for name, counts in groups.items()},
                reference,
                level,
                rows_min,
                family.ratios,
                family.absent,
            )
    if EQUALIZED_ODDS in criteria:
        compared[EQUALIZED_ODDS] = equalized_odds(groups, reference, level, rows_min)
    strata = {features: _strata(by, found) for features, found in crossed.items()}
    return FairnessReport(
        by=tuple(by),
        groups={group_name(parts): parts for parts, _ in slices},
        reference=reference,
        level=level,
        criteria=compared,
        within={
            features: _within(found, list(groups), reference, criteria, level, rows_min)
            for features, found in strata.items()
        },
        explanations=_explained(groups, compared, threshold, level),
        calibration={name: calibration_bins(counts, level) for name, counts in groups.items()}
        if "calibration" in criteria
        else {},
    )


def _strata(by: Sequence[str], crossed: Sequence[tuple[Parts, SliceCounts]]) -> list[dict[str, SliceCounts]]:
    """Groups of each stratum, by name."""

    def stratum(item: tuple[Parts, SliceCounts]) -> str:
        return group_name({name: value for name, value in item[0].items() if name not in by})

    return [
        {group_name({name: parts[name] for name in by}): counts for parts, counts in items}
        for _, items in groupby(sorted(crossed, key=stratum), key=stratum)
    ]


def _within(
    strata: Sequence[Mapping[str, SliceCounts]],
    groups: Sequence[str],
    reference: str | None,
    criteria: Sequence[str],
    level: float,
    rows_min: int,
) -> dict[str, dict[str, Stratified]]:
    found: dict[str, dict[str, Stratified]] = {}
    for family in _EVERY:
        if family.name not in criteria:
            continue
        sums = [{name: family(counts) for name, counts in stratum.items()} for stratum in strata]
        found[family.name] = {
            name: within(sums, name, reference, level, rows_min, family.ratios, family.absent)
            for name in groups
            if name != reference
        }
    return found


def _explained(
    groups: Mapping[str, SliceCounts],
    compared: Mapping[str, Comparison],
    threshold: float | None,
    level: float,
) -> dict[str, Explanation]:
    """For groups whose error rate is higher than that of the rest."""
    errors = compared.get(ErrorRateGap.name)
    found: dict[str, Explanation] = {}
    if errors is None:
        return found
    for name, counts in groups.items():
        gap = errors.groups[name].rest.difference
        if gap.low is None or gap.low <= 0:
            continue
        rest = merge(other for key, other in groups.items() if key != name)
        scores = None
        if threshold is not None:
            mine, others = errors_by_score(counts, threshold), errors_by_score(rest, threshold)
            scores = split_by_scores(mine, others, level) if mine and others else None
        found[name] = explain_gap(Confusion.of(counts), Confusion.of(rest), scores, level)
    return found


def verdict(comparison: Comparison, group: str, reference: str | None) -> Verdict | None:
    """Whether a group differs from the reference, or from the rest without one; None where it is not known.

    A size, as equalised odds tells it, differs where its lower end is above 0.
    """
    reading = comparison.groups[group]
    contrast = reading.rest if reference is None else reading.reference
    if contrast is None or contrast.difference.low is None or contrast.difference.high is None:
        return None
    clear = contrast.difference.low > 0 or contrast.difference.high < 0
    return Verdict.YES if clear else Verdict.UNCLEAR
