"""Tasks: what a model predicts, and what its predictions and labels add to the counters.

Read `TASKS`, know the product. Each lives in a file of its own name.
"""

from __future__ import annotations

from typing import Final

from monitor.core.tasks.answers import UNKNOWN, Answers, Task
from monitor.core.tasks.binary import Binary, ClassNames
from monitor.core.tasks.multiclass import Multiclass
from monitor.core.tasks.recorded import FAMILY, RecordedTask
from monitor.core.tasks.regression import Regression

TASKS: Final = (Binary, Multiclass, Regression)

__all__ = [
    "FAMILY",
    "TASKS",
    "UNKNOWN",
    "Answers",
    "Binary",
    "ClassNames",
    "Multiclass",
    "RecordedTask",
    "Regression",
    "Task",
]
