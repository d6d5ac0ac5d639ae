"""Everything the pipeline knows of one model, compiled once from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.batch import Reading
from monitor.core.counters import Tier
from monitor.core.drift.layout import FeatureLayout
from monitor.core.masking import OPEN, Masking
from monitor.core.schema.compiled import CompiledSchema
from monitor.core.slices.assign import SliceAssigner


@dataclass(frozen=True)
class ModelPlan:
    """How one model's records are read, judged and counted.

    Attributes:
        name: the model's name.
        reading: threshold, class names, label sample.
        schema: compiled feature schema; None counts traffic without judging features.
        slices: the model's declared slices and its version.
        tiers: bucket lengths, finest first.
        slices_max: slice ids a model may use; what lies beyond is "(other)".
        layout: cells of the features' histograms; None counts none.
    """

    name: str
    reading: Reading
    schema: CompiledSchema | None
    slices: SliceAssigner
    tiers: tuple[Tier, ...]
    slices_max: int = 1000
    layout: FeatureLayout | None = None

    @property
    def masking(self) -> Masking:
        """How values of sensitive features are told."""
        return OPEN if self.schema is None else self.schema.masking
