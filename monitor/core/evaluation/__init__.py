"""The evaluator of a model, pure: what it knows, what may be read when, and what follows from it.

brought_back  out of a future that a wrong clock told of
plan      which buckets may be taken now, from how far event time has got
ripe      which slices of which label buckets to read, from the coverage of all traffic
evaluate  take them in order, each once: evidence, findings, transitions of alerts
"""

from monitor.core.evaluation.ahead import brought_back
from monitor.core.evaluation.model import ModelEvaluation
from monitor.core.evaluation.plan import Plan, plan, ripe, ripe_days
from monitor.core.evaluation.reference import ReferenceCounts
from monitor.core.evaluation.silence import Silence
from monitor.core.evaluation.state import EvaluatorState, decode, encode
from monitor.core.evaluation.step import Bucket, Observed, evaluate, learning
from monitor.core.evaluation.streams import Streams, streams_of
from monitor.core.evaluation.watchlist import Watchlist

__all__ = [
    "Bucket",
    "EvaluatorState",
    "ModelEvaluation",
    "Observed",
    "Plan",
    "ReferenceCounts",
    "Silence",
    "Streams",
    "Watchlist",
    "brought_back",
    "decode",
    "encode",
    "evaluate",
    "learning",
    "plan",
    "ripe",
    "ripe_days",
    "streams_of",
]
