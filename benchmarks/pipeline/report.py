"""One report from the figures: data, a table, a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    """Write the report; keys of other measurements in bench.json are kept."""
    held = known()
    rates = {name: round(figures["per_cpu_s"]) for name, figures in medians.items()}
    limits = [rates[name] for name in ("limit_confluent", "limit_aiokafka") if name in rates]
    held |= {name: rates[name] for name in TITLES if name in rates and name not in PEERS}
    if limits:
        held["limit"] = max(limits)
    peers = {**held.get("peers", {}), **{name: rates[name] for name in PEERS if name in rates}}
    held["peers"] = peers
    walls = {name: round(figures["per_s"]) for name, figures in medians.items()}
    held["per_wall_s"] = {**held.get("per_wall_s", {}), **walls}
    held["measured"] = {"unit": "predictions per CPU second", "requests": requests, "repeats": repeats}
    REPORT.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")
    page()


def known() -> dict[str, Any]:
    """What bench.json holds."""
    held: dict[str, Any] = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    return held


def merge(key: str, figures: Any) -> None:
    """Put one measurement of its own into bench.json."""
    REPORT.write_text(json.dumps({**known(), key: figures}, indent=1, sort_keys=True) + "\n")


def page() -> None:
    """Write bench.md and bench.svg from bench.json."""
    held = known()
    every = {**{name: held[name] for name in TITLES if name in held}, **held.get("peers", {})}
    rows = [[TITLES[name], f"{rate:,}", f"{1e6 / rate:.1f}"] for name, rate in every.items()]
    parts = [
        "# The pipeline's price",
        "Predictions per CPU second, medians of interleaved runs on one broker.",
        _table(["", "predictions a CPU second", "µs each"], rows),
        "![Predictions a CPU second](bench.svg)",
    ]
    if stages := held.get("stages"):
        rows = [[name, f"{rate:,}", f"{1e6 / rate:.2f}"] for name, rate in stages.items()]
        parts += [
            "## Stages",
            "Each alone, on chunks of 5,000 rows (pytest-benchmark).",
            _table(["stage", "rows a second", "µs each"], rows),
        ]
    if grid := held.get("grid"):
        rows = [
            [
                name,
                f"{row['per_cpu_s']:,}",
                f"{1e6 / row['per_cpu_s']:.1f}",
                f"{row['store_us']:.1f}",
                f"{row['cells']:.1f}",
            ]
            for name, row in grid.items()
        ]
        head = ["", "predictions a CPU second", "worker, µs each", "store, µs each", "cells touched, each"]
        parts += [
            "## As the work grows",
            "Chunks from memory into a bundled store; one thing changed at a time.",
            _table(head, rows),
        ]
    if scale := held.get("scale"):
        rows = [
            [name, f"{row['per_s']:,.0f}", row["worker_us"], row["store_us"]] for name, row in scale.items()
        ]
        parts += [
            "## Processes and shards",
            "A backlog on four partitions; broker, store and workers share the machine's cores.",
            _table(["", "predictions a second", "workers, µs each", "store, µs each"], rows),
        ]
    if latency := held.get("latency_ms"):
        rows = [
            [
                share,
                f"{row['records_per_s']:,}",
                *_quantiles(row["event_to_counter"]),
                *_quantiles(row["event_to_alert"]),
            ]
            for share, row in latency.items()
        ]
        head = [
            "of capacity",
            "records a second",
            "to counter, p50",
            "p95",
            "p99",
            "to alert, p50",
            "p95",
            "p99",
        ]
        parts += ["## Latency", "Milliseconds.", _table(head, rows)]
    if memory := held.get("memory"):
        parts += ["## Memory", *_memory(memory)]
    if reader := held.get("reader_ms"):
        parts += ["## Reading", _table(["", "ms"], [[name, value] for name, value in reader.items()])]
    (REPORTS / "bench.md").write_text("\n\n".join(parts) + "\n")
    (REPORTS / "bench.svg").write_text(_bars(every))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """In Markdown; all but the first column to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _quantiles(of: Mapping[str, float]) -> list[str]:
    return [f"{of[name]:,.0f}" if name in of else "" for name in ("p50", "p95", "p99")]


def _memory(held: Mapping[str, Any]) -> list[str]:
    found = []
    if "bytes_per_pending_prediction" in held:
        found.append(
            f"A prediction that waits for its label takes {held['bytes_per_pending_prediction']} bytes "
            f"in the store, a labelled one {held['bytes_per_labelled_prediction']}."
        )
        buckets = [[name, f"{size:,}"] for name, size in held["bytes_per_slice_bucket"].items()]
        found.append(_table(["bucket of a slice", "bytes"], buckets))
    if soak := held.get("soak"):
        (rss, rss_end), (store, store_end) = soak["worker_mb"], soak["store_mb"]
        found.append(
            f"Soak: {soak['minutes']:.0f} minutes at full speed, {soak['predictions']:,} predictions "
            f"with labels: the worker {rss:.0f} MB after the warm-up and {rss_end:.0f} MB at the end "
            f"({100 * soak['worker_growth']:+.1f} %), the store {store:.0f} and {store_end:.0f} MB."
        )
    return found


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
