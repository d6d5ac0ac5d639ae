"""Fuzzing by turns: `python -m tests.fuzz --target decoder --minutes 60`; every target a minute if left out.

Each stretch is a process of its own. Its corpus grows in `--work` and is kept between campaigns; inputs that
broke something are kept in `tests/fuzz/findings/TARGET`, where `make test` replays them. `--keep` writes some
of the work corpus into `tests/fuzz/corpus`. With `--journal` minutes are added to the journal, and the report
is written from it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.fuzz.journal import add, write
from tests.fuzz.kept import CORPUS, FINDINGS, keep
from tests.fuzz.targets import NAMES, target_named

_STRETCH_S = 300
_SPARE_S = 600
_CORPUS_BYTES = 14_000
_CORPUS_FILES = 50
"""Of one target, so that all of them stay small."""


def stretch(target: str, seconds: int, work: Path) -> dict[str, Any]:
    """One target for so many seconds, begun again where the fuzzer had to stop it; a line of the journal."""
    grown = work / target
    for number, seed in enumerate(target_named(target).seeds):
        keep(grown, f"seed-{number}", seed)
    said = work / f"{target}.json"
    began_s = time.monotonic()
    entry: dict[str, Any] = {
        "target": target, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", "seconds": 0.0, "runs": 0,
        "found": [],
    }  # fmt: skip
    while (left_s := int(seconds - (time.monotonic() - began_s))) > 5 or not entry["runs"]:
        command = [
            sys.executable, "-m", "tests.fuzz.engine", "--target", target, "--seconds", str(max(left_s, 1)),
            "--work", str(grown), "--findings", str(FINDINGS / target), "--said", str(said),
            *(str(folder) for folder in (CORPUS / target, FINDINGS / target) if folder.is_dir()),
        ]  # fmt: skip
        with (work / f"{target}.log").open("wb") as log:
            fuzzer = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                code = fuzzer.wait(max(left_s, 0) + _SPARE_S)
            except subprocess.TimeoutExpired:
                fuzzer.kill()  # a hang near the end of its time
                fuzzer.wait()
                code = 0
        told = json.loads(said.read_text())
        entry["seconds"] += told["seconds"]
        entry["runs"] += told["runs"]
        entry["found"] += told["found"]
        stopped = [path for path in work.glob(f"{target}-*") if path.is_file()]
        for path in stopped:  # what the fuzzer itself ended: a hang, memory without end, a crash
            kind = path.name.removeprefix(f"{target}-").partition("-")[0]
            if keep(FINDINGS / target, f"{kind}-{path.name[-8:]}", path.read_bytes()):
                entry["found"].append(path.name)
            path.unlink()
        if code and not stopped:
            raise SystemExit(f"{target}: the fuzzer ended with {code}; see {work / target}.log")
    return entry


def keep_some(target: str, work: Path) -> int:
    """Write the corpus in the repository anew: inputs of all sizes, each of which reached something new.

    Returns:
        Bytes of it.
    """
    found = sorted((work / target).iterdir(), key=lambda path: (path.stat().st_size, path.name))
    chosen = found[:: max(1, len(found) // _CORPUS_FILES)]
    while sum(path.stat().st_size for path in chosen) > _CORPUS_BYTES:
        chosen.pop()
    shutil.rmtree(CORPUS / target, ignore_errors=True)
    for path in chosen:
        keep(CORPUS / target, path.name[:12], path.read_bytes())
    return sum(path.stat().st_size for path in chosen)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=NAMES, action="append", help="repeatable; all if left out")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each target")
    parser.add_argument("--work", type=Path, default=Path(".fuzz"), help="where corpora grow")
    parser.add_argument("--journal", action="store_true", help="add to the journal and write the report")
    parser.add_argument("--keep", action="store_true", help="only write the corpus in the repository anew")
    args = parser.parse_args()
    names: list[str] = args.target or list(NAMES)
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    if args.keep:
        for name in names:
            print(f"{name}: {keep_some(name, work):,} bytes", flush=True)
        return 0
    left_s = dict.fromkeys(names, max(int(args.minutes * 60), 10))
    found = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("fuzzing", total=sum(left_s.values()))
        while any(left_s.values()):
            for name in [name for name in names if left_s[name]]:
                seconds = min(left_s[name], _STRETCH_S)
                bar.update(task, description=f"{name}, {found} findings")
                entry = stretch(name, seconds, work)
                left_s[name] -= seconds
                found += len(entry["found"])
                bar.update(task, advance=seconds)
                bar.console.print(
                    f"{name}: {entry['runs']:,} inputs in {entry['seconds']:.0f} s, found: "
                    f"{', '.join(entry['found']) or 'nothing'}", markup=False, soft_wrap=True,
                )  # fmt: skip
                if args.journal:
                    add(entry)
                    write()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
