"""Where the next rows of the budget go: to probes and features that have paid, and some to the others.

What flips a model is a small, steady set of features, so what paid is likely to pay again. Each pair of
probe and feature is an arm of a bandit with a Beta posterior; whole numbers of trials and successes are all
it keeps, so the counts of several workers add.

Source: Thompson (1933), doi:10.1093/biomet/25.3-4.285; that tree ensembles break along few features: Cascioli
et al. (NeurIPS 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.probes.answers import ProbeResult

EXPLORE: Final = 0.2
"""Share of choices that are drawn evenly, whatever has been learned: models change."""

LATE_S: Final = 0.2
"""Rows are sent this soon after their turn, or take another: what waits in a busy worker would otherwise
leave together with what comes after it."""


def held_rows(rate_per_s: float, burst: float) -> float:
    """Rows in a full bucket: a burst less what comes in while rows may be late.

    >>> held_rows(50, 25)
    15.0
    """
    return burst - LATE_S * rate_per_s


Arm = tuple[str, str]
"""Probe and feature; feature "" where a probe is spent on a request as a whole."""


@dataclass(frozen=True, slots=True)
class Record:
    """What an arm has cost and brought.

    Attributes:
        tried: trials.
        paid: those that flipped or were answered differently in silence.
    """

    tried: int = 0
    paid: int = 0

    def __add__(self, other: Record) -> Record:
        return Record(self.tried + other.tried, self.paid + other.paid)


def choose(
    records: Mapping[Arm, Record], arms: Sequence[Arm], count: int, rng: np.random.Generator
) -> list[Arm]:
    """Arms for one request, distinct.

    Args:
        records: what is known; arms without a record are fresh.
        arms: to choose from.
        count: how many.
        rng: of the request, so that the choice can be repeated.
    """
    left = list(arms)
    drawn = {arm: _draw(records.get(arm, Record()), rng) for arm in left}
    chosen: list[Arm] = []
    while left and len(chosen) < count:
        if rng.random() < EXPLORE:
            arm = left[int(rng.integers(len(left)))]
        else:
            arm = max(left, key=lambda one: drawn[one])
        left.remove(arm)
        chosen.append(arm)
    return chosen


def learned(results: Sequence[ProbeResult]) -> dict[Arm, Record]:
    """What results add to the records."""
    found: dict[Arm, Record] = {}
    for result in results:
        for trial in result.trials:
            arm = (result.probe, trial.feature)
            paid = trial.flipped or trial.different
            found[arm] = found.get(arm, Record()) + Record(1, int(paid))
    return found


def _draw(record: Record, rng: np.random.Generator) -> float:
    """One draw of an arm's success rate, from a uniform prior."""
    return float(rng.beta(1 + record.paid, 1 + max(record.tried - record.paid, 0)))
