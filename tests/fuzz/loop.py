"""The one event loop of all targets: making a loop for each input would take longer than what is fuzzed."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def done(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns."""
    return _loop().run_until_complete(work)
