"""Probes: questions asked of the model that is serving, about requests it has served.

Each probe is a file with a frozen dataclass of its configuration; it changes features of a request, sees
the answers and says what they mean. All is pure: asking is somebody else's. Read `PROBES`, know the product.
"""

from __future__ import annotations

from typing import Final

from monitor.core.probes.answers import Answer, Answers, Case, Features, ProbeResult, Subject, Trial
from monitor.core.probes.counterfactual import Counterfactual
from monitor.core.probes.dialogue import Conversation, Probe, drive, drive_all
from monitor.core.probes.feature_set import FeatureSet
from monitor.core.probes.interaction import Interaction
from monitor.core.probes.missing import Missing
from monitor.core.probes.out_of_range import OutOfRange
from monitor.core.probes.replay import Replay
from monitor.core.probes.sensitivity import Sensitivity
from monitor.core.probes.sharp_boundary import SharpBoundary
from monitor.core.probes.single_feature import SingleFeature
from monitor.core.probes.space import Constraints, FeatureSpace
from monitor.core.probes.type_conversion import TypeConversion
from monitor.core.probes.unit_change import UnitChange

PROBES: Final[tuple[Probe, ...]] = (
    Replay(),
    TypeConversion(),
    Missing(),
    OutOfRange(),
    UnitChange(),
    SingleFeature(),
    FeatureSet(),
    Counterfactual(),
    SharpBoundary(),
    Sensitivity(),
    Interaction(),
)
"""Every probe; counters number them by their place, so new ones come last."""

__all__ = [
    "PROBES",
    "Answer",
    "Answers",
    "Case",
    "Constraints",
    "Conversation",
    "FeatureSpace",
    "Features",
    "Probe",
    "ProbeResult",
    "Subject",
    "Trial",
    "drive",
    "drive_all",
]
