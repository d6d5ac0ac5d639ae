"""Live traffic: applicants arrive at a rate, faults act on them, the model answers, labels follow late."""

from __future__ import annotations

import heapq
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.demo.faults import Fault, Timeline
from monitor.demo.population import Row, draw

MODEL: Final = "credit"
MODEL_VERSION: Final = "1"
PREDICTIONS: Final = "predictions"
LABELS: Final = "labels"

LABEL_DELAY_MEAN_S: Final = 1.5
LABEL_DELAY_MAX_S: Final = 4.0
TICK_S: Final = 0.1
BACKLOG_MAX_S: Final = 1.0
"""Requests later than this are given up: the rate falls, and the board says so."""

RATE_WINDOW_S: Final = 5.0

Ask = Callable[[Sequence[Row]], NDArray[np.float64]]
"""Scores of rows, float64[n]."""

Send = Callable[[str, bytes, bytes, int], None]
"""Publish to a topic: key, value, record time in epoch ms. Queues and returns."""


@dataclass(frozen=True, order=True)
class DueLabel:
    """A label and when it becomes known, epoch ms."""

    due_ms: int
    request_id: str
    label: int


class Traffic:
    """Produces the demo's requests and labels.

    Request `n` is made `n / rate` seconds after the first, carries that time, and is of the same applicant
    for the same seed; faults act by that time as well. Positions are seconds since the first request.

    Args:
        timeline: what fails when.
        ask: the model.
        send: where records go.
        rate_per_s: requests a second.
        seed: of the applicants, the faults and the label delays.
        start_ms: time of the first request, epoch ms, best a whole second so that buckets and faults begin
            together.

    Attributes:
        sent: requests published so far.
        skipped: requests given up because something was too slow.
        labels_sent: labels published so far.
    """

    def __init__(
        self, timeline: Timeline, ask: Ask, send: Send, *, rate_per_s: float, seed: int, start_ms: int
    ) -> None:
        self.sent = 0
        self.skipped = 0
        self.labels_sent = 0
        self._timeline = timeline
        self._ask = ask
        self._send = send
        self._rate_per_s = rate_per_s
        self._start_ms = start_ms
        self._people = np.random.default_rng((seed, 2))
        self._chaos = np.random.default_rng((seed, 3))
        self._delays = np.random.default_rng((seed, 4))
        self._next = 0
        self._due: list[DueLabel] = []
        self._ticks: deque[tuple[float, int]] = deque([(0.0, 0)])

    @property
    def finished(self) -> bool:
        """Every request of the timeline was made; labels may still be due."""
        return self._next >= self._timeline.length_s * self._rate_per_s

    @property
    def labels_due(self) -> int:
        """Labels of published requests that are not known yet."""
        return len(self._due)

    def rate_now_per_s(self) -> float:
        """Requests a second over the last five seconds that were worked on."""
        (first_s, before), (last_s, after) = self._ticks[0], self._ticks[-1]
        return (after - before) / (last_s - first_s) if last_s > first_s else 0.0

    def advance(self, position_s: float) -> None:
        """Make all requests and publish all labels that are due at a position.

        Args:
            position_s: seconds since the first request, never less than at the last call.

        Raises:
            ServiceError: the model does not answer.
        """
        due = min(int(position_s * self._rate_per_s) + 1, int(self._timeline.length_s * self._rate_per_s))
        late = due - self._next - int(BACKLOG_MAX_S * self._rate_per_s)
        if late > 0:
            self._next += late
            self.skipped += late
        positions = np.arange(self._next, due) / self._rate_per_s
        for _, group in groupby(zip(range(self._next, due), positions, strict=True), self._whole_second):
            self._make(list(group))
        self._next = max(self._next, due)
        self._publish_labels(self._start_ms + int(position_s * 1000))
        self._ticks.append((position_s, self.sent))
        while len(self._ticks) > 2 and self._ticks[1][0] <= position_s - RATE_WINDOW_S:
            self._ticks.popleft()

    @staticmethod
    def _whole_second(numbered: tuple[int, float]) -> int:
        return int(numbered[1])

    def _make(self, numbered: list[tuple[int, float]]) -> None:
        """Requests of one second of the timeline: the same faults act on all of them."""
        faults = self._timeline.active(float(int(numbered[0][1])))
        people = draw(self._people, len(numbered))
        scores = answer(people.rows, faults, self._ask, self._chaos)
        delays_s = np.minimum(self._delays.exponential(LABEL_DELAY_MEAN_S, len(numbered)), LABEL_DELAY_MAX_S)
        everything = zip(
            numbered,
            people.rows,
            scores.tolist(),
            people.repays.tolist(),
            np.round(delays_s * 1000).astype(np.int64).tolist(),
            strict=True,
        )
        for (number, at_s), row, score, repays, delay_ms in everything:
            at_ms = self._start_ms + round(at_s * 1000)
            request_id = f"{self._start_ms // 1000:x}-{number:06d}"
            record = {
                "request_id": request_id,
                "model": MODEL,
                "model_version": MODEL_VERSION,
                "timestamp": at_ms,
                "features": row,
                "score": score,
            }
            self._send(PREDICTIONS, request_id.encode(), _encode(record), at_ms)
            self.sent += 1
            heapq.heappush(self._due, DueLabel(at_ms + delay_ms, request_id, int(repays)))

    def _publish_labels(self, now_ms: int) -> None:
        while self._due and self._due[0].due_ms <= now_ms:
            due = heapq.heappop(self._due)
            record = {
                "request_id": due.request_id,
                "model": MODEL,
                "timestamp": due.due_ms,
                "label": due.label,
            }
            self._send(LABELS, due.request_id.encode(), _encode(record), due.due_ms)
            self.labels_sent += 1


def answer(
    rows: Sequence[Row], faults: Sequence[Fault], ask: Ask, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scores of requests as they were answered while faults act; the rows are changed in place."""
    for fault in faults:
        fault.effect.on_request(rows, rng)
    scores = ask(rows)
    for fault in faults:
        fault.effect.on_answer(rows, scores, rng)
    return scores


def reference(ask: Ask, seed: int, count: int) -> list[dict[str, Any]]:
    """Scored and labelled records of healthy days, in plain form: applicants the model was not trained on."""
    people = draw(np.random.default_rng((seed, 5)), count)
    scores = ask(people.rows)
    return [
        {
            "request_id": f"reference-{number:06d}",
            "model": MODEL,
            "model_version": MODEL_VERSION,
            "features": row,
            "score": score,
            "label": int(repays),
        }
        for number, (row, score, repays) in enumerate(
            zip(people.rows, scores.tolist(), people.repays.tolist(), strict=True)
        )
    ]


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def _encode(record: dict[str, Any]) -> bytes:
    """JSON as Python writes it: NaN stays NaN, as a client with that bug would send it."""
    return _ENCODER.encode(record).encode()
