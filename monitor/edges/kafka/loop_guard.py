"""Ends a process whose event loop is blocked: whatever else watches a worker runs on that loop.

A thread asks the loop for a sign of life and counts how often it has looked in vain. Looks are counted, not
seconds: a process that was stopped, or a machine that was suspended, and goes on has not been blocked, and
where a machine is too busy for anybody the thread is late as well. It cannot help against one call into C
that never lets go of the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

log = logging.getLogger(__name__)

LOOKS: Final = 30
"""So many in vain, one after the other, are the end."""

_SAYING_S: Final = 10.0


def watch(
    ask: Callable[[Callable[[], None]], object], wait: Callable[[float], bool], patience_s: float
) -> bool:
    """Look for signs of life until there have been none for `patience_s`.

    Args:
        ask: has a function called on the loop, soon; raises `RuntimeError` where the loop was closed.
        wait: for so many seconds; True when nobody need watch any longer.
        patience_s: of `LOOKS` looks.

    Returns:
        Whether the loop is blocked.
    """
    answered = threading.Event()
    answered.set()
    in_vain = 0
    while not wait(patience_s / LOOKS):
        if not answered.is_set():
            in_vain += 1
            if in_vain >= LOOKS:
                return True
            continue
        in_vain = 0
        answered.clear()
        try:
            ask(answered.set)
        except RuntimeError:
            return False
    return False


def end_process() -> None:
    """End it as a failed worker ends: nothing gentler would reach the loop."""
    os._exit(1)


@contextlib.contextmanager
def loop_guard(patience_s: float, end: Callable[[], None] = end_process) -> Iterator[None]:
    """Watch the running loop.

    Args:
        patience_s: it is blocked for so long and it is over.
        end: what then happens, in another thread.
    """
    loop = asyncio.get_running_loop()
    looped = threading.get_ident()
    over = threading.Event()

    def run() -> None:
        if watch(loop.call_soon_threadsafe, over.wait, patience_s):
            say = threading.Thread(target=_say, args=(looped, patience_s), daemon=True)
            say.start()
            say.join(_SAYING_S)  # who is blocked writing to the log keeps others from it
            end()

    thread = threading.Thread(target=run, name="loop-guard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _say(looped: int, patience_s: float) -> None:
    frame = sys._current_frames().get(looped)  # noqa: SLF001 - public but for its name
    where = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
    log.critical("the event loop is blocked", extra={"blocked_s": round(patience_s), "at": where})
