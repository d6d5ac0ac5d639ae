"""The journal of fuzzing as `fuzz` in `benchmarks/reports/chaos.json` and the table in docs/chaos.md.

A line of the journal is one stretch of one target: `{"target", "at", "seconds", "runs", "found"}`, seconds of
CPU. A later campaign adds lines; what is reported is the sum of all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.kept import FINDINGS, ROOT
from tests.fuzz.targets import NAMES

JOURNAL = ROOT / "journal.jsonl"
REPORT = ROOT.parents[1] / "benchmarks/reports/chaos.json"
PAGE = ROOT.parents[1] / "docs/chaos.md"
_BEGIN, _END = "<!-- written by tests/fuzz -->", "<!-- end of fuzzing -->"


def add(entry: dict[str, Any], journal: Path = JOURNAL) -> None:
    """One more stretch."""
    with journal.open("a") as lines:
        lines.write(json.dumps(entry) + "\n")


def summary(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Target, minutes, inputs tried, and findings: inputs that broke something and are kept, each once.

    >>> summary([{"target": "decoder", "seconds": 90, "runs": 5}])[0]["minutes"]
    1.5
    """
    found = []
    for name in NAMES:
        mine = [entry for entry in entries if entry["target"] == name]
        kept = FINDINGS / name
        found.append(
            {
                "target": name,
                "minutes": round(sum(entry["seconds"] for entry in mine) / 60, 1),
                "inputs": sum(entry["runs"] for entry in mine),
                "findings": len(list(kept.iterdir())) if kept.is_dir() else 0,
            }
        )
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The summary for people."""
    lines = ["| Target | Minutes | Inputs | Findings, all fixed |", "|---|---:|---:|---:|"]
    lines += [
        f"| `{row['target']}` | {row['minutes']:.0f} | {row['inputs']:,} | {row['findings']} |"
        for row in rows
    ]
    return "\n".join(lines)


def write() -> None:
    """Write report and table anew from the whole journal; what others wrote into the report stays."""
    rows = summary([json.loads(line) for line in JOURNAL.read_text().splitlines()])
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    REPORT.write_text(json.dumps(report | {"fuzz": rows}, indent=2) + "\n")
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n{table(rows)}\n{_END}{after}")
