"""A live monitor for inference traffic: `Settings`, `MetricsReader`, `AlertStream` and the records.

```python
from monitor import MetricsReader, Settings, open_reader

settings = Settings.load("monitor.yaml")
reader = MetricsReader(open_reader(settings), settings.tiers)
for report in reader.slices("income", since="1h"):
    print(report.slice, report["accuracy"].value)
```

Names are imported when they are first used, so that a part of the package costs only itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.core.errors import MonitorError
    from monitor.core.records import (
        Alert,
        AlertKind,
        AlertState,
        DeadLetter,
        Heartbeat,
        Label,
        Prediction,
        Severity,
    )
    from monitor.core.schema import FeatureSchema
    from monitor.edges.kafka.alert_stream import AlertStream
    from monitor.edges.reader import MetricsReader
    from monitor.wiring import open_reader

_HOMES: Final = {
    "Settings": "monitor.config",
    "MetricsReader": "monitor.edges.reader",
    "AlertStream": "monitor.edges.kafka.alert_stream",
    "FeatureSchema": "monitor.core.schema",
    "MonitorError": "monitor.core.errors",
    "Alert": "monitor.core.records",
    "AlertKind": "monitor.core.records",
    "AlertState": "monitor.core.records",
    "DeadLetter": "monitor.core.records",
    "Heartbeat": "monitor.core.records",
    "Label": "monitor.core.records",
    "Prediction": "monitor.core.records",
    "Severity": "monitor.core.records",
    "open_reader": "monitor.wiring",
}

__all__ = [
    "Alert",
    "AlertKind",
    "AlertState",
    "AlertStream",
    "DeadLetter",
    "FeatureSchema",
    "Heartbeat",
    "Label",
    "MetricsReader",
    "MonitorError",
    "Prediction",
    "Settings",
    "Severity",
    "open_reader",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'monitor' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
