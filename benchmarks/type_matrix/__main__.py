"""The table of types: `make bench-types`, or `python -m benchmarks.type_matrix`.

    python -m benchmarks.type_matrix [--only LIBRARY …] [--out FOLDER]

Each library serves a model over HTTP in a process of its own, and the probe `type_conversion` asks it, one
row a call so that no row is read in the company of another. Writes the key `types` of probes.json, and
types.md, to benchmarks/reports; libraries that are not installed keep their last result.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from rich.console import Console

from benchmarks.probes.report import REPORTS, read, update
from benchmarks.type_matrix.models import MODELS
from benchmarks.type_matrix.page import page
from benchmarks.type_matrix.people import people
from monitor.core.probes import Conversation, FeatureSpace, ProbeResult, Subject
from monitor.core.probes.endpoint import Endpoint
from monitor.core.probes.type_conversion import TypeConversion
from monitor.core.schema.inference import infer
from monitor.edges.model import open_client

REQUESTS = 8
_CONSOLE = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.type_matrix", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="LIBRARY")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the report")
    options = parser.parse_args(arguments)
    for name in options.only:
        distribution = MODELS[name][0]
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            _CONSOLE.print(f"{name}: {distribution} is not installed")
            continue
        with serving(name) as port:
            found = {"version": version, **table(asyncio.run(ask(port)))}
        held = read(options.out).get("types", {})
        report = update({"types": {**held, name: found}}, options.out)
        (options.out / "types.md").write_text(page(report["types"]), encoding="utf-8")
        counts = ", ".join(f"{found[what]} {what}" for what in ("same", "refused", "different"))
        _CONSOLE.print(f"{name} {version}: {counts}")


@contextmanager
def serving(name: str) -> Iterator[int]:
    """The server of a library, and its port."""
    command = [sys.executable, "-m", "benchmarks.type_matrix.server", name]
    with (
        TemporaryFile("w+") as words,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                words.seek(0)
                raise SystemExit(f"{name}: the server did not start:\n{words.read()[-2_000:]}")
            yield int(line)
        finally:
            process.kill()


async def ask(port: int) -> list[ProbeResult]:
    """The probe on some requests that have values of every kind."""
    rows, _ = people()
    space = FeatureSpace.of(infer(rows))
    endpoint = Endpoint(f"http://127.0.0.1:{port}/predict", rows_max=1, timeout_s=30, failures_max=10_000)
    client = open_client(endpoint)
    try:
        answers = await client.ask(rows[:REQUESTS])
        subjects = [
            Subject(str(place), "m", "1", row, answer, 0.5, space=space)
            for place, (row, answer) in enumerate(zip(rows, answers, strict=False))
        ]
        talk = Conversation([(TypeConversion(), subject) for subject in subjects])
        while asked := talk.pending:
            talk.tell(await client.ask(asked))
    finally:
        await client.close()
    return talk.results


def table(results: Sequence[ProbeResult]) -> dict[str, Any]:
    """Feature → type → what came of it: different where any request was, else refused where any was."""
    cells: dict[str, dict[str, str]] = {}
    for result in results:
        for trial in result.trials:
            row = cells.setdefault(trial.feature, {})
            said = "different" if trial.different else "refused" if trial.error else "same"
            order = ("same", "refused", "different")
            row[trial.variant] = max(row.get(trial.variant, "same"), said, key=order.index)
    every = [said for row in cells.values() for said in row.values()]
    return {
        **{what: every.count(what) for what in ("same", "refused", "different")},
        "requests": len(results),
        "cells": cells,
    }


if __name__ == "__main__":
    main()
