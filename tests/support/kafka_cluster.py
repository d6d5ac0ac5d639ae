"""Apache Kafka on three brokers, each its own controller, with small heaps; killed and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.support.redis_servers import free_port

_KAFKA: Final = Path(__file__).parents[2] / ".ci" / "kafka"
_NODES: Final = 3
_START_S: Final = 400.0  # of three processes at once, on a machine that is busy with others

_PROPERTIES: Final = """
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={home}/data
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=3
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
"""


class Broker:
    """One of the brokers."""

    def __init__(self, node: int, home: Path, jars: Path, port: int) -> None:
        self.node = node
        self.port = port
        self._home = home
        self._java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        self._process: subprocess.Popen[bytes] | None = None

    def format(self, cluster_id: str, controllers: dict[int, int]) -> None:
        """Write its settings and make its directory."""
        self._home.mkdir()
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in controllers.items())
        text = _PROPERTIES.format(
            node=self.node, port=self.port, controller=controllers[self.node], voters=voters, home=self._home
        )
        self._settings.write_text(text)
        tool = [*self._java, "kafka.tools.StorageTool", "format"]
        command = [*tool, "-t", cluster_id, "-c", str(self._settings)]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        """Start it on its data; returns at once."""
        with (self._home / "broker.log").open("ab") as log:
            command = [*self._java, "kafka.Kafka", str(self._settings)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def _settings(self) -> Path:
        return self._home / "server.properties"


class Brokers:
    """All three, asked by aiokafka: kafka-python leaves a socket behind for every refusal of a dead one."""

    def __init__(self, brokers: list[Broker]) -> None:
        self.all = brokers

    @property
    def alive(self) -> list[Broker]:
        return [broker for broker in self.all if broker.alive]

    @property
    def bootstrap(self) -> str:
        """Of those that live."""
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.alive)

    async def leader(self, topic: str, partition: int) -> Broker:
        """Who leads a partition now."""
        async with self._admin() as admin:
            (described,) = await admin.describe_topics([topic])
        leaders = {part["partition"]: part["leader"] for part in described["partitions"]}
        return next(broker for broker in self.all if broker.node == leaders[partition])

    async def settle(self) -> None:
        """Return once those that live know of each other, and of nobody else."""
        wanted = {broker.node for broker in self.alive}
        async with asyncio.timeout(_START_S):
            while await self._known() != wanted:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.2)

    async def _known(self) -> set[int]:
        try:
            async with self._admin() as admin:
                return {broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]}
        except KafkaError:
            return set()

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


@asynccontextmanager
async def three_brokers(directory: Path) -> AsyncIterator[Brokers]:
    """Three brokers that serve."""
    jars = directory / "jars"
    copy = ["-B", "-q", "-f", str(_KAFKA / "pom.xml"), "dependency:copy-dependencies"]
    scope = ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    maven = await asyncio.create_subprocess_exec("mvn", *copy, *scope)
    assert await maven.wait() == 0
    controllers = {node: free_port() for node in range(1, _NODES + 1)}
    brokers = Brokers([Broker(node, directory / f"broker-{node}", jars, free_port()) for node in controllers])
    try:
        for broker in brokers.all:
            broker.format("YWxsLW9mLXRoZS1icm9rZQ", controllers)
            broker.start()
        await brokers.settle()
        yield brokers
    finally:
        for broker in brokers.all:
            broker.kill()
