"""E-detectors for many streams at once: evidence that something has changed, at some time.

A Shiryaev-Roberts detector starts a bet in every bucket and adds them up, M ← (M + 1) e, so it does not
tire after a long quiet. Its mean grows by at most 1 a bucket while nothing is wrong: alarming at M ≥ 1/α
takes at least 1/α buckets on average (Shin, Ramdas and Rinaldo 2022, arXiv 2203.03532). A stream keeps one M
for each alternative; their average is an e-detector again.

Beside it runs one CUSUM of a middle alternative. It decides nothing: the bucket where it last left zero
is when the change began, and the sums since then say how large it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

PILOT: Final = 1
"""Column of the alternative whose CUSUM dates the change."""

CALM_LOG: Final = math.log(20.0)
"""Evidence for "back to tolerated" that resolves an alert: twenty to one."""

CALM_BUCKETS_MIN: Final = 3
"""Buckets in a row that must speak for recovery."""


@dataclass(frozen=True)
class Tracker:
    """State of S streams with Q alternatives and C sums.

    Attributes:
        sr: log M per alternative, float64[S, Q]; -inf before the first bucket.
        cusum: log CUSUM of the pilot alternative, float64[S].
        since_ms: start of the bucket in which the CUSUM last left zero, int64[S], epoch ms.
        sums: what was counted since then, float64[S, C].
        calm: log evidence for recovery since it last was zero, float64[S]; moves while a stream is open.
        calm_buckets: buckets in a row with `calm` above zero, int64[S].
        open: whether an alert stands, bool[S].
    """

    sr: Floats
    cusum: Floats
    since_ms: Ints
    sums: Floats
    calm: Floats
    calm_buckets: Ints
    open: Flags

    @classmethod
    def fresh(cls, streams: int, alternatives: int, sums: int) -> Tracker:
        """Streams that have seen nothing."""
        return cls(
            np.full((streams, alternatives), -np.inf),
            np.zeros(streams),
            np.zeros(streams, np.int64),
            np.zeros((streams, sums)),
            np.zeros(streams),
            np.zeros(streams, np.int64),
            np.zeros(streams, np.bool_),
        )

    @property
    def log_evidence(self) -> Floats:
        """Log of the average over alternatives, float64[S]."""
        value: Floats = logsumexp(self.sr, axis=1) - math.log(self.sr.shape[1])
        return value

    @property
    def recovered(self) -> Flags:
        """Open streams whose recovery is established, bool[S]."""
        return self.open & (self.calm >= CALM_LOG) & (self.calm_buckets >= CALM_BUCKETS_MIN)

    def take(self, rows: Ints | Flags) -> Tracker:
        """Chosen streams, in the order given."""
        return Tracker(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def extend(self, count: int) -> Tracker:
        """The same streams and `count` fresh ones after them."""
        more = Tracker.fresh(count, self.sr.shape[1], self.sums.shape[1])
        return Tracker(
            **{
                field.name: np.concatenate([getattr(self, field.name), getattr(more, field.name)])
                for field in fields(self)
            }
        )

    def opened(self, rows: Flags) -> Tracker:
        """Mark streams as standing alerts."""
        return replace(
            self,
            open=self.open | rows,
            calm=np.where(rows & ~self.open, 0.0, self.calm),
            calm_buckets=np.where(rows & ~self.open, 0, self.calm_buckets),
        )

    def reset(self, rows: Flags) -> Tracker:
        """Forget all evidence of some streams: they start anew."""
        fresh = Tracker.fresh(1, self.sr.shape[1], self.sums.shape[1])
        return Tracker(
            **{
                field.name: np.where(
                    rows.reshape((-1,) + (1,) * (getattr(self, field.name).ndim - 1)),
                    getattr(fresh, field.name),
                    getattr(self, field.name),
                )
                for field in fields(self)
            }
        )


def advance(
    tracker: Tracker, log_e: Floats, counted: Floats, start_ms: int, active: Flags, calm: Floats | None = None
) -> Tracker:
    """Take one bucket.

    Args:
        tracker: before the bucket.
        log_e: log e-values of the bucket, float64[S, Q].
        counted: what the bucket adds to the sums, float64[S, C].
        start_ms: start of the bucket, epoch ms.
        active: streams that take part, bool[S]; the others stay as they are.
        calm: log evidence of the bucket for recovery, float64[S]; by default the negative of the mildest
            alternative's log e-value, so that an alert ends only when even that is refuted.

    Returns:
        The tracker after the bucket. While a stream is open its beginning stays where it was.
    """
    restart = active & (tracker.cusum <= 0) & ~tracker.open
    gain = np.where(active, log_e[:, PILOT], 0.0)
    bucket_calm = -log_e[:, 0] if calm is None else calm
    calm_sum = np.where(
        active & tracker.open,
        np.maximum(tracker.calm + bucket_calm, 0.0),
        np.where(tracker.open, tracker.calm, 0.0),
    )
    calm_buckets = np.where(
        active & tracker.open, np.where(calm_sum > 0, tracker.calm_buckets + 1, 0), tracker.calm_buckets
    )
    base = np.where(restart[:, None], 0.0, tracker.sums)
    return Tracker(
        sr=np.where(active[:, None], np.logaddexp(tracker.sr, 0.0) + log_e, tracker.sr),
        cusum=np.maximum(tracker.cusum, 0.0) + gain,
        since_ms=np.where(restart, start_ms, tracker.since_ms),
        sums=base + np.where(active[:, None], counted, 0.0),
        calm=calm_sum,
        calm_buckets=calm_buckets,
        open=tracker.open,
    )
