"""The journal of a campaign as `benchmarks/reports/chaos.json` and the table in docs/chaos.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "benchmarks/reports/chaos.json"
PAGE = ROOT / "docs/chaos.md"
_BEGIN, _END = "<!-- written by tests/chaos -->", "<!-- end -->"


def summary(entries: list[dict[str, Any]], kept: dict[str, Any]) -> dict[str, Any]:
    """The report; what other suites wrote into it (`fuzz`), and a comparison the journal has not, is kept.

    What a run lost stands at every fault of the run: nobody can tell which of them it was.
    """
    ours = [entry for entry in entries if "stock_faust" not in entry]
    ended = [entry for entry in ours if entry["error"] is None]
    rows = [
        strike | {key: entry[key] for key in ("lost", "double")}
        for entry in ended
        for strike in entry["faults"]
        if strike["struck"]
    ]
    sums = {
        key: sum(entry.get(key, 0) for entry in ended)  # a run may be older than what it would be asked
        for key in ("records", "unfed", "cells", "lost", "double", "wrong_cells", "stubs_off", "letters",
                    "letters_missing", "letters_two_bodies", "letters_of_other_bytes", "alerts",
                    "alerts_missing", "alerts_two_bodies")
    }  # fmt: skip
    return {
        "runs": len(ended),
        "runs_not_ended": len(ours) - len(ended),
        "runs_on_apache_kafka": sum(entry["broker"] == "apache" for entry in ended),
        **sums,
        "faults": _by_fault(rows, ("lost", "double")),
        "stock_faust": stock_summary(entries) or kept.get("stock_faust"),
        "fuzz": kept.get("fuzz", []),
    }


def stock_summary(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The same of stock Faust, one fault a run; None where it did not run."""
    theirs = [entry for entry in entries if "stock_faust" in entry]
    ended = [entry for entry in theirs if entry["error"] is None]
    if not ended:
        return None
    rows = [entry | {"name": entry["stock_faust"]} for entry in ended if entry["struck"]]
    counted = ("lost", "double", "unread")
    return {
        "runs": len(ended),
        "runs_not_ended": len(theirs) - len(ended),
        "runs_stuck": sum(not entry["ended"] for entry in ended),
        "records": sum(entry["records"] for entry in ended),
        **{key: sum(entry[key] for entry in ended) for key in counted},
        "faults": _by_fault(rows, counted),
    }


def _by_fault(rows: list[dict[str, Any]], counted: Sequence[str]) -> dict[str, Any]:
    faults: dict[str, Any] = {}
    for name in sorted({row["name"] for row in rows}):
        mine = [row for row in rows if row["name"] == name]
        times = sorted(row["recovery_s"] for row in mine)
        faults[name] = {
            "times": len(mine),
            **{key: sum(row[key] for row in mine) for key in counted},
            "recovery_s_p95": times[min(len(times) - 1, int(0.95 * len(times)))],
        }
    return faults


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    stock = report["stock_faust"]
    lines = [
        f"{report['runs']} runs that ended ({report['runs_on_apache_kafka']} of them on Apache Kafka), "
        f"{report['runs_not_ended']} that did not; {report['records']:,} records, "
        f"{report['cells']:,} cells compared, {report['wrong_cells']} of them wrong.",
        "",
    ]
    if stock:
        lines += [
            f"Stock Faust: {stock['runs']} runs of one fault that ended, "
            f"{stock['runs_not_ended']} that did not; {stock['records']:,} records, "
            f"{stock['lost']:,} lost, {stock['double']:,} counted twice; "
            f"{stock['runs_stuck']} runs stood still before the end, {stock['unread']:,} records unread.",
            "",
        ]
    lines += [
        "| Fault | Times | Lost | Double | Recovered within, 95% | Stock Faust: times | lost | double |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    none = {"times": 0, "lost": 0, "double": 0, "recovery_s_p95": None}
    theirs = stock["faults"] if stock else {}
    for name in sorted(report["faults"].keys() | theirs.keys()):
        row, other = report["faults"].get(name, none), theirs.get(name)
        within = "" if row["recovery_s_p95"] is None else f"{row['recovery_s_p95']:.1f} s"
        beside = f"{other['times']} | {other['lost']:,} | {other['double']:,}" if other else " | | "
        lines.append(f"| `{name}` | {row['times']} | {row['lost']} | {row['double']} | {within} | {beside} |")
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
