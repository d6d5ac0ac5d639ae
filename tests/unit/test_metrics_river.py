"""Metrics from counters against river's, which see one row after another: another oracle, another way."""

from __future__ import annotations

import numpy as np
import pytest
from river import metrics as streaming

from monitor.core.metrics import METRICS
from tests.support.fold import Rows, fold

ORACLES = {
    "accuracy": streaming.Accuracy,
    "precision": streaming.Precision,
    "recall": streaming.Recall,
    "f1": streaming.F1,
}


@pytest.mark.parametrize("seed", range(3))
def test_what_a_stream_of_rows_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.8, 1.2, 2_000)
    labels = (rng.random(2_000) < scores).astype(np.float64)
    decisions = (scores >= 0.5).astype(np.int8)
    counts = fold(Rows.of(scores, decisions, labels))
    of = {metric.name: metric for metric in METRICS}
    for name, oracle in ORACLES.items():
        river = oracle()
        for truth, said in zip(labels, decisions, strict=True):
            river.update(bool(truth), bool(said))
        assert of[name](counts).value == pytest.approx(river.get(), abs=1e-12), name
    loss = streaming.LogLoss()
    for truth, score in zip(labels, scores, strict=True):
        loss.update(bool(truth), {True: score, False: 1 - score})
    assert of["log_loss"](counts).value == pytest.approx(loss.get(), abs=1e-6)
