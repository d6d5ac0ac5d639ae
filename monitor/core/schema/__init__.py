"""The feature schema: what the features of a record must be, and which of them are not."""

from monitor.core.schema.compiled import ChunkViolations, CompiledSchema
from monitor.core.schema.feature import Feature, FeatureType, Reference
from monitor.core.schema.model import FeatureSchema
from monitor.core.schema.violations import Code, Violation

__all__ = [
    "ChunkViolations",
    "Code",
    "CompiledSchema",
    "Feature",
    "FeatureSchema",
    "FeatureType",
    "Reference",
    "Violation",
]
