"""From a record to its counters, and from a failure to its alert, at parts of what a worker can take.

    python -m benchmarks.pipeline.latency [--shares 0.1 0.5 0.8] [--trials 10]

A worker as `monitor run` runs it, 8 features and 10 slices. What it can take is measured first, with some
records always waiting. Then records are sent at each part of that rate: the time from handing one to the
producer until the fence in Redis has passed it (a fence and the counters it stands for change together), and
from a feature's first bad record until its alert is read from the alerts topic. One feature after the other
turns null for a while. Producer, broker, store and worker share the machine. Merged into
bench.json under `latency_ms`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.pipeline.live import PARTITIONS, Feed, counted, topics, worker
from benchmarks.pipeline.report import merge
from monitor.core.records import AlertKind, AlertState
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis
from monitor.edges.kafka.alert_stream import AlertStream
from monitor.edges.redis.reader import RedisReader

if TYPE_CHECKING:
    from collections.abc import Sequence

WAITING, STEP, CAPACITY_RECORDS = 40_000, 2_000, 300_000
WARM_UP_S, BROKEN_S, PAUSE_S = 6.0, 2.5, 1.5
TICK_S = 0.02
FEATURES = ("age", "income", "months_known", "balance", "owner", "region", "sex", "education")


class Watch(threading.Thread):
    """Looks at the fences every few milliseconds, and at the alerts topic."""

    def __init__(self, url: str, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, list[int]]] = []
        self.opened_s: dict[str, float] = {}
        self.stop = threading.Event()
        self._reader, self._brokers = RedisReader(url, 1), bootstrap

    def run(self) -> None:
        """Until told to stop."""
        listening = threading.Thread(target=self._listen, daemon=True)
        listening.start()
        while not self.stop.wait(TICK_S):
            fences = counted(self._reader)
            self.seen.append((time.perf_counter(), fences))
        listening.join(5)
        self._reader.close()

    def _listen(self) -> None:
        with AlertStream(self._brokers, "alerts", from_beginning=True, timeout_s=0.5) as stream:
            while not self.stop.is_set():
                for alert in stream:
                    if alert.kind is AlertKind.VIOLATION_RATE and alert.state is AlertState.OPEN:
                        self.opened_s.setdefault(str(alert.subject.get("feature")), time.perf_counter())


def capacity(feed: Feed, reader: RedisReader) -> float:
    """Records a second that are counted while some always wait, sent by the same process as later."""
    marks = []
    for records in (WAITING, CAPACITY_RECORDS):
        while (now := sum(counted(reader))) < records:
            if feed.count - now < WAITING:
                feed.send(STEP)
            time.sleep(TICK_S)
        marks.append((now, time.perf_counter()))
    while sum(counted(reader)) < feed.count:
        time.sleep(TICK_S)
    (first, began_s), (last, ended_s) = marks
    return (last - first) / (ended_s - began_s)


def steady(feed: Feed, rate: float, trials: int) -> tuple[float, dict[str, float]]:
    """Send at a rate, one feature after the other breaking; when it was warm, and when each broke."""
    began: dict[str, float] = {}
    length_s = PAUSE_S + BROKEN_S
    start_s, sent = time.perf_counter(), 0
    while (now_s := time.perf_counter() - start_s) < WARM_UP_S + trials * length_s:
        trial, phase_s = divmod(now_s - WARM_UP_S, length_s)
        broken = FEATURES[int(trial)] if now_s >= WARM_UP_S and phase_s >= PAUSE_S else None
        if broken is not None:
            began.setdefault(broken, time.perf_counter())
        due = int(now_s * rate)
        feed.send(due - sent, broken)
        sent = due
        time.sleep(TICK_S)
    feed.producer.flush(30)
    time.sleep(3)
    return start_s + WARM_UP_S, began


def delays_ms(feed: Feed, watch: Watch, warm_s: float) -> np.ndarray[Any, Any]:
    """From each record sent once it was warm until a look found it counted."""
    times = np.array([at_s for at_s, _ in watch.seen])
    found = []
    for place in range(PARTITIONS):
        fences = np.array([fences[place] for _, fences in watch.seen])
        sent_s = np.array(feed.sent_s[place])
        numbers = np.flatnonzero(sent_s >= warm_s)
        look = np.searchsorted(fences, numbers + 1)
        known = look < len(times)
        found.append(1000 * (times[look[known]] - sent_s[numbers[known]]))
    return np.concatenate(found)


def spread(values: Sequence[float] | np.ndarray[Any, Any]) -> dict[str, float]:
    """Quantiles."""
    return {f"p{q}": round(float(np.quantile(values, q / 100)), 1) for q in (50, 95, 99)}


def main() -> None:
    """Measure and merge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.5, 0.8])
    parser.add_argument("--trials", type=int, default=len(FEATURES), help="features that break, one by one")
    options = parser.parse_args()
    report: dict[str, Any] = {}
    for share in options.shares:
        with tempfile.TemporaryDirectory() as folder, EmbeddedKafka() as broker, EmbeddedRedis() as store:
            bootstrap = broker.bootstrap_servers
            with topics(bootstrap) as producer, closing(RedisReader(store.url, 1)) as reader:
                feed = Feed(producer, random.Random(3))
                with worker(Path(folder), bootstrap, store.url):
                    most = capacity(feed, reader)
                    watch = Watch(store.url, bootstrap)
                    watch.start()
                    warm_s, began = steady(feed, share * most, options.trials)
                    watch.stop.set()
                    watch.join()
        alerts = [
            1000 * (watch.opened_s[name] - at_s) for name, at_s in began.items() if name in watch.opened_s
        ]
        report[f"{share:.0%}"] = {
            "records_per_s": round(share * most),
            "event_to_counter": spread(delays_ms(feed, watch, warm_s)),
            "event_to_alert": spread(alerts) if alerts else {},
            "alerts": f"{len(alerts)} of {len(began)}",
        }
        print(share, report[f"{share:.0%}"], flush=True)
    merge("latency_ms", report)


if __name__ == "__main__":
    main()
