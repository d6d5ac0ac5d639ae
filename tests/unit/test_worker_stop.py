"""A worker's background loops end with it, whatever their clients make of a cancellation."""

from __future__ import annotations

import asyncio

from monitor.app import running_loops


def test_a_loop_that_takes_a_cancellation_for_an_outage_is_told_again() -> None:
    caught = 0

    async def stubborn() -> None:
        nonlocal caught
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                caught += 1
                if caught == 3:
                    raise

    async def go() -> None:
        async with asyncio.timeout(30):
            async with running_loops(stubborn()):
                await asyncio.sleep(0)

    asyncio.run(go())
    assert caught == 3
