"""What a worker sees early is kept beside the evidence, and quoted by alerts that open near it."""

import json

import numpy as np

from monitor.core.hints import HINTS, Hint
from monitor.edges.alert_evidence import quoted
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.ports import Partition
from tests.support.demo_alerts import alert
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import Message

START_S = 1_700_000_000 // 3_600 * 3_600


def _predictions(means: list[float]) -> list[Message]:
    rng = np.random.default_rng(2)
    return [
        Message(
            "predictions",
            0,
            json.dumps(
                {"request_id": f"r-{i}", "model": "credit", "timestamp": START_S + i // 100, "features": {},
                 "score": float(np.clip(rng.normal(mean, 0.1), 0, 1))}
            ).encode(),
        )
        for i, mean in enumerate(means)
    ]  # fmt: skip


async def test_a_shift_of_the_score_leaves_a_hint_and_steady_traffic_none() -> None:
    for means, signals in (
        ([0.3] * 6_000, set()),
        ([0.3] * 3_000 + [0.5] * 3_000, {"mean_score", "positive_share"}),
    ):
        store = MemoryStore(2, {"credit": 600}, ManualClock(START_S * 1000))
        worker = Worker(store, Log(_predictions(means), (START_S + 100) * 1000), {"credit": plan("credit")})
        partition = Partition("predictions", 0)
        await worker.take([partition])
        while await worker.step(partition, 170):
            pass
        found = [Hint.unpack(one) for one in store.reader().evidence("credit", HINTS)]
        assert {hint.signal for hint in found} == signals
        for signal in signals:
            first_s = min(hint.at_ms for hint in found if hint.signal == signal) / 1000 - START_S
            assert 30 <= first_s < 50


def test_an_alert_quotes_each_signal_near_its_beginning_once() -> None:
    opened = alert("drift", {"output": "score"}, 20.0)
    began_ms = round(opened.began_at.timestamp() * 1000)
    hints = [
        Hint("mean_score", began_ms + 2_000, 0.3, 0.5),
        Hint("mean_score", began_ms + 3_000, 0.3, 0.5),
        Hint("error_share", began_ms - 90_000, 0.1, 0.2),
    ]
    assert len(quoted(hints, opened)) == 1
    assert quoted(hints, opened)[0].endswith("a worker saw the mean score 0.3 → 0.5")
