"""One report from the figures: data, a table, a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPORTS = Path(__file__).parents[1] / "reports"
REPORT = REPORTS / "bench.json"
PEERS = ("stock_faust_noop", "stock_faust", "bytewax", "quixstreams")
TITLES = {
    "limit_confluent": "confluent-kafka and orjson, nothing else",
    "limit_aiokafka": "aiokafka and orjson, nothing else",
    "fetch_and_validation": "aiokafka and our reader: fetch, decode, validate",
    "ours": "our worker, Kafka to Redis",
    "ours_with_labels": "our worker with a label for each prediction",
    "stock_faust_noop": "stock Faust doing nothing",
    "stock_faust": "stock Faust, the same job with labels",
    "bytewax": "Bytewax, the same job with labels",
    "quixstreams": "Quix Streams, the same job with labels",
}


def write(medians: Mapping[str, Mapping[str, float]], requests: int, repeats: int) -> None:
    """Write bench.json, bench.md and bench.svg; keys of other measurements in bench.json are kept."""
    known: dict[str, Any] = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    rates = {name: round(figures["per_cpu_s"]) for name, figures in medians.items()}
    limits = [rates[name] for name in ("limit_confluent", "limit_aiokafka") if name in rates]
    known |= {name: rates[name] for name in TITLES if name in rates and name not in PEERS}
    if limits:
        known["limit"] = max(limits)
    peers = {**known.get("peers", {}), **{name: rates[name] for name in PEERS if name in rates}}
    known["peers"] = peers
    walls = {name: round(figures["per_s"]) for name, figures in medians.items()}
    known["per_wall_s"] = {**known.get("per_wall_s", {}), **walls}
    known["measured"] = {"unit": "predictions per CPU second", "requests": requests, "repeats": repeats}
    REPORT.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    every = {**{name: known[name] for name in TITLES if name in known}, **peers}
    lines = [
        "# The pipeline's price",
        "",
        "Predictions per CPU second, medians of interleaved runs on one broker.",
        "",
    ]
    lines += ["| | predictions a CPU second | µs each |", "|---|---:|---:|"]
    lines += [f"| {TITLES[name]} | {rate:,} | {1e6 / rate:.1f} |" for name, rate in every.items()]
    lines += ["", "![Predictions a CPU second](bench.svg)", ""]
    (REPORTS / "bench.md").write_text("\n".join(lines))
    (REPORTS / "bench.svg").write_text(_bars(every))


def _bars(rates: Mapping[str, int]) -> str:
    """Horizontal bars, to scale."""
    row, left, width = 26, 330, 380
    most = max(rates.values(), default=1)
    bars = [
        f'<text x="{left - 8}" y="{at * row + 21}" text-anchor="end">{TITLES[name]}</text>'
        f'<rect x="{left}" y="{at * row + 8}" width="{max(1.0, width * rate / most):.1f}" height="18" '
        f'fill="{"#2a6f97" if name.startswith("ours") else "#a9b4bd"}"/>'
        f'<text x="{left + width * rate / most + 6:.1f}" y="{at * row + 21}">{rate:,}</text>'
        for at, (name, rate) in enumerate(rates.items())
    ]
    size = f'width="{left + width + 90}" height="{len(rates) * row + 16}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'font-family="sans-serif" font-size="13">{"".join(bars)}</svg>\n'
    )
