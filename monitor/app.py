"""The composition root: objects become a running worker. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from importlib.metadata import version
from typing import Any, Final

from monitor.config import Settings
from monitor.core.decode import Limits
from monitor.core.errors import KafkaError, ServiceError, StoreUnavailable
from monitor.core.evaluation import ReferenceCounts
from monitor.core.own_health import STUCK_S, WorkerReport, problems
from monitor.core.probes.endpoint import Endpoint
from monitor.core.probes.results import Work
from monitor.edges.clock import SystemClock
from monitor.edges.collector import pace_collector
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis
from monitor.edges.evaluator import Evaluator
from monitor.edges.files import read_rows
from monitor.edges.ingest import Ingest
from monitor.edges.kafka import topics
from monitor.edges.kafka.chunks import Bounds, Chunk, Kind
from monitor.edges.kafka.flow import Flow
from monitor.edges.kafka.publisher import KafkaPublisher
from monitor.edges.kafka.worker import create_app, run_worker, until_signalled
from monitor.edges.model import open_client
from monitor.edges.outbox import empty_outbox
from monitor.edges.prepare import Preparer, until_answered
from monitor.edges.probe_budget import ProbeBudget
from monitor.edges.prober import Prober
from monitor.edges.probing import probe_endpoint, probed_model
from monitor.edges.pulse import Pulse
from monitor.edges.reader import MetricsReader
from monitor.edges.reference import as_record, count_reference, window_reference
from monitor.edges.views import ViewWriter
from monitor.edges.web.dashboard import dashboard_routes
from monitor.edges.web.page_data import page
from monitor.edges.web.server import WebServer
from monitor.edges.web.worker_metrics import ProbeUse, WorkerState
from monitor.edges.web.worker_pages import worker_routes
from monitor.ports import ModelClient, Partition
from monitor.wiring import (
    connection,
    model_evaluation,
    model_plan,
    open_reader,
    open_store,
    sources,
    topic_specs,
    web_access,
    worker_config,
)

log = logging.getLogger(__name__)

EMBEDDED_REBALANCE_S: Final = 3

_WATCH_S: Final = 1.0
_EVALUATOR_STOP_S: Final = 10.0
_TOLD_AGAIN_S: Final = 0.5


class Worker:
    """One worker process: reads, counts, publishes; evaluates the models whose lease it holds.

    Args:
        settings: with the addresses of running services.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._store = open_store(settings)
        self._config = worker_config(settings)
        self._flow = Flow(self._positions, self._lost)
        self._sources = sources(settings)
        # Containers share host names and process ids; the lease needs a name that nobody else has.
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._clients: list[ModelClient] = []
        self._probers = {
            name: self._prober(name, endpoint)
            for name in settings.models
            if (endpoint := probe_endpoint(name, settings)) is not None
        }
        self._plans = {name: model_plan(name, model, settings) for name, model in settings.models.items()}
        self._ingest = Ingest(
            self._store,
            self._plans,
            self._sources,
            self._flow.rewind,
            self._clock,
            Limits(settings.limits.record_bytes_max, settings.limits.depth_max),
            taps=self._probers,
        )
        self._from_latest = {
            topic
            for source in (*settings.kafka.predictions, *settings.kafka.labels)
            if source.start == "latest"
            for topic in source.topics
        }
        self._cluster = ""
        self._first_partitions: dict[str, int] = {}
        self._store_away = True
        self._pulse = Pulse(self.name, self._ingest.progress, self._ingest.flush_times, self._clock)
        self._report = WorkerReport(worker=self.name)
        self._watched_s = self._clock.monotonic_s()
        self._evaluator: Evaluator | None = None

    async def handle(self, chunk: Chunk, kind: Kind) -> None:  # noqa: ARG002 - the topic says which kind it is
        """Count a chunk."""
        await self._ingest.handle(chunk)

    async def run(self) -> int:
        """Run until told to stop. Returns the exit code."""
        await self._open()
        evaluator = self._evaluator = await self._new_evaluator()
        app = create_app(self._config, self, self._flow)
        kafka = self._settings.kafka
        alerts = KafkaPublisher(self._config.connection, {"alerts": kafka.alerts.topic})
        letters = KafkaPublisher(self._config.connection, {"dead_letters": kafka.dead_letters.topic})
        loops = (
            self._watch(),
            empty_outbox(self._store, alerts, "alerts", self._clock),
            empty_outbox(self._store, letters, "dead_letters", self._clock),
            *(prober.run() for prober in self._probers.values()),
        )
        pace_collector()
        try:
            async with self._web(), alerts, letters, running_loops(*loops), _thread(evaluator):
                log.info("worker started", extra={"worker": self.name, "topics": list(self._config.topics)})
                return await run_worker(app, outage=lambda: self._store_away, recognise=self._recognise)
        finally:
            for client in self._clients:
                await client.close()
            with contextlib.suppress(StoreUnavailable):
                await self._store.report(self.name, "")
            await self._store.close()

    def _prober(self, name: str, endpoint: Endpoint) -> Prober:
        """Asks one model, within its budget."""
        probes = self._settings.models[name].probes
        assert probes is not None
        budget = ProbeBudget(
            self._store, name, probes.budget_rows_per_s, probes.burst_rows, self._clock, self._answered
        )
        client = open_client(endpoint, budget.spend)
        self._clients.append(client)
        return Prober(probed_model(name, self._settings), self._store, client, self._clock, self.name)

    def _web(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """Health and metrics, where a port is given for them."""
        web = self._settings.web
        if web.port is None:
            return contextlib.nullcontext()
        return WebServer(worker_routes(self._state), web.host, web.port, web_access(self._settings))

    def _state(self) -> WorkerState:
        """What this worker can say without asking anybody."""
        watched_s = self._clock.monotonic_s() - self._watched_s
        progress, evaluator = self._ingest.progress, self._evaluator
        judged = {} if evaluator is None else evaluator.judged()
        return WorkerState(
            report=self._report,
            version=version("inference-monitor"),
            problems=tuple(problems(self._report, watched_s, store_up=not self._store_away)),
            live=watched_s < STUCK_S,
            read=dict(progress.read),
            rejected=dict(progress.rejected),
            lag={(p.topic, p.number): end - at for p, (at, end) in self._flow.standing.items()},
            flush_total_s=self._ingest.flush_times.total_s,
            store_up=not self._store_away,
            own=None if evaluator is None else evaluator.own_health,
            judged=judged,
            probes={
                name: ProbeUse(prober.budget_rows_per_s, prober.done)
                for name, prober in self._probers.items()
            },
        )

    async def _open(self) -> None:
        while True:
            try:
                await self._store.open()
                break
            except StoreUnavailable as error:
                log.warning("waiting for the store: %s", error)
                await self._clock.sleep(1.0)
        names = list(self._config.topics)
        self._cluster = await asyncio.to_thread(topics.cluster_id, self._config.connection)
        found, ids = await asyncio.to_thread(topics.identified, self._config.connection, names)
        await self._bind(ids)
        self._first_partitions = await self._store.first_partitions(Counter(p.topic for p in found))

    async def _new_evaluator(self) -> Evaluator:
        settings = self._settings
        reader = open_reader(settings)
        metrics = MetricsReader(reader, settings.tiers)
        models = [
            model_evaluation(
                name, settings, await self._reference(name, metrics), watch_partitions=place == 0
            )
            for place, name in enumerate(settings.models)
        ]
        names = list(settings.models)
        return Evaluator(
            reader,
            models,
            self.name,
            ViewWriter(metrics, self._clock),
            own=lambda: reader.own_health(names),
            monotonic_s=self._clock.monotonic_s,
        )

    async def _reference(self, name: str, metrics: MetricsReader) -> ReferenceCounts:
        """Counts of the labelled reference; empty where there is none, and the model is learning."""
        model, plan = self._settings.models[name], self._plans[name]
        if model.reference is None:
            return ReferenceCounts()
        if model.reference.file is not None:
            columns = model.reference_columns
            records = (as_record(row, columns) for row in read_rows(model.reference.file))
            return await count_reference(plan, Preparer(self._store, self._answered), records)
        stretch = model.reference
        ids = await self._answered(lambda: self._store.registry(name, "slices"))
        found: ReferenceCounts = await self._answered(
            lambda: asyncio.to_thread(window_reference, metrics, name, ids, stretch.from_ms, stretch.to_ms)
        )
        return found

    async def _answered(self, call: Callable[[], Awaitable[Any]]) -> Any:
        return await until_answered(call, self._clock, lambda: None)

    async def _recognise(self, topic_ids: Mapping[str, str]) -> None:
        with contextlib.suppress(StoreUnavailable):  # asked again soon
            await self._bind(topic_ids)

    async def _bind(self, topic_ids: Mapping[str, str]) -> None:
        """Refuse a topic that was deleted and made anew while it was read: the fences are not of it.

        Raises:
            StoreRefused: the ids on record are others.
        """
        # A cluster that is being upgraded has brokers that know none.
        known = {name: topic_id for name, topic_id in topic_ids.items() if topic_id}
        await self._store.bind(self._cluster, known)

    async def _positions(self, bounds: Mapping[Partition, Bounds]) -> Mapping[Partition, int]:
        names = sorted({partition.topic for partition in bounds})
        await self._bind(await asyncio.to_thread(topics.topic_ids, self._config.connection, names))
        first = self._first_partitions
        # All that lies in a partition that was added came after the start, whatever the settings say.
        latest = [p for p in bounds if p.topic in self._from_latest and p.number < first[p.topic]]
        starts = {p: kept.earliest for p, kept in bounds.items()}
        starts |= {p: bounds[p].end for p in latest}
        return await self._ingest.take(starts | await self._committed(latest, bounds))

    async def _committed(
        self, latest: list[Partition], bounds: Mapping[Partition, Bounds]
    ) -> dict[Partition, int]:
        """Where an earlier worker got to with partitions that begin at the end and have no fence.

        It counted up to there, into a store that is empty now: what came since nobody has counted, and to
        begin at the end would pass over it in silence.
        """
        fences = await self._store.fences(latest)
        new = [p for p in latest if all(fence is None for fence in fences[p])]
        found = await asyncio.to_thread(
            topics.committed_offsets, self._config.connection, self._config.group_id, new
        )
        starts = {p: min(max(at, bounds[p].earliest), bounds[p].end) for p, at in found.items()}
        if starts:
            log.warning(
                "the store has no position, the group has: going on where an earlier worker got to",
                extra={"starts": {str(p): at for p, at in starts.items()}},
            )
        return starts

    async def _lost(self, partition: Partition, fence: int, earliest: int) -> None:
        total = await self._answered(lambda: self._store.lost(partition, fence, earliest))
        log.error(
            "records were deleted before they were read",
            extra={"partition": str(partition), "lost": earliest - fence, "lost_ever": total},
        )

    async def _watch(self) -> None:
        """Compare fences and say where we stand, every second."""
        while True:
            await self._clock.sleep(_WATCH_S)
            self._watched_s = self._clock.monotonic_s()
            looked_s = None if self._evaluator is None else self._evaluator.looked_s
            asked = {name: prober.done[Work.ROWS] for name, prober in self._probers.items()}
            self._report = self._pulse.take(
                self._flow.standing,
                self._flow.unplaced,
                joined=self._flow.joined,
                brokers_silent_s=self._flow.brokers_silent_s,
                looked_s=looked_s,
                probe_rows=asked,
            )
            try:
                await self._ingest.watch()
                await self._store.beat(self._flow.beats)
                await self._store.report(self.name, self._report.model_dump_json())
                self._store_away = False
            except StoreUnavailable:
                self._store_away = True


@contextlib.asynccontextmanager
async def running_loops(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Background loops that end with the body; one that fails is a bug and is logged as such.

    A client may answer a cancellation with an error of its own, which a loop takes for an outage and waits
    out: so each is told again until it has ended.
    """
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(_report)
    try:
        yield
    finally:
        left = set(tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_TOLD_AGAIN_S)


@contextlib.asynccontextmanager
async def _thread(evaluator: Evaluator) -> AsyncIterator[None]:
    """The evaluator in a thread of its own: its reads and sums must not hold up the chunks."""
    stop = threading.Event()

    def run() -> None:
        try:
            evaluator.run(stop)
        except Exception:
            log.critical("the evaluator failed", exc_info=True)
            os._exit(1)  # silence would look like health: the supervisor restarts the worker

    thread = threading.Thread(target=run, name="evaluator", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, _EVALUATOR_STOP_S)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a background loop failed", exc_info=error)
        os._exit(1)  # a worker without its watch or its outbox is worse than none: the supervisor restarts it


def run(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; starts bundled services where the settings say `embedded`.

    Returns:
        Exit code.
    """
    with contextlib.ExitStack() as services:
        return asyncio.run(Worker(start_embedded(settings, services)).run())


def start_embedded(settings: Settings, services: contextlib.ExitStack) -> Settings:
    """Start what the settings call `embedded`; the settings with its addresses."""
    if settings.kafka.embedded:
        broker = services.enter_context(EmbeddedKafka())
        # The bundled broker makes a group join wait for half of the rebalance timeout.
        worker = settings.worker.model_copy(update={"rebalance_timeout_s": EMBEDDED_REBALANCE_S})
        settings = settings.at(bootstrap_servers=broker.bootstrap_servers)
        settings = settings.model_copy(update={"worker": worker})
        try:
            topics.ensure_topics(connection(settings), topic_specs(settings))
        except KafkaError as error:
            raise ServiceError(f"the bundled broker did not take the topics: {error}") from error
    if settings.redis.embedded:
        store = services.enter_context(EmbeddedRedis())
        settings = settings.at(redis_url=store.url)
    return settings


def serve_dashboard(settings: Settings, port: int) -> int:
    """Serve the dashboard until SIGTERM or SIGINT.

    Returns:
        Exit code.
    """
    schemas = {name: model.feature_schema for name, model in settings.models.items()}
    waits_s = {name: model.labels.wait_s for name, model in settings.models.items()}
    with contextlib.closing(open_reader(settings)) as reader:
        metrics = MetricsReader(reader, settings.tiers)
        routes = dashboard_routes(
            list(schemas), lambda model, window: page(reader, metrics, schemas, waits_s, model, window)
        )

        async def serve() -> None:
            async with WebServer(routes, settings.web.host, port, web_access(settings)) as server:
                print(server.url, flush=True)
                await until_signalled()

        asyncio.run(serve())
    return 0
