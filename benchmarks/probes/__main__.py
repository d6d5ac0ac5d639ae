"""Probes, measured and reported: `make bench-probes`, or `python -m benchmarks.probes`.

    python -m benchmarks.probes [--quick] [--only SECTION …] [--model MODEL …] [--out FOLDER]

Writes probes.json (its own keys: models, peers, planted, budget, ingest, ingest_ratio, versions), probes.md
and pictures to benchmarks/reports. UCI Adult is read from MONITOR_TEST_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from benchmarks.probes import against, live, peers, planted, worlds
from benchmarks.probes.page import page, pictures
from benchmarks.probes.report import REPORTS, read, update

SECTIONS = ("models", "peers", "planted", "budget", "ingest")
_PEER_MODELS = ("lightgbm", "mlp")
_CONSOLE = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sections and write the report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.probes", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="few requests, for a look: a minute or two")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION")
    parser.add_argument("--model", nargs="+", choices=worlds.MODELS, default=worlds.MODELS, metavar="MODEL")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the report")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    warnings.filterwarnings("ignore", message=".*sklearn.utils.parallel.delayed")  # a forest, each call
    held = {} if set(options.model) == set(worlds.MODELS) else read(options.out).get("models", {})
    measure = {
        "models": lambda: {"models": {**held, **_models(options.quick, options.model)}},
        "peers": lambda: {"peers": _peers(options.quick)},
        "planted": lambda: {"planted": _planted(options.quick)},
        "budget": lambda: {"budget": live.budget(15.0 if options.quick else 90.0)},
        "ingest": lambda: live.ingest(2 if options.quick else 12),
    }
    for name in options.only:
        began = perf_counter()
        report = update({**measure[name](), "versions": _versions()}, options.out)
        _CONSOLE.print(f"{name}: {perf_counter() - began:.0f} s")
    drawn = pictures(report)
    for name, picture in drawn.items():
        (options.out / f"probes_{name}.svg").write_text(picture, encoding="utf-8")
    (options.out / "probes.md").write_text(page(report, drawn), encoding="utf-8")
    _CONSOLE.print(f"wrote {options.out / 'probes.md'}")


def _models(quick: bool, names: Sequence[str]) -> dict[str, Any]:
    data = [world for world in (worlds.synthetic(), worlds.adult()) if world is not None]
    found = {}
    for name in names:
        rows = 20 if quick else 200
        parts = {}
        for world in data:
            parts[world.name] = against.measure(world, worlds.fit(name, world), rows, rows // 4)
            _CONSOLE.print(
                f"{name} {world.name}: {parts[world.name]['found']}/{parts[world.name]['possible']}"
            )
        found[name] = against.together(parts)
    return found


def _peers(quick: bool) -> dict[str, Any]:
    world = worlds.synthetic()
    return {name: peers.measure(world, worlds.fit(name, world), 10 if quick else 60) for name in _PEER_MODELS}


def _planted(quick: bool) -> dict[str, Any]:
    world = worlds.adult()
    if world is None:
        return {"skipped": "the data are not here: MONITOR_TEST_DATA"}
    return planted.measure(world, 200 if quick else 1_000)


def _versions() -> dict[str, str]:
    names = ("lightgbm", "xgboost", "scikit-learn", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


if __name__ == "__main__":
    main()
