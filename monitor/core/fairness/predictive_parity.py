"""Predictive parity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.fairness.sums import Trials


@dataclass(frozen=True)
class PredictiveParity:
    """The share of positive decisions that turn out right, `TP / (TP + FP)`: it means the same for all.

    It cannot be had together with equal opportunity and equal false positive rates where base rates differ.

    Source: Chouldechova (2017), doi:10.1089/big.2016.0047.

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 4, 1, 3, 2
    >>> PredictiveParity()(counts)
    Trials(hits=4, rows=5)
    """

    name: ClassVar[str] = "predictive_parity"
    title: ClassVar[str] = "precision"
    absent: ClassVar[str] = "no labelled positive decisions"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Trials:
        """See `Family`."""
        return Trials(counts[Scalar.TP], counts[Scalar.TP] + counts[Scalar.FP])
