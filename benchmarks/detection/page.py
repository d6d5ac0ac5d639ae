"""The report as a page: what was measured beside what is asked, then each part in its own table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.detection.pictures import bars, lines

LIMITS: Final = {"0.15 algorithm": 900, "0.20 algorithm": 300, "0.15 product": 5_000, "0.20 product": 800}
SECTIONS: Final = (
    "car_loans", "delay_rows", "false_alarms", "scale_shift", "gibberish", "peers", "stories"
)  # fmt: skip
Report = Mapping[str, Any]


def pictures(report: Report) -> dict[str, str]:
    """SVG by name."""
    drawn = {}
    if "delay_rows" in report:
        drawn["delay"] = bars("Slice rows until a failure is told (median)", report["delay_rows"])
    if "false_alarms" in report:
        alarms = report["false_alarms"]
        drawn["false_alarms"] = bars(
            "False alarms a stream and month while nothing is wrong",
            {"this monitor": alarms["observed"] / alarms["promised"], **alarms["peers_a_stream_and_month"]},
            limit=1.0,
        )
    if "log_evidence" in report.get("car_loans", {}):
        loans = report["car_loans"]
        drawn["car_loans"] = lines(
            "Car loans: log evidence after each window, alert at the dashed line",
            {name: loans["log_evidence"][name] for name in loans["alert_windows"]},
            limit=loans["log_threshold"],
            top=40.0,
        )
    return drawn


def page(report: Report, drawn: Iterable[str]) -> str:
    """Markdown."""
    parts = [
        "# Detection, measured",
        "Regenerate with `make bench-detection`. Everything is seeded. False alarms, delay and the demo have "
        f"one configuration, the product's defaults: `{report['configuration_sha256']}`.",
        _table(("figure", "value", "asked"), _summary(report)),
        *(f"![{name}](detection_{name}.svg)" for name in drawn),
    ]
    if "delay_details" in report:
        parts.append(_delay(report["delay_details"]))
    if "false_alarms" in report:
        parts.append(_false_alarms(report["false_alarms"]))
    if "peers" in report:
        parts.append(_streams(report["peers"]))
    if "stories" in report:
        parts.append(_stories(report["stories"]))
    return "\n\n".join(parts) + "\n"


def _summary(report: Report) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for name, value in report.get("delay_rows", {}).items():
        rows.append((f"delay, {name} (slice rows, median)", _number(value), f"≤ {LIMITS[name]:,}"))
    if alarms := report.get("false_alarms"):
        told = f"{alarms['observed']} (95 %: {alarms['interval'][0]} to {alarms['interval'][1]})"
        what = f"false alarms, {alarms['streams']} streams × {alarms['days']} days"
        rows.append((what, told, f"≤ {alarms['promised']:,.0f}"))
    if shift := report.get("scale_shift"):
        rows += [
            ("scale shifts found in 200 rows", f"{shift['found']:.1%}", "≥ 99 %"),
            ("named in 1,000 rows", f"{shift['named']:.1%}", "≥ 95 %"),
            (f"false in {shift['clean_windows']:,} clean windows", str(shift["false"]), "0"),
            ("in 30 % of 1,000 rows, factors of 3 and more", f"{shift['contaminated_found']:.1%}", "≥ 95 %"),
            ("the same, all factors", f"{shift['contaminated_found_all_factors']:.1%}", ""),
        ]
    if texts := report.get("gibberish"):
        for field, found in texts["delay_rows"].items():
            told = f"{found['within_300']:.1%} within 300 rows"
            rows.append((f"gibberish in 20 % of rows, {field}", told, "300 rows"))
        false = texts["false"]
        what = f"gibberish, false in {false['windows']:,} clean windows"
        rows.append((what, f"{false['rate']:.2%}", "≤ 0.2 %"))
    loans = report.get("car_loans", {})
    if "alert_windows" in loans:
        for name, windows in {**loans["alert_windows"], **loans["other_metrics"]}.items():
            told = f"windows {', '.join(map(str, windows))}" if windows else "never"
            rows.append((f"car loans, {name}", told, "5–9" if name in loans["alert_windows"] else ""))
        error = f"{loans['cbpe_auc_error_max']:.1e}"
        rows.append(("car loans, CBPE ROC AUC, greatest error", error, "≤ 2e-4"))
    for name, told in report.get("stories", {}).items():
        rows.append((f"alerts of {name}", str(told["roots"]), "1"))
    return rows


def _delay(details: Report) -> str:
    rows = [
        (name, _number(one["median"]), f"{_number(one['low'])} to {_number(one['high'])}",
         _number(one["p95"]), f"{one['missed']} of {one['streams']}")
        for name, one in details.items()
    ]  # fmt: skip
    return (
        "## Delay\n\nA slice of 5 % of traffic, 50 of its rows a bucket, error 0.10 before. *Algorithm*: "
        "equal rates as null, level 1e-4, evidence from the change on. *Product*: defaults, one false alarm "
        "a month over 100 streams, a reference of 20,000 rows, 30 quiet days in buckets of a minute before "
        "the change. Missed: not told within 20,000 slice rows, or an alert stood already.\n\n"
        + _table(("case", "median", "95 % of the median", "95 % quantile", "missed"), rows)
    )


def _false_alarms(alarms: Report) -> str:
    worlds = list(alarms["by_world"])
    rows = [
        (family, *(str(alarms["by_world"][world][family]) for world in worlds), what)
        for family, what in alarms["simulated"].items()
    ]
    each = alarms["streams"] // (len(worlds) * len(rows))
    others = [(name, f"{value:,.1f}") for name, value in alarms["peers_a_stream_and_month"].items()]
    return (
        f"## False alarms\n\n{each} streams of each kind in each world for {alarms['days']} days, one false "
        "alarm a month promised to each stream: "
        f"{each * alarms['days'] / 30:,.1f} a cell of the table.\n\n{alarms['worlds']}\n\n"
        + _table(("streams", *worlds, "what is simulated"), rows)
        + "\n\nAlarms a stream and month of other monitors on the same streams, mean over the worlds: the "
        "z-test reads the hours of labels; the others read the feature, windows of an hour against the "
        "reference or row by row. River's detectors read one stream of each world to its end, but KSWIN, at "
        f"0.3 ms a row, the first {alarms['rows_slow']:,} rows of it, scaled up.\n\n"
        + _table(("monitor", "alarms a stream and month"), others)
    )


def _streams(peers: Report) -> str:
    def rows(streams: Report) -> list[Sequence[str]]:
        return [
            (name, errors, who, _number(told["delay_median"]), f"{told['missed']} of {one['runs']}",
             str(told["early"]))
            for name, one in streams.items()
            for errors in (f"{one['error_before']:.3f} → {one['error_after']:.3f}",)
            for who, told in one["detectors"].items()
        ]  # fmt: skip

    head = ("stream", "error", "detector", "rows until told (median)", "missed", "alarms before the change")
    told = ", ".join(f"{name} {row:,}" for name, row in peers["published_check"].items())
    return (
        "## River's drifting streams\n\nA model that has stopped learning, and the rows until the change of "
        "its errors is told. Ours tolerates an odds ratio of 1.25 and promises one false alarm in a month of "
        "minutes; river's detectors are at their defaults.\n\n"
        + _table(head, rows(peers["synthetic"]))
        + "\n\nThe real sets that river brings along, with their features put in each other's place (Elec2 "
        "and Insects need a download and are not measured):\n\n"
        + _table(head, rows(peers["real"]))
        + f"\n\nRiver's published stream, change at row 1,000: {told}, as published."
    )


def _stories(stories: Report) -> str:
    rows = [
        (name, "; ".join(told["told"]), str(told["consequences"]), ", ".join(told["following"]))
        for name, told in stories.items()
    ]
    quiet = stories["overconfident scores, logits × 1/0.7"]["on_honest_scores"]
    return (
        "## One failure, one alert\n\n"
        + _table(("failure", "alert", "consequences linked to it", "which"), rows)
        + f"\n\nOn honest scores the guard of estimates opens {quiet} alerts."
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in body)
