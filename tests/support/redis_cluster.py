"""A Redis Cluster of six processes on free ports: three primaries, three replicas, and what befalls them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis
from redis.crc import key_slot

from tests.support.redis_servers import Server, free_port, running

SLOTS: Final = 16_384
_PRIMARIES: Final = 3
_NODE_TIMEOUT_MS: Final = 60_000  # on a busy machine nobody is to be called dead who is not
_DEAD_AFTER_MS: Final = 1_500
_PATIENCE_S: Final = 300.0
_FAILOVER_S: Final = 6.0  # a node gives an orderly failover up after 5, and asking sooner begins it anew
_POLL_S: Final = 0.02


def slot_of(key: str) -> int:
    """The slot of a key, by its hash tag."""
    return int(key_slot(key.encode()))


def until(true: Callable[[], object], what: str) -> None:
    """Return once it is true."""
    deadline = time.monotonic() + _PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {_PATIENCE_S:.0f} s: {what}")
        time.sleep(_POLL_S)


@dataclass(eq=False)
class Node:
    """One process of a cluster, and a client that talks to it alone."""

    server: Server
    bus_port: int
    client: Any = field(init=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.client = redis.Redis(port=self.server.port, decode_responses=True, socket_timeout=10)
        self.id = self.client.execute_command("CLUSTER", "MYID")

    @property
    def alive(self) -> bool:
        return self.server.process.poll() is None

    @property
    def is_primary(self) -> bool:
        return bool(self.client.info("replication")["role"] == "master")

    def cluster(self, *words: object) -> Any:
        return self.client.execute_command("CLUSTER", *words)

    def refusals(self, code: str) -> int:
        """How often the node has answered with an error so far."""
        stats = self.client.info("errorstats")
        return int(stats.get(f"errorstat_{code}", {}).get("count", 0))

    def kill(self) -> None:
        self.server.process.kill()
        self.server.process.wait()


class Cluster:
    """Six nodes; node n + 3 begins as the replica of node n."""

    def __init__(self, nodes: list[Node], start: Callable[[], Node]) -> None:
        self.nodes = nodes
        self._start = start

    def another(self) -> Node:
        """One more node, that serves no slot yet."""
        node = self._start()
        self.nodes[0].cluster("MEET", "127.0.0.1", node.server.port, node.bus_port)
        self.nodes.append(node)
        _wait_for_each_other(self.nodes)
        # Until it has heard who serves every slot it takes no key either.
        until(lambda: "cluster_state:ok" in node.cluster("INFO"), "the new node serves")
        return node

    @property
    def url(self) -> str:
        """Of one node: clients find the others."""
        return next(node.server.url for node in self.nodes if node.alive)

    def flush(self) -> None:
        """Forget every key."""
        for node in self.nodes:
            if node.is_primary:
                node.client.flushall()

    def primary_of(self, key: str) -> Node:
        """Who serves a key, as the node itself sees it."""
        slot = slot_of(key)
        return next(
            node for node in self.nodes if node.alive and node.is_primary and _owner(node, slot) == node.id
        )

    def replica_of(self, primary: Node) -> Node:
        """Its replica that lives."""
        port = primary.server.port
        return next(
            n for n in self.nodes if n.alive and n.client.info("replication").get("master_port") == port
        )

    def migrate_half(self, key: str, target: Node, *, key_first: bool = False) -> Callable[[], None]:
        """Move half of the keys of a slot to another primary; what is returned moves the rest.

        Args:
            key: whose slot moves.
            target: where to.
            key_first: whether the key itself is in the first half.
        """
        slot, source = slot_of(key), self.primary_of(key)
        target.cluster("SETSLOT", slot, "IMPORTING", source.id)
        source.cluster("SETSLOT", slot, "MIGRATING", target.id)
        names = sorted(source.cluster("GETKEYSINSLOT", slot, 1_000_000))
        names.sort(key=lambda name: (name == key) != key_first)
        for name in names[: len(names) // 2]:
            _move(source, target, name)

        def rest() -> None:
            while names := source.cluster("GETKEYSINSLOT", slot, 1_000):
                for name in names:
                    _move(source, target, name)
            # The new owner first; who gives its last slot away becomes a replica.
            for node in (target, source):
                node.cluster("SETSLOT", slot, "NODE", target.id)
            self._agree(slot, target)

        return rest

    def _agree(self, slot: int, owner: Node) -> None:
        """Wait until every node knows the owner of a slot: replicas vote and stand by what they know."""
        alive = [node for node in self.nodes if node.alive]
        until(
            lambda: all(_owner(node, slot) == owner.id for node in alive), "all nodes know the slot's owner"
        )

    def fail_over(self, primary: Node) -> Node:
        """An orderly failover: primary and replica change places, nothing is lost."""
        replica = self.replica_of(primary)
        ask_s = time.monotonic()

        def changed() -> bool:
            nonlocal ask_s
            if time.monotonic() >= ask_s:
                try:
                    replica.cluster("FAILOVER")
                except redis.ResponseError:
                    if not replica.is_primary:
                        raise
                ask_s = time.monotonic() + _FAILOVER_S
            return replica.is_primary and not primary.is_primary

        until(changed, "failover")
        return replica

    def bury(self, primary: Node) -> Node:
        """Kill a primary. Returns its replica, once the cluster has voted for it."""
        replica = self.replica_of(primary)
        primary.kill()
        alive = [node for node in self.nodes if node.alive]
        for node in alive:
            node.client.config_set("cluster-node-timeout", _DEAD_AFTER_MS)
        until(lambda: replica.is_primary and "cluster_state:ok" in replica.cluster("INFO"), "took over")
        for node in alive:
            node.client.config_set("cluster-node-timeout", _NODE_TIMEOUT_MS)
        return replica

    def cut_off(self, primary: Node) -> Node:
        """Have a replica stand still from now on; what its primary acknowledges it will not know."""
        replica = self.replica_of(primary)
        until(
            lambda: _offset(replica, "slave_repl_offset") >= _offset(primary, "master_repl_offset"), "in step"
        )
        # It cannot log in any more, so it cannot come back once it was thrown out.
        replica.client.config_set("masterauth", "not the password")
        primary.client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        until(lambda: replica.client.info("replication")["master_link_status"] == "down", "replica cut off")
        return replica


def _move(source: Node, target: Node, name: str) -> None:
    source.client.execute_command("MIGRATE", "127.0.0.1", target.server.port, name, 0, 5_000)


def _offset(node: Node, name: str) -> int:
    return int(node.client.info("replication")[name])


def _owner(node: Node, slot: int) -> str | None:
    """Id of the primary of a slot, as a node sees it."""
    for first, last, (_, _, owner, *_), *_ in node.cluster("SLOTS"):
        if first <= slot <= last:
            return str(owner)
    return None


@contextmanager
def running_cluster(binary: str, directory: Path) -> Iterator[Cluster]:
    """Six nodes that serve."""
    with ExitStack() as stack:
        homes = (directory / str(number) for number in itertools.count())

        def start() -> Node:
            return stack.enter_context(_node(binary, next(homes)))

        nodes = [start() for _ in range(2 * _PRIMARIES)]
        _form(nodes)
        yield Cluster(nodes, start)


@contextmanager
def _node(binary: str, home: Path) -> Iterator[Node]:
    home.mkdir(exist_ok=True)
    bus_port = free_port()
    with running(
        "node", binary,
        "--cluster-enabled", "yes", "--cluster-port", str(bus_port),
        "--cluster-node-timeout", str(_NODE_TIMEOUT_MS),
        # A replica takes over however long it has been cut off.
        "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
        directory=home,
    ) as server:  # fmt: skip
        node = Node(server, bus_port)
        yield node
        node.client.close()


def _form(nodes: list[Node]) -> None:
    share = -(-SLOTS // _PRIMARIES)
    for number, node in enumerate(nodes[:_PRIMARIES]):
        node.cluster("ADDSLOTSRANGE", number * share, min((number + 1) * share, SLOTS) - 1)
        node.cluster("SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        nodes[0].cluster("MEET", "127.0.0.1", node.server.port, node.bus_port)
    _wait_for_each_other(nodes)
    replicas = nodes[_PRIMARIES:]
    for primary, replica in zip(nodes, replicas, strict=False):
        replica.cluster("REPLICATE", primary.id)
    until(
        lambda: all(n.client.info("replication")["master_link_status"] == "up" for n in replicas),
        "replicated",
    )
    until(lambda: all("cluster_state:ok" in node.cluster("INFO") for node in nodes), "the cluster serves")


def _wait_for_each_other(nodes: list[Node]) -> None:
    alive = [node for node in nodes if node.alive]
    ids = {node.id for node in alive}
    until(
        lambda: all(ids <= set(node.cluster("NODES").split()) for node in alive), "all nodes know each other"
    )
