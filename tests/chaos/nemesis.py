"""Random faults with a seed that replays them: `python -m tests.chaos.nemesis --seed 7 --runs 200`.

Each run has its own topics, store, workers and traffic. Run N of seed S is run 0 of seed S + N, so a bad
run is replayed alone. Faults strike while records flow; then the oracle reads the topics and judges. With a
journal, every run is a line of it, from which the report is written again: a campaign may be continued.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.edges.embedded import EmbeddedKafka
from tests.chaos.faults import FAULTS, NO_FAULT, Fault
from tests.chaos.processes import ApacheBroker, apache_is_at_hand
from tests.chaos.report import REPORT, write
from tests.chaos.stock import run_stock
from tests.chaos.traffic import SPREAD_S
from tests.chaos.world import Broker, World

FAULTS_PER_RUN = 4
AT_ONCE = 2
"""Faults that strike together, each with its share of the records."""

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


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
    usable = usable_faults(apache=broker.apache is not None)
    plan = [only] if only else [rng.choice(usable) for _ in range(FAULTS_PER_RUN)]
    struck: list[dict[str, Any]] = []
    kind = "bundled" if broker.apache is None else "apache"
    entry: dict[str, Any] = {"seed": seed, "broker": kind, "faults": struck, "error": None}
    name = f"{seed}-{time.time_ns()}"
    try:
        with World(broker, directory, name, requests, seed) as world, ThreadPoolExecutor(AT_ONCE) as hands:
            share = len(world.feed) // (len(plan) + 1)
            world.feed.share(share // 2, 0).join()
            if not (only and only.name == "alerts_topic_missing") and rng.random() < 0.5:
                world.finish_topics()
            world.caught_up(world.feed.ends)
            for first in range(0, len(plan), AT_ONCE):
                together = plan[first : first + AT_ONCE]
                feeding = world.feed.share(share * len(together), SPREAD_S)
                strikes = [
                    hands.submit(fault.strike, world, random.Random(f"{seed}-{first + n}"))
                    for n, fault in enumerate(together)
                ]
                done = [strike.result() for strike in strikes]
                over = time.monotonic()
                feeding.join()
                world.caught_up(world.feed.ends)
                recovery_s = round(time.monotonic() - over, 2)
                struck += [
                    {"name": fault.name, "struck": struck_it, "recovery_s": recovery_s}
                    for fault, struck_it in zip(together, done, strict=True)
                ]
            entry |= asdict(world.verdict())
    except Exception as error:  # noqa: BLE001 - a campaign goes on, and shows it
        entry["error"] = f"{type(error).__name__}: {error}"[:2_000]
        entry["planned"] = [fault.name for fault in plan]
    return entry


def usable_faults(*, apache: bool) -> list[Fault]:
    """Those that the broker can take."""
    return [fault for fault in FAULTS if apache or not fault.apache]


def is_clean(entry: dict[str, Any]) -> bool:
    """Whether a run ended, and nothing was lost, double or different; stock Faust may lose what it will."""
    wrong = ("unfed", "lost", "double", "wrong_cells", "stubs_off", "letters_missing", "letters_two_bodies",
             "letters_of_other_bytes", "alerts_missing", "alerts_two_bodies")  # fmt: skip
    return entry["error"] is None and ("stock_faust" in entry or not any(entry[key] for key in wrong))


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
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run later than this")
    parser.add_argument("--requests", type=int, default=6_000, help="per model and run; some 4 records each")
    parser.add_argument("--fault", choices=[fault.name for fault in FAULTS], help="only this one")
    parser.add_argument("--broker", choices=["apache", "bundled"], default=None, help="apache where Java is")
    parser.add_argument(
        "--stock-faust", action="store_true", help="stock Faust instead; run N strikes fault N, one a run"
    )
    parser.add_argument("--side-by-side", type=int, default=1, help="runs at a time, a broker for each")
    parser.add_argument("--journal", type=Path, default=None, help="continue a campaign; writes the report")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if args.seed is None else args.seed
    apache = apache_is_at_hand() if args.broker is None else args.broker == "apache"
    print(
        f"seed {seed}, {args.runs} runs on {'Apache Kafka' if apache else 'the bundled broker'}", flush=True
    )
    only = next((fault for fault in FAULTS if fault.name == args.fault), None)
    compared = [NO_FAULT, *(fault for fault in usable_faults(apache=apache) if not fault.ours)]
    began = time.monotonic()
    runs = bad = 0
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as scratch,
        ExitStack() as stack,
        ThreadPoolExecutor(args.side_by_side) as sides,
        Progress(*_COLUMNS) as bar,
    ):
        brokers: SimpleQueue[Broker] = SimpleQueue()
        for side in range(args.side_by_side):
            brokers.put(open_broker(stack, Path(scratch) / f"side-{side}", apache=apache))

        def one(seed: int) -> dict[str, Any] | None:
            if time.monotonic() > began + 60 * args.minutes:
                return None
            directory = Path(scratch) / f"run-{seed}"
            directory.mkdir()
            broker = brokers.get()
            try:
                if args.stock_faust:
                    fault = only or compared[seed % len(compared)]
                    entry = run_stock(broker, seed, args.requests, directory, fault)
                else:
                    entry = run(broker, seed, args.requests, directory, only)
            finally:
                brokers.put(broker)
            if not is_clean(entry):
                kept = Path(tempfile.mkdtemp(prefix=f"chaos-seed-{seed}-"))
                shutil.copytree(directory, kept, dirs_exist_ok=True)
                bar.console.print(f"seed {seed} FAILED, logs in {kept}: {entry}", markup=False)
            shutil.rmtree(directory, ignore_errors=True)
            return entry

        task = bar.add_task("nemesis", total=args.runs)
        for done in as_completed([sides.submit(one, seed + number) for number in range(args.runs)]):
            entry = done.result()
            if entry is None:
                continue
            runs += 1
            bad += not is_clean(entry)
            if args.journal is not None:
                with args.journal.open("a") as journal:
                    journal.write(json.dumps(entry) + "\n")
                write(args.journal, REPORT)
            bar.update(task, advance=1, description=f"nemesis, {bad} bad")
    print(f"{runs} runs, {bad} bad; replay one with --seed SEED --runs 1")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
