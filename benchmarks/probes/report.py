"""probes.json, kept by several measurements: each updates its own keys and leaves the others alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

REPORTS: Final = Path(__file__).parents[1] / "reports"


def read(folder: Path = REPORTS) -> dict[str, Any]:
    """The report as it is; empty before the first."""
    file = folder / "probes.json"
    held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return held


def update(sections: Mapping[str, Any], folder: Path = REPORTS) -> dict[str, Any]:
    """Replace some keys of the report and write it; the whole report is returned."""
    report = dict(sorted({**read(folder), **sections}.items()))
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "probes.json").write_text(text + "\n", encoding="utf-8")
    return report
