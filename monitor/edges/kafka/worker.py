"""The Faust application: one agent for each kind of topic, and running it until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import faust
from faust.types import StreamT

from monitor.core.errors import KafkaError
from monitor.edges.clock import SystemClock
from monitor.edges.kafka import topics
from monitor.edges.kafka.chunks import Chunk, ChunkHandler, Kind
from monitor.edges.kafka.flow import Flow
from monitor.edges.kafka.loop_guard import loop_guard
from monitor.edges.kafka.options import KafkaWorkerConfig
from monitor.edges.kafka.watchdog import Watchdog
from monitor.ports import Partition

log = logging.getLogger(__name__)

_CRASH_POLL_S: Final = 0.2

_BLOCKED_STALLS: Final = 5
"""An event loop may be blocked for so many times as long as records may wait without progress."""

Recognise = Callable[[Mapping[str, str]], Awaitable[None]]
"""Told the id of each topic whenever they are asked for; an error ends the worker."""


async def _any_will_do(_topic_ids: Mapping[str, str]) -> None:
    """Recognise whatever there is."""


class ChunkApp(faust.App):  # type: ignore[misc] # Faust is untyped
    """A Faust app whose transport finds its configuration and its flow here.

    Attributes:
        chunk_config: what to read and how.
        flow: positions of this process.
    """

    logger = logging.getLogger("faust.app")  # Faust's own messages stay under Faust's name

    def __init__(self, config: KafkaWorkerConfig, flow: Flow) -> None:
        self.chunk_config = config
        self.flow = flow
        super().__init__(
            config.group_id,
            broker=[f"chunk://{server}" for server in config.connection.servers],
            broker_credentials=config.connection.faust_credentials(),
            broker_request_timeout=config.request_timeout_s,
            broker_session_timeout=config.session_timeout_s,
            broker_rebalance_timeout=config.rebalance_timeout_s,
            broker_max_poll_records=config.poll_records_max,
            consumer_max_fetch_size=config.fetch_bytes_max,
            stream_buffer_maxsize=config.buffered_chunks_max,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,
            autodiscover=False,
            store="memory://",
        )

    def _create_directories(self) -> None:
        """Nothing: all state is in the store, a read-only disk is no obstacle."""


class _ChunkSchema(faust.Schema):  # type: ignore[misc] # Faust is untyped
    """Passes chunks through: records are decoded by the handler, where a bad one harms no other."""

    def loads_key(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """Chunks have no key."""
        return message.key

    def loads_value(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The chunk itself."""
        return message.value


def create_app(config: KafkaWorkerConfig, handler: ChunkHandler, flow: Flow) -> ChunkApp:
    """Build the app; nothing is contacted before `run_worker`.

    Args:
        config: what to read and how.
        handler: gets every chunk, those of one kind in turn, the next while the one before is in hand.
        flow: shared with the handler.

    Raises:
        KafkaError: the connection would be less secure than asked for.
    """
    app = ChunkApp(config, flow)
    if config.predictions:
        _add_agent(app, "predictions", config.predictions, handler)
    if config.labels:
        _add_agent(app, "labels", config.labels, handler)
    return app


def _add_agent(app: ChunkApp, kind: Kind, names: tuple[str, ...], handler: ChunkHandler) -> None:
    async def handle(chunk: Chunk) -> None:
        await handler.handle(chunk, kind)

    async def consume(chunks: StreamT) -> None:
        await app.flow.take_all(chunks, handle)

    app.agent(app.topic(*names, schema=_ChunkSchema()), name=kind, concurrency=1)(consume)


async def run_worker(
    app: ChunkApp,
    outage: Callable[[], bool] = lambda: False,
    stop: asyncio.Event | None = None,
    recognise: Recognise = _any_will_do,
) -> int:
    """Run until SIGTERM or SIGINT, until `stop` is set, or until the worker fails.

    A graceful stop lets the chunk in hand be handled; one that takes longer than `stop_s` ends the process,
    and so does an event loop that is blocked for five times `stall_s`.

    Args:
        app: of `create_app`.
        outage: True while the store is known to be away, for the watchdog.
        stop: for a program that runs more than this worker; signals are then its own affair.
        recognise: see `Recognise`.

    Returns:
        Exit code: 0 when told to stop, 1 after a failure (`app.flow.failure` has it, and it is logged).
    """
    config, flow = app.chunk_config, app.flow

    async def ends() -> Mapping[Partition, int]:
        places, ids = await asyncio.to_thread(topics.identified, config.connection, config.topics)
        # A topic made anew goes on being fetched by its name, from the old one's position.
        await recognise(ids)
        return await asyncio.to_thread(topics.end_offsets, config.connection, places, config.isolation_level)

    watchdog = Watchdog(
        flow, ends, outage, config.stall_s, config.stall_s + config.rebalance_timeout_s, SystemClock()
    )
    told_by = _signals() if stop is None else contextlib.nullcontext(stop)
    with loop_guard(_BLOCKED_STALLS * config.stall_s), told_by as told:
        endings = (_run(app), _until_told(told), _until_failed(flow), _until_crashed(app), watchdog.stalled())
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(ending) for ending in endings]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            reason = _reason(waits)
        finally:
            stopped = await _stop(app)
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            if not stopped:
                log.critical("the worker did not stop in time")
                os._exit(1)  # a thread of the client library hangs: nothing gentler would end the process
    if reason is None:
        return 0
    flow.fail(KafkaError(reason))
    log.critical("the worker failed", extra={"reason": reason}, exc_info=flow.failure)
    return 1


async def _run(app: ChunkApp) -> None:
    await app.start()
    await asyncio.Event().wait()


async def _until_told(stop: asyncio.Event) -> None:
    await stop.wait()


async def _until_failed(flow: Flow) -> str:
    await flow.failed()
    return f"{type(flow.failure).__name__}: {flow.failure}"


async def _until_crashed(app: ChunkApp) -> str:
    while not app.crashed:  # noqa: ASYNC110 - Faust sets a flag, from any thread
        await asyncio.sleep(_CRASH_POLL_S)
    return f"a Kafka client crashed: {app.crash_reason!r}"


def _reason(tasks: Iterable[asyncio.Task[Any]]) -> str | None:
    """Why the worker ends: None when it was told to."""
    for task in tasks:
        if not task.done() or task.cancelled():
            continue
        error = task.exception()
        if error is not None:
            return f"{type(error).__name__}: {error}"
        if task.result() is not None:
            return str(task.result())
    return None


async def _stop(app: ChunkApp) -> bool:
    """Stop in order; False when it took too long."""
    try:
        async with asyncio.timeout(app.chunk_config.stop_s):
            await app.flow.close()
    except TimeoutError:
        log.warning("the chunk in hand is given up: it will be read again")
    try:
        async with asyncio.timeout(app.chunk_config.stop_s):
            await app.stop()
    except TimeoutError:
        return False
    return True


async def until_signalled() -> None:
    """Wait for SIGTERM or SIGINT."""
    with _signals() as told:
        await told.wait()


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
