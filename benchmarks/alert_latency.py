"""From the first bad record to the alert on the topic, at 5,000 records a second.

One feature after another breaks its schema in every record for a while; the clock starts when the first
bad record is handed to the producer and stops when the alert is read from the alerts topic. Whole path:
producer, broker, worker, store, evaluator, outbox, broker, consumer.

    python -m benchmarks.alert_latency [--rate 5000] [--trials 20]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis
from monitor.edges.kafka.alert_stream import AlertStream
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, TopicSpec, ensure_topics

BREAKS = ("wrong type", "out of range", "null", "missing")
BROKEN_S, PAUSE_S, WARM_UP_S = 2.5, 1.5, 8.0
REPORT = Path(__file__).parent / "reports" / "alert_latency.json"


def write_files(directory: Path, bootstrap: str, url: str, features: list[str]) -> Path:
    schema = {"features": {name: {"type": "number", "minimum": 0, "maximum": 100} for name in features}}
    (directory / "schema.yaml").write_text(yaml.safe_dump(schema))
    settings = {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "predictions": {"topics": ["predictions"]},
            "alerts": {"topic": "alerts"},
            "dead_letters": {"topic": "dead-letters"},
        },
        "redis": {"url": url},
        "models": {"income": {"schema": "schema.yaml"}},
        "worker": {"rebalance_timeout": "3s"},
    }
    path = directory / "monitor.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def record(features: list[str], i: int, broken: str | None, how: str) -> bytes:
    values: dict[str, Any] = dict.fromkeys(features, float(i % 100))
    if broken is not None:
        if how == "missing":
            del values[broken]
        else:
            values[broken] = {"wrong type": ["x"], "out of range": 1e6, "null": None}[how]
    body = {
        "request_id": str(i),
        "model": "income",
        "timestamp": time.time(),
        "features": values,
        "score": 0.3,
    }
    return json.dumps(body).encode()


def seen_alerts(bootstrap: str, opened: dict[str, float], stop: threading.Event) -> None:
    with AlertStream(bootstrap, "alerts", from_beginning=True, timeout_s=0.5) as stream:
        while not stop.is_set():
            for alert in stream:
                feature = str(alert.subject.get("feature"))
                if alert.state.value == "open":
                    opened.setdefault(feature, time.perf_counter())
                if stop.is_set():
                    return


def measure(rate: int, trials: int) -> list[float]:
    """Seconds from first bad record to alert, one a trial; infinite where none came."""
    features = [f"f{i:02d}" for i in range(trials)]
    with tempfile.TemporaryDirectory() as scratch, EmbeddedKafka() as broker, EmbeddedRedis() as store:
        bootstrap = broker.bootstrap_servers
        link = KafkaConnection(bootstrap)
        ensure_topics(
            link, [TopicSpec("predictions", 4), TopicSpec("alerts", 1), TopicSpec("dead-letters", 1)]
        )
        config = write_files(Path(scratch), bootstrap, store.url, features)
        command = [sys.executable, "-m", "monitor", "run", "-c", str(config), "--log-level", "warning"]
        worker = subprocess.Popen(command)
        opened: dict[str, float] = {}
        stop = threading.Event()
        reader = threading.Thread(target=seen_alerts, args=(bootstrap, opened, stop), daemon=True)
        reader.start()
        began: dict[str, float] = {}
        try:
            with TopicProducer(link, linger_ms=5) as producer:
                start = time.perf_counter()
                sent = 0
                length = PAUSE_S + BROKEN_S
                while (now := time.perf_counter() - start) < WARM_UP_S + trials * length:
                    trial, phase = divmod(now - WARM_UP_S, length)
                    broken = features[int(trial)] if now >= WARM_UP_S and phase >= PAUSE_S else None
                    due = int(now * rate)
                    for i in range(sent, due):
                        if broken is not None:
                            began.setdefault(broken, time.perf_counter())
                        producer.send("predictions", record(features, i, broken, BREAKS[int(trial) % 4]))
                    sent = due
                    time.sleep(0.01)
            time.sleep(2)
        finally:
            stop.set()
            reader.join(timeout=5)
            worker.terminate()
            worker.wait(timeout=30)
    print(f"sent {sent} records, {sent / now:.0f}/s", file=sys.stderr)
    return [opened.get(name, float("inf")) - began[name] for name in features]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()
    delays = measure(options.rate, options.trials)
    figures = {
        "rate_per_s": options.rate,
        "trials": options.trials,
        "finest_tier": DEFAULT_TIERS[0].name,
        "delay_s_p50": round(float(np.quantile(delays, 0.5)), 2),
        "delay_s_p95": round(float(np.quantile(delays, 0.95)), 2),
        "delay_s_max": round(max(delays), 2),
    }
    REPORT.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
