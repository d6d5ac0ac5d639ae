"""Ours, its limits and its peers on one broker, side by side: CPU a record, medians of interleaved runs.

    python -m benchmarks.pipeline [--repeats 5] [--requests 200000] [--peers PYTHON]

`--peers` is the Python of an environment with faust-streaming, quixstreams, bytewax, river, redis and orjson:
they do not agree with us on versions. Without it the peers' last figures stay in the report.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.pipeline.report import REPORT, write
from benchmarks.pipeline.traffic import Traffic, make
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis

HERE = Path(__file__).parent / "contestants"
TIMEOUT_S = 300


@dataclass(frozen=True)
class Contestant:
    """A program and what it is given.

    Attributes:
        name: in the report.
        script: in `contestants`.
        topics: it reads.
        share: of the records, so that a slow one ends in time.
        more: arguments.
        peer: runs in the environment of the peers.
    """

    name: str
    script: str
    topics: tuple[str, ...] = ("predictions",)
    share: float = 1.0
    more: tuple[str, ...] = ()
    peer: bool = False


BOTH = ("predictions", "labels")
LATER = "labels-later"
CONTESTANTS = (
    Contestant("limit_confluent", "limit_confluent"),
    Contestant("limit_aiokafka", "limit_aiokafka"),
    Contestant("fetch_and_validation", "fetch_and_validation"),
    Contestant("ours", "ours"),
    Contestant("ours_with_labels", "ours", BOTH),
    Contestant("stock_faust_noop", "stock_faust", share=0.2, more=("noop",), peer=True),
    Contestant("stock_faust", "stock_faust", BOTH, share=0.1, peer=True),
    Contestant("quixstreams", "quix", BOTH, share=0.1, peer=True),
    Contestant("bytewax", "bytewax_flow", BOTH, share=0.1, peer=True),
)


def produce(bootstrap: str, traffic: Traffic, share: float = 1.0) -> None:
    """Fill both topics, one partition each."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in (*BOTH, LATER)]).values():
        future.result(30)
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 10_000_000}
    )
    for topic, values in zip(BOTH, (traffic.predictions, traffic.labels), strict=True):
        for value in values[: int(len(values) * share)]:
            producer.produce(topic, value, partition=0)
    producer.flush(120)


def run(
    contestant: Contestant, bootstrap: str, records: int, redis_url: str, python: str
) -> dict[str, float]:
    """One run: predictions a CPU second and a second."""
    count = records * len(contestant.topics)
    command = [python, str(HERE / f"{contestant.script}.py"), bootstrap, ",".join(contestant.topics)]
    tree = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": str(HERE) if contestant.peer else f"{tree}:{HERE}"}
    done = subprocess.run(
        [*command, str(count), redis_url, *contestant.more],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=env,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(
            f"{contestant.name} ended without a figure: {done.stdout[-300:]} {done.stderr[-2000:]}"
        )
    told = json.loads(lines[-1])
    # A label belongs to its prediction: the rate is of predictions, whatever else was read.
    predictions = told["records"] / len(contestant.topics)
    return {"per_cpu_s": predictions / told["cpu_s"], "per_s": predictions / told["wall_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default=None)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    chosen = [
        one for one in CONTESTANTS
        if (options.peers or not one.peer) and (not options.only or one.name in options.only)
    ]  # fmt: skip
    traffic = make(options.requests)
    found: dict[str, list[dict[str, float]]] = {one.name: [] for one in chosen}
    shares = sorted({one.share for one in chosen})
    for _ in range(options.repeats):
        for share in shares:
            with EmbeddedKafka() as kafka:
                produce(kafka.bootstrap_servers, traffic, share)
                for one in [one for one in chosen if one.share == share]:  # interleaved: the machine drifts
                    with EmbeddedRedis() as redis:
                        records = int(options.requests * share)
                        python = options.peers if one.peer else sys.executable
                        figures = run(one, kafka.bootstrap_servers, records, redis.url, python)
                    found[one.name].append(figures)
                    print(one.name, {name: round(value) for name, value in figures.items()}, flush=True)
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    write(medians, options.requests, options.repeats)
    print(REPORT.read_text())


if __name__ == "__main__":
    main()
