"""Detection, measured and reported: `make bench-detection`, or `python -m benchmarks.detection`.

    python -m benchmarks.detection [--quick] [--only SECTION …] [--out FOLDER]

Writes detection.json, detection.md and its pictures to benchmarks/reports. Seeded: the same command gives the
same figures. The car loans are read from MONITOR_TEST_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
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
    stories,
)
from benchmarks.detection.cbpe import car_loans_cbpe
from benchmarks.detection.page import SECTIONS, page, pictures

REPORTS = Path(__file__).parents[1] / "reports"
DATA = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sections and write the report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="small samples, for a look: a few minutes")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION",
        help=f"measure these anew, keep the rest of the report: {', '.join(SECTIONS)}",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the report")
    options = parser.parse_args(arguments)
    report = kept(options.out, set(SECTIONS) - set(options.only))
    console = Console(stderr=True)
    for name in SECTIONS:
        if name in options.only:
            began = perf_counter()
            console.print(f"{name} …")
            report |= measured(name, quick=options.quick)
            console.print(f"{name}: {perf_counter() - began:.0f} s")
    write(report, options.out)
    console.print(f"configuration {configuration.sha256()}\nwrote {options.out / 'detection.md'}")


def kept(folder: Path, sections: set[str]) -> dict[str, Any]:
    """Sections of the report in `folder` that are not measured anew; their configuration must be this one."""
    file = folder / "detection.json"
    if not sections or not file.exists():
        return {}
    held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if held.get("configuration_sha256") != configuration.sha256():
        sys.exit(f"{file} is of another configuration: measure all sections, or give another --out")
    details = {"delay_details"} if "delay_rows" in sections else set()
    return {name: held[name] for name in sections | details if name in held}


def measured(name: str, *, quick: bool) -> dict[str, Any]:
    """One section."""
    if name == "delay_rows":
        details = delay.run(quick)
        return {name: {case: one["median"] for case, one in details.items()}, "delay_details": details}
    sections: dict[str, Callable[[], Any]] = {
        "car_loans": _car_loans,
        "false_alarms": lambda: false_alarms.run(quick),
        "scale_shift": lambda: scale.run(quick),
        "gibberish": lambda: gibberish.measure(0.1 if quick else 1.0),
        "peers": lambda: river_streams.run(quick),
        "stories": stories.run,
    }
    return {name: sections[name]()}


def _car_loans() -> dict[str, Any]:
    if not DATA.is_dir():
        return {"skipped": "the data are not here: MONITOR_TEST_DATA"}
    estimated = car_loans_cbpe(DATA)
    found = car_loans.car_loans_alert_windows(DATA)
    return found | {
        "cbpe_auc_error_max": estimated["error_max"]["estimated_roc_auc"],
        "cbpe_error_max": estimated["error_max"],
    }


def write(measured: dict[str, Any], folder: Path) -> None:
    """JSON, page and pictures."""
    order = (*SECTIONS[:2], "delay_details", *SECTIONS[2:])
    report = {name: measured[name] for name in order if name in measured}
    if "peers" in report and "false_alarms" in report:
        others = report["false_alarms"]["peers_a_stream_and_month"]
        report["peers"] |= {"false_alarms_a_stream_and_month": others}
    report |= {
        "configuration_sha256": configuration.sha256(),
        "configuration": configuration.described(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "detection.json").write_text(text + "\n", encoding="utf-8")
    drawn = pictures(report)
    for name, picture in drawn.items():
        (folder / f"detection_{name}.svg").write_text(picture, encoding="utf-8")
    (folder / "detection.md").write_text(page(report, drawn), encoding="utf-8")


if __name__ == "__main__":
    main()
