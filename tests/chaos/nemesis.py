"""Random faults with a seed that replays them: `python -m tests.chaos.nemesis --seed 7 --runs 200`.

Each run has its own topics, store, workers and traffic. Run N of seed S is run 0 of seed S + N, so a bad
run is replayed alone. Faults strike while records flow; then the oracle reads the topics and judges. With a
journal, every run is a line of it, from which the report is written again: a campaign may be continued.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.edges.embedded import EmbeddedKafka
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.processes import ApacheBroker, apache_is_at_hand
from tests.chaos.report import REPORT, write
from tests.chaos.world import Broker, World

FAULTS_PER_RUN = 4
_SPREAD_S = 4.0


def run(
    broker: Broker, seed: int, requests: int, directory: Path, only: Fault | None = None
) -> dict[str, Any]:
    """One run; what the journal keeps of it.

    Args:
        broker: where its topics will be.
        seed: of faults and traffic.
        requests: per model.
        directory: for settings, logs and the store; empty.
        only: this fault instead of random ones.
    """
    rng = random.Random(seed)
    usable = [fault for fault in FAULTS if broker.apache is not None or not fault.apache]
    plan = [only] if only else [rng.choice(usable) for _ in range(FAULTS_PER_RUN)]
    struck: list[dict[str, Any]] = []
    entry: dict[str, Any] = {"seed": seed, "faults": struck, "error": None}
    name = f"{seed}-{time.time_ns()}"
    try:
        with World(broker, directory, name, rng, requests, seed) as world:
            share = len(world.feed) // (len(plan) + 1)
            world.feed.share(share // 2, 0).join()
            if not (only and only.name == "alerts_topic_missing") and rng.random() < 0.5:
                world.finish_topics()
            world.caught_up(world.ends())
            for fault in plan:
                feeding = world.feed.share(share, _SPREAD_S)
                done = fault.strike(world)
                over = time.monotonic()
                feeding.join()
                fed_s = time.monotonic() - over
                recovery_s = world.caught_up(world.ends()) + fed_s
                struck.append({"name": fault.name, "struck": done, "recovery_s": round(recovery_s, 2)})
            entry |= asdict(world.verdict())
    except Exception as error:  # noqa: BLE001 - a campaign goes on, and shows it
        entry["error"] = f"{type(error).__name__}: {error}"[:2_000]
        entry["planned"] = [fault.name for fault in plan]
    return entry


def is_clean(entry: dict[str, Any]) -> bool:
    """Whether a run ended, and nothing was lost, double or different."""
    wrong = ("lost", "double", "wrong_cells", "stubs_off", "letters_missing", "letters_two_bodies",
             "alerts_missing", "alerts_two_bodies")  # fmt: skip
    return entry["error"] is None and not any(entry[key] for key in wrong)


def open_broker(stack: ExitStack, directory: Path, *, apache: bool) -> Broker:
    """A broker for a campaign."""
    if not apache:
        return Broker(stack.enter_context(EmbeddedKafka()).bootstrap_servers)
    broker = ApacheBroker(directory / "kafka")
    broker.start()
    stack.callback(broker.end)
    return Broker(broker.bootstrap, broker)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=None, help="of the first run; random if left out")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=6_000, help="per model and run; some 4 records each")
    parser.add_argument("--fault", choices=[fault.name for fault in FAULTS], help="only this one")
    parser.add_argument("--broker", choices=["apache", "bundled"], default=None, help="apache where Java is")
    parser.add_argument("--journal", type=Path, default=None, help="continue a campaign; writes the report")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if args.seed is None else args.seed
    apache = apache_is_at_hand() if args.broker is None else args.broker == "apache"
    print(
        f"seed {seed}, {args.runs} runs on {'Apache Kafka' if apache else 'the bundled broker'}", flush=True
    )
    only = next((fault for fault in FAULTS if fault.name == args.fault), None)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bad = 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch, ExitStack() as stack:
        broker = open_broker(stack, Path(scratch), apache=apache)
        with Progress(*columns) as bar:
            task = bar.add_task("nemesis", total=args.runs)
            for number in range(args.runs):
                directory = Path(scratch) / f"run-{number}"
                directory.mkdir()
                entry = run(broker, seed + number, args.requests, directory, only)
                if args.journal is not None:
                    with args.journal.open("a") as journal:
                        journal.write(json.dumps(entry) + "\n")
                    write(args.journal, REPORT)
                if not is_clean(entry):
                    bad += 1
                    kept = Path(tempfile.mkdtemp(prefix=f"chaos-seed-{seed + number}-"))
                    shutil.copytree(directory, kept, dirs_exist_ok=True)
                    bar.console.print(f"seed {seed + number} FAILED, logs in {kept}: {entry}", markup=False)
                shutil.rmtree(directory, ignore_errors=True)
                bar.update(task, advance=1, description=f"nemesis, {bad} bad")
    print(f"{args.runs} runs, {bad} bad; replay one with --seed SEED --runs 1")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
