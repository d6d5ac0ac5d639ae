"""Clients of model endpoints: JSON by a template, KServe V2, TensorFlow Serving, MLflow, a function here.

All of them are a `Careful` client around an exchange: one call, whatever it speaks.
"""

from monitor.edges.model.breaker import Breaker
from monitor.edges.model.careful import Careful, Exchange, Spend
from monitor.edges.model.function import FunctionExchange, call_client
from monitor.edges.model.http import HttpExchange, open_client
from monitor.edges.model.pace import Pace

__all__ = [
    "Breaker",
    "Careful",
    "Exchange",
    "FunctionExchange",
    "HttpExchange",
    "Pace",
    "Spend",
    "call_client",
    "open_client",
]
