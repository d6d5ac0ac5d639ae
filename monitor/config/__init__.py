"""The settings: frozen, read once from YAML and the environment, every mistake reported together."""

from monitor.config.models import AlertSettings, LabelSettings, ModelSettings, Reference
from monitor.config.probes import ProbeSettings
from monitor.config.services import (
    EMBEDDED,
    AlertsTopic,
    DeadLettersTopic,
    KafkaSettings,
    RedisSettings,
    Source,
)
from monitor.config.settings import Limits, Settings, WorkerSettings, setting_paths

__all__ = [
    "EMBEDDED",
    "AlertSettings",
    "AlertsTopic",
    "DeadLettersTopic",
    "KafkaSettings",
    "LabelSettings",
    "Limits",
    "ModelSettings",
    "ProbeSettings",
    "RedisSettings",
    "Reference",
    "Settings",
    "Source",
    "WorkerSettings",
    "setting_paths",
]
