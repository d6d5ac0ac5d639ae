"""A blocked event loop ends the process; a slow one, a closed one and one that nobody need watch do not."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from monitor.edges.kafka.loop_guard import LOOKS, loop_guard, watch

PATIENCE_S = 300.0


class Loop:
    """Answers each question after so many looks; None for never."""

    def __init__(self, answers_after: int | None, looks_max: int = 1_000) -> None:
        self.answers_after = answers_after
        self.looks_max = looks_max
        self.looks = 0
        self.asked: list[tuple[int, Callable[[], None]]] = []
        self.outstanding_max = 0

    def ask(self, answer: Callable[[], None]) -> None:
        self.asked.append((self.looks, answer))
        self.outstanding_max = max(self.outstanding_max, len(self.asked))

    def wait(self, wait_s: float) -> bool:
        assert wait_s == PATIENCE_S / LOOKS
        self.looks += 1
        if self.answers_after is not None:
            for question in [one for one in self.asked if self.looks - one[0] >= self.answers_after]:
                self.asked.remove(question)
                question[1]()
        return self.looks > self.looks_max


def test_a_loop_that_never_answers_is_blocked_after_its_patience() -> None:
    loop = Loop(None)
    assert watch(loop.ask, loop.wait, PATIENCE_S)
    assert loop.looks == LOOKS + 1
    assert loop.outstanding_max == 1


@pytest.mark.parametrize("after", [1, 2, LOOKS - 1, LOOKS])
def test_a_slow_loop_is_left_alone(after: int) -> None:
    loop = Loop(after)
    assert not watch(loop.ask, loop.wait, PATIENCE_S)
    assert loop.looks == loop.looks_max + 1
    assert loop.outstanding_max == 1


def test_a_loop_slower_than_its_patience_is_blocked() -> None:
    assert watch((loop := Loop(LOOKS + 1)).ask, loop.wait, PATIENCE_S)


def test_a_closed_loop_is_nobodys_fault() -> None:
    def ask(_answer: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    assert not watch(ask, Loop(None).wait, PATIENCE_S)


def test_a_blocked_loop_is_told_of_and_ended(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    async def go() -> None:
        with loop_guard(0.3, ended.set):
            assert ended.wait(120)

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(go())
    (record,) = caplog.records
    assert record.getMessage() == "the event loop is blocked"
    assert "threading.py" in vars(record)["at"]


async def test_the_thread_ends_with_its_worker() -> None:
    def fail() -> None:
        raise AssertionError

    with loop_guard(3_600, fail):
        assert "loop-guard" in {thread.name for thread in threading.enumerate()}
    assert "loop-guard" not in {thread.name for thread in threading.enumerate()}


def test_the_process_exits_as_a_failed_worker_does() -> None:
    program = """
import asyncio, threading
from monitor.edges.kafka.loop_guard import loop_guard
async def go():
    with loop_guard(0.3):
        threading.Event().wait()
asyncio.run(go())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert b"the event loop is blocked" in ended.stderr
