"""The journal of a campaign as `benchmarks/reports/chaos.json` and the table in docs/chaos.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "benchmarks/reports/chaos.json"
PAGE = ROOT / "docs/chaos.md"
_BEGIN, _END = "<!-- written by tests/chaos -->", "<!-- end -->"


def summary(entries: list[dict[str, Any]], kept: dict[str, Any]) -> dict[str, Any]:
    """The report; what other suites wrote into it (`stock_faust`, `fuzz`) is kept.

    What a run lost stands at every fault of the run: nobody can tell which of them it was.
    """
    ended = [entry for entry in entries if entry["error"] is None]
    faults: dict[str, Any] = {}
    for entry in ended:
        for strike in entry["faults"]:
            if not strike["struck"]:
                continue
            row = faults.setdefault(strike["name"], {"times": 0, "lost": 0, "double": 0, "recovery_s": []})
            row["times"] += 1
            row["lost"] += entry["lost"]
            row["double"] += entry["double"]
            row["recovery_s"].append(strike["recovery_s"])
    for row in faults.values():
        times = sorted(row.pop("recovery_s"))
        row["recovery_s_p95"] = times[min(len(times) - 1, int(0.95 * len(times)))]
    sums = {
        key: sum(entry[key] for entry in ended)
        for key in ("records", "cells", "lost", "double", "wrong_cells", "stubs_off", "letters",
                    "letters_missing", "letters_two_bodies", "alerts", "alerts_missing", "alerts_two_bodies")
    }  # fmt: skip
    return {
        "runs": len(ended),
        "runs_not_ended": len(entries) - len(ended),
        **sums,
        "faults": dict(sorted(faults.items())),
        "stock_faust": kept.get("stock_faust"),
        "fuzz": kept.get("fuzz", []),
    }


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['runs']} runs that ended, {report['runs_not_ended']} that did not, "
        f"{report['records']:,} records, {report['cells']:,} cells compared.",
        "",
        "| Fault | Times | Lost | Double | Recovered within, 95% |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| `{name}` | {row['times']} | {row['lost']} | {row['double']} | {row['recovery_s_p95']:.1f} s |"
        for name, row in report["faults"].items()
    ]
    return "\n".join(lines)


def write(journal: Path, report_file: Path) -> None:
    """Write report and table anew from the whole journal."""
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    kept = json.loads(report_file.read_text()) if report_file.exists() else {}
    report = summary(entries, kept)
    report_file.write_text(json.dumps(report, indent=2) + "\n")
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n{table(report)}\n{_END}{after}")
