"""What probes may find before a release is held up."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.core.schema.feature import Number, Strict

Share = Annotated[Number, Field(ge=0, le=1)]


class Tolerances(Strict):
    """Probe → share of requests of which its finding is tolerated; None where nothing is stated.

    What a finding is: `monitor.core.rehearsal.tolerances.FINDINGS`.
    """

    replay: Share | None = Field(None, description="Answered otherwise when asked again.")
    type_conversion: Share | None = Field(None, description="A type answered differently in silence.")
    missing: Share | None = Field(None, description="Answered differently, in silence, without a feature.")
    out_of_range: Share | None = Field(None, description="An impossible value answered differently.")
    unit_change: Share | None = Field(None, description="Another unit answered differently.")
    single_feature: Share | None = Field(None, description="A flip within 0.25 interquartile ranges.")
    feature_set: Share | None = Field(None, description="A flip by features only together.")
    counterfactual: Share | None = Field(None, description="A flip by a protected feature alone.")
    sharp_boundary: Share | None = Field(None, description="A jump within a step nobody would notice.")
    sensitivity: Share | None = Field(None, description="A flip by a small step of one feature.")
    interaction: Share | None = Field(None, description="Two features that act only together.")
