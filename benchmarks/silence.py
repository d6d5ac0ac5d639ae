"""Silence means health: no page on an hour of healthy traffic, nor on UCI Adult with an ordinary model.

The hour is the demo's own traffic without faults and the demo's own settings, 1,000 requests a second of
event time with their labels, sent as fast as the worker reads. Adult is the second half of the data, scored
by a model trained on the first, at 10 and at 1,000 requests a second of event time. Standing gaps are
notices and are counted as such.

    python -m benchmarks.silence [--seconds 3600]        # Adult needs MONITOR_TEST_DATA
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from monitor.core.errors import StoreUnavailable
from monitor.core.records import Severity
from monitor.demo.faults import Timeline
from monitor.demo.model import CreditModel
from monitor.demo.setup import REFERENCE_ROWS, settings_document, write_files
from monitor.demo.traffic import LABELS, PREDICTIONS, Traffic, reference
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis
from monitor.edges.kafka.alert_stream import AlertStream
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, TopicSpec, end_offsets, ensure_topics, partitions
from monitor.edges.redis.reader import RedisReader

REPORT = Path(__file__).parent / "reports" / "silence.json"
DATA = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
AGES = {"feature": "age", "bins": [25, 40, 65]}
BEHIND_MAX = 200_000
SETTLE_S = 20.0
NO_MODEL = "http://127.0.0.1:9"
"""Nobody asks a model here."""

Feed = Callable[[TopicProducer, Callable[[], None]], None]
Result = dict[str, Any]


def watched(write: Callable[[Path, str, str], Path], feed: Feed) -> Result:
    """Run a worker over what `feed` produces; what it said."""
    with tempfile.TemporaryDirectory() as scratch, EmbeddedKafka() as broker, EmbeddedRedis() as store:
        bootstrap = broker.bootstrap_servers
        link = KafkaConnection(bootstrap)
        topics = [PREDICTIONS, LABELS]
        ensure_topics(link, [TopicSpec(name, 4) for name in topics])
        ensure_topics(link, [TopicSpec(name, 1) for name in ("model-alerts", "monitor-dead-letters")])
        config = write(Path(scratch), bootstrap, store.url)
        command = [sys.executable, "-m", "monitor", "run", "-c", str(config), "--log-level", "warning"]
        worker = subprocess.Popen(command)
        reader = RedisReader(store.url, 1)
        places = partitions(link, topics)

        def behind() -> int:
            try:
                states = reader.partitions()
            except StoreUnavailable:
                return BEHIND_MAX + 1  # busy: asked again
            ends = end_offsets(link, places)
            return sum(end - (states[place].offset if place in states else 0) for place, end in ends.items())

        def keep_pace() -> None:
            while behind() > BEHIND_MAX:
                time.sleep(0.2)

        began = time.monotonic()
        try:
            with TopicProducer(link) as producer:
                feed(producer, keep_pace)
                producer.flush()
            while behind() > 0:
                time.sleep(0.5)
            time.sleep(SETTLE_S)
            with AlertStream(bootstrap, "model-alerts", from_beginning=True, timeout_s=3) as stream:
                alerts = list(stream)
        finally:
            worker.terminate()
            worker.wait(timeout=30)
            reader.close()
    opened = {alert.alert_id: alert for alert in reversed(alerts)}.values()
    pages = [alert for alert in alerts if alert.severity is Severity.PAGE]
    return {
        "wall_s": round(time.monotonic() - began),
        "records": producer.delivered,
        "pages": len({alert.alert_id for alert in pages}),
        "page_summaries": sorted({alert.summary for alert in pages}),
        "notices": sum(alert.severity is Severity.NOTICE for alert in opened),
    }


def clean_hour(seconds: int, rate: int, seed: int) -> Result:
    """The demo's traffic without faults."""
    model = CreditModel(seed)
    records = reference(model.score, seed, REFERENCE_ROWS)

    def write(directory: Path, bootstrap: str, url: str) -> Path:
        path = write_files(directory, records, bootstrap, url, NO_MODEL)
        settings = yaml.safe_load(path.read_text())
        for one in settings["models"].values():
            del one["probes"]  # the demo's model has faults of its own, which probes would find
        path.write_text(yaml.safe_dump(settings))
        return path

    def feed(producer: TopicProducer, keep_pace: Callable[[], None]) -> None:
        def send(topic: str, key: bytes, value: bytes, at_ms: int) -> None:
            producer.send(topic, value, key=key, timestamp_ms=at_ms)

        start_ms = (int(time.time()) - seconds - 60) * 1000
        timeline = Timeline((), float(seconds))
        traffic = Traffic(timeline, model.score, send, rate_per_s=rate, seed=seed + 1, start_ms=start_ms)
        for tenth in range(10 * (seconds + 10)):
            traffic.advance(tenth / 10)
            if tenth % 100 == 0:
                keep_pace()
                print(f"\r{tenth / 10:6.0f} of {seconds} s", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)

    return watched(write, feed)


def adult_scored(seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, int]:
    """Features, labels and scores of all rows, and where live traffic begins."""
    with gzip.open(DATA / "adult.csv.gz", "rt") as file:
        frame = pd.read_csv(file).sample(frac=1, random_state=seed).reset_index(drop=True)
    labels = (frame.pop("class").str.strip() == ">50K").to_numpy().astype(int)
    words = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(
        make_column_transformer((encoder, words), remainder="passthrough"),
        HistGradientBoostingClassifier(random_state=seed),
    )
    # A quarter trains, a quarter is the reference it never saw, half is live.
    half = len(frame) // 2
    model.fit(frame[: half // 2], labels[: half // 2])
    return frame, labels, model.predict_proba(frame)[:, 1], half


def adult(rate: int, seed: int) -> Result:
    """UCI Adult as live traffic; the reference is rows the model did not learn from."""
    frame, labels, scores, half = adult_scored(seed)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")

    def body(index: int) -> dict[str, Any]:
        return {"features": rows[index], "score": float(scores[index])}

    def write(directory: Path, bootstrap: str, url: str) -> Path:
        lines = [json.dumps(body(i) | {"label": int(labels[i])}) + "\n" for i in range(half // 2, half)]
        (directory / "reference.jsonl").write_text("".join(lines))
        settings = settings_document(bootstrap, url, NO_MODEL)
        settings["models"] = {
            "income": {
                "reference": {"file": "reference.jsonl"},
                "slices": [
                    "sex",
                    "race",
                    ["sex", "race"],
                    {"feature": "age", "bins": [25, 40, 65]},
                    "education",
                ],
                "protected": ["sex", "race"],
                "labels": {"wait": "5s", "ready_at": 0.99},
            }
        }
        path = directory / "monitor.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    def feed(producer: TopicProducer, keep_pace: Callable[[], None]) -> None:
        count = len(rows) - half
        start_ms = int((time.time() - count / rate - 60) * 1000)
        delays = np.minimum(np.random.default_rng(seed).exponential(1500, count), 4000)
        for n in range(count):
            at_ms = start_ms + int(n * 1000 / rate)
            one = {"request_id": f"a-{n}", "model": "income", "timestamp": at_ms, **body(half + n)}
            producer.send(PREDICTIONS, json.dumps(one).encode(), timestamp_ms=at_ms)
        order: Sequence[int] = np.argsort(np.arange(count) * 1000 / rate + delays).tolist()
        for n in order:
            at_ms = start_ms + int(n * 1000 / rate + delays[n])
            one = {
                "request_id": f"a-{n}",
                "model": "income",
                "timestamp": at_ms,
                "label": int(labels[half + n]),
            }
            producer.send(LABELS, json.dumps(one).encode(), timestamp_ms=at_ms)
        keep_pace()

    return watched(write, feed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=3_600)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    report: Result = {"rate_per_s": options.rate, "seed": options.seed}
    if (DATA / "adult.csv.gz").exists():
        report["adult"] = {f"{rate} a second": adult(rate, options.seed) for rate in (1_000, 10)}
        print(json.dumps(report["adult"]), file=sys.stderr)
    report["clean"] = {"seconds": options.seconds, **clean_hour(options.seconds, options.rate, options.seed)}
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
