"""Live traffic: applicants arrive at a rate, faults act on them, the model answers, labels follow late."""

from __future__ import annotations

import heapq
import json
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request, ready to be published, and what will become known of it.

    Times are epoch milliseconds.
    """

    number: int
    request_id: str
    at_ms: int
    value: bytes
    label: int
    label_at_ms: int


class Traffic:
    """Produces the demo's requests and labels.

    Request `n` is made `n / rate` seconds after the first and carries that time. A second of the timeline is
    drawn, faulted and asked of the model in one batch as it begins, and published request by request as it
    passes, so the same seed and rate give the same requests whatever the machine is doing. Positions are
    seconds since the first request.

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
        self._seed = seed
        self._start_ms = start_ms
        self._second = 0
        self._requests: deque[Request] = deque()
        self._due: list[tuple[int, int, Request]] = []
        self._ticks: deque[tuple[float, int]] = deque([(0.0, 0)])

    @property
    def finished(self) -> bool:
        """Every request of the timeline was made; labels may still be due."""
        return self._second >= self._timeline.length_s and not self._requests

    @property
    def labels_due(self) -> int:
        """Labels of published requests that are not known yet."""
        return len(self._due)

    def rate_now_per_s(self) -> float:
        """Requests a second over the last five seconds that were worked on."""
        (first_s, before), (last_s, after) = self._ticks[0], self._ticks[-1]
        return (after - before) / (last_s - first_s) if last_s > first_s else 0.0

    def advance(self, position_s: float) -> None:
        """Publish all requests and all labels that are due at a position.

        Args:
            position_s: seconds since the first request, never less than at the last call.

        Raises:
            ServiceError: the model does not answer.
        """
        now_ms = self._start_ms + int(position_s * 1000)
        while self._second <= position_s and self._second < self._timeline.length_s:
            self._requests.extend(self._answered(self._second))
            self._second += 1
        while self._requests and self._requests[0].at_ms <= now_ms:
            request = self._requests.popleft()
            if request.at_ms < now_ms - BACKLOG_MAX_S * 1000:
                self.skipped += 1
                continue
            self._send(PREDICTIONS, request.request_id.encode(), request.value, request.at_ms)
            self.sent += 1
            heapq.heappush(self._due, (request.label_at_ms, request.number, request))
        while self._due and self._due[0][0] <= now_ms:
            self._publish_label(heapq.heappop(self._due)[2])
        self._ticks.append((position_s, self.sent))
        while len(self._ticks) > 2 and self._ticks[1][0] <= position_s - RATE_WINDOW_S:
            self._ticks.popleft()

    def _answered(self, second: int) -> list[Request]:
        """All requests of one second of the timeline: the same faults act on all of them."""
        first, end = (math.ceil(edge * self._rate_per_s) for edge in (second, second + 1))
        rng = np.random.default_rng((self._seed, 2, second))
        people = draw(rng, end - first)
        scores = answer(people.rows, self._timeline.active(float(second)), self._ask, rng)
        delays_s = np.minimum(rng.exponential(LABEL_DELAY_MEAN_S, len(people)), LABEL_DELAY_MAX_S)
        return [
            self._request(number, row, score, repays, delay_s)
            for number, row, score, repays, delay_s in zip(
                range(first, end),
                people.rows,
                scores.tolist(),
                people.repays.tolist(),
                delays_s.tolist(),
                strict=True,
            )
        ]

    def _request(self, number: int, row: Row, score: float, repays: bool, delay_s: float) -> Request:
        at_ms = self._start_ms + round(number / self._rate_per_s * 1000)
        request_id = f"{self._start_ms // 1000:x}-{number:06d}"
        record = {
            "request_id": request_id,
            "model": MODEL,
            "model_version": MODEL_VERSION,
            "timestamp": at_ms,
            "features": row,
            "score": score,
        }
        label_at_ms = at_ms + round(delay_s * 1000)
        return Request(number, request_id, at_ms, _encode(record), int(repays), label_at_ms)

    def _publish_label(self, request: Request) -> None:
        record = {
            "request_id": request.request_id,
            "model": MODEL,
            "timestamp": request.label_at_ms,
            "label": request.label,
        }
        self._send(LABELS, request.request_id.encode(), _encode(record), request.label_at_ms)
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
