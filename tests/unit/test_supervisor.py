"""Processes kept running by `monitor run --processes`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.edges import supervisor
from monitor.edges.supervisor import Supervisor

TREE = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_MIN_S", 0.01)


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(pid: int) -> bool:
    """Ended, or a zombie of a parent that is not us."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110 - what is awaited happens in other processes
            await asyncio.sleep(0.02)


def test_all_are_told_to_stop_and_do(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, threading\n"
        "told = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: told.set())\n"
        "here = pathlib.Path(sys.argv[1]); here.write_text('up')\n"
        "told.wait(60); here.write_text('in order')\n"
    )
    files = [tmp_path / str(n) for n in range(3)]

    async def go() -> int:
        running = asyncio.create_task(Supervisor([[*program(code), str(file)] for file in files]).run())
        await until(lambda: all(file.exists() and file.read_text() for file in files))
        os.kill(os.getpid(), signal.SIGTERM)
        return await running

    assert asyncio.run(go()) == 0
    assert [file.read_text() for file in files] == ["in order"] * 3


def test_one_that_fails_is_started_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    code = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(1)"

    async def go() -> int:
        running = asyncio.create_task(Supervisor([[*program(code), str(starts)]]).run())
        await until(lambda: starts.exists() and len(starts.read_text()) >= 3)
        os.kill(os.getpid(), signal.SIGINT)
        return await running

    assert asyncio.run(go()) == 0


def test_settings_that_cannot_be_right_stop_all() -> None:
    commands = [program("import time; time.sleep(60)"), program("import sys; sys.exit(2)")]
    assert asyncio.run(Supervisor(commands).run()) == 2


def test_a_second_signal_kills(tmp_path: Path) -> None:
    up = tmp_path / "up"
    code = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
    )

    async def go() -> int:
        running = asyncio.create_task(Supervisor([[*program(code), str(up)]]).run())
        await until(up.exists)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        return await running

    assert asyncio.run(go()) == 0


def test_a_process_ends_with_its_supervisor(tmp_path: Path) -> None:
    child, pid = tmp_path / "child.py", tmp_path / "pid"
    child.write_text(
        "import os, sys, time\n"
        "from monitor.edges.supervisor import stop_at_end_of_input\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid())); stop_at_end_of_input(); time.sleep(60)\n"
    )
    parent = (
        "import asyncio, sys\n"
        "from monitor.edges.supervisor import Supervisor\n"
        f"asyncio.run(Supervisor([[sys.executable, {str(child)!r}]]).run())\n"
    )
    env = {**os.environ, "PYTHONPATH": str(TREE)}
    with subprocess.Popen(program(parent), env=env) as process:
        give_up_s = time.monotonic() + 60
        while not (pid.exists() and pid.read_text()):
            assert time.monotonic() < give_up_s
            time.sleep(0.02)
        process.kill()
    while not gone(int(pid.read_text())):
        assert time.monotonic() < give_up_s
        time.sleep(0.02)
