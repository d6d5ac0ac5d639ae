"""Detection, measured and reported: `make bench-detection`, or `python -m benchmarks.detection [--quick]`.

Writes benchmarks/reports/detection.json, detection.md and its pictures. Seeded: the same command gives the
same figures. The car loans are read from MONITOR_TEST_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from benchmarks.detection import (
    car_loans,
    configuration,
    delay,
    false_alarms,
    gibberish,
    river_streams,
    scale,
)
from benchmarks.detection.cbpe import car_loans_cbpe
from benchmarks.detection.pictures import bars, lines

REPORTS = Path(__file__).parents[1] / "reports"
DATA = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
LIMITS = {"0.15 algorithm": 900, "0.20 algorithm": 300, "0.15 product": 5_000, "0.20 product": 800}


def main() -> None:
    """Measure every section and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller samples, for a look")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the report")
    options = parser.parse_args()
    quick: bool = options.quick
    sections: dict[str, Callable[[], Any]] = {
        "car_loans": _car_loans,
        "delay_rows": lambda: delay.run(quick),
        "false_alarms": lambda: false_alarms.run(quick),
        "scale_shift": lambda: scale.run(quick),
        "gibberish": lambda: gibberish.measure(0.1 if quick else 1.0),
        "peers": lambda: river_streams.run(quick),
    }
    console = Console(stderr=True)
    report: dict[str, Any] = {}
    for name, section in sections.items():
        began = perf_counter()
        console.print(f"{name} …")
        report[name] = section()
        console.print(f"{name}: {perf_counter() - began:.0f} s")
    report["peers"]["false_alarms_a_stream_and_month"] = report["false_alarms"]["peers_a_stream_and_month"]
    report["configuration_sha256"] = configuration.sha256()
    report["configuration"] = configuration.described()
    write(report, options.out)
    console.print(f"configuration {report['configuration_sha256']}\nwrote {options.out / 'detection.md'}")


def _car_loans() -> dict[str, Any]:
    if not DATA.is_dir():
        return {"skipped": "the data are not here: MONITOR_TEST_DATA"}
    estimated = car_loans_cbpe(DATA)
    found = car_loans.car_loans_alert_windows(DATA)
    return found | {
        "cbpe_auc_error_max": estimated["error_max"]["estimated_roc_auc"],
        "cbpe_error_max": estimated["error_max"],
    }


def write(report: dict[str, Any], folder: Path) -> None:
    """JSON, page and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "detection.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    pictures = {
        "delay": bars("Slice rows until a failure is told (median)", report["delay_rows"]),
        "false_alarms": bars(
            "False alarms a stream and month while nothing is wrong",
            {
                "this monitor": report["false_alarms"]["observed"] / report["false_alarms"]["promised"],
                **report["false_alarms"]["peers_a_stream_and_month"],
            },
            limit=1.0,
        ),
    }
    loans = report["car_loans"]
    if "log_evidence" in loans:
        pictures["car_loans"] = lines(
            "Car loans: log evidence after each window, alert at the dashed line",
            {name: loans["log_evidence"][name] for name in loans["alert_windows"]},
            limit=loans["log_threshold"],
            top=40.0,
        )
    for name, picture in pictures.items():
        (folder / f"detection_{name}.svg").write_text(picture, encoding="utf-8")
    (folder / "detection.md").write_text(page(report, list(pictures)), encoding="utf-8")


def page(report: dict[str, Any], pictures: list[str]) -> str:
    """The report as Markdown."""
    alarms, shift, loans = report["false_alarms"], report["scale_shift"], report["car_loans"]
    rows = [
        *(
            (f"delay, {name} (slice rows, median)", f"{value:,.0f}", f"≤ {LIMITS[name]:,}")
            for name, value in report["delay_rows"].items()
        ),
        (
            f"false alarms, {alarms['streams']} streams × {alarms['days']} days",
            f"{alarms['observed']} (95 %: {alarms['interval'][0]} to {alarms['interval'][1]})",
            f"≤ {alarms['promised']:,.0f}",
        ),
        ("scale shifts found in 200 rows", f"{shift['found']:.1%}", "≥ 99 %"),
        ("named in 1,000 rows", f"{shift['named']:.1%}", "≥ 95 %"),
        (f"false in {shift['clean_windows']:,} clean windows", str(shift["false"]), "0"),
        (
            "30 % of the rows, 1,000 rows, factors of 3 and more",
            f"{shift['contaminated_found']:.1%}",
            "≥ 95 %",
        ),
        ("the same, all factors", f"{shift['contaminated_found_all_factors']:.1%}", ""),
    ]
    for field, found in report["gibberish"]["delay_rows"].items():
        rows.append((f"gibberish in 20 % of rows, {field}", f"{found['within_300']:.1%} within 300 rows", ""))
    false = report["gibberish"]["false"]
    rows.append((f"gibberish, false in {false['windows']:,} clean windows", f"{false['rate']:.2%}", "0.2 %"))
    if "alert_windows" in loans:
        for name, windows in {**loans["alert_windows"], **loans["other_metrics"]}.items():
            told = f"windows {', '.join(map(str, windows))}" if windows else "never"
            rows.append((f"car loans, {name}", told, "5–9" if name in loans["alert_windows"] else ""))
        rows.append(("car loans, CBPE ROC AUC, greatest error", f"{loans['cbpe_auc_error_max']:.1e}", "2e-4"))
    lines_of = [
        "# Detection, measured",
        "",
        "Regenerate with `make bench-detection`. Everything is seeded.",
        f"Configuration `{report['configuration_sha256']}`.",
        "",
        "| figure | value | limit |",
        "| --- | --- | --- |",
        *(f"| {name} | {value} | {limit} |" for name, value, limit in rows),
        "",
        *(f"![{name}](detection_{name}.svg)\n" for name in pictures),
        "## River's drifting streams",
        "",
        "Rows until the change is told (median), changes missed, alarms before the change, over all runs.",
        "",
        "| stream | detector | delay | missed | early | runs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for stream, detectors in report["peers"]["synthetic"].items():
        for name, found in detectors.items():
            shown = "–" if found["delay_median"] is None else f"{found['delay_median']:,.0f}"
            lines_of.append(
                f"| {stream} | {name} | {shown} | {found['missed']} | {found['early']} | {found['runs']} |"
            )
    return "\n".join(lines_of) + "\n"


if __name__ == "__main__":
    main()
