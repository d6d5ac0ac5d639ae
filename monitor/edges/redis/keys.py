"""Every key the monitor writes, in one place; `docs/redis.md` describes each.

All keys of a shard carry its hash tag, so that on Redis Cluster a flush is one script on one slot; all of
a model's evaluator state shares another. Keys without a tag are read and written one at a time.
"""

from __future__ import annotations

from typing import Final

META: Final = "mon:meta"
"""Hash: layout version, shard count, stub parts, label waits, as fixed at first start."""

KAFKA: Final = "mon:kafka"
"""Hash: which cluster and topics the fences are of."""

PARTITIONS: Final = "mon:partitions"
"""Hash: every registered partition → `START:pending` or `START:done`."""

BEATS: Final = "mon:beats"
"""Hash: partition → `POSITION:END:TIME_MS` as its owner last reported."""

WORKERS: Final = "mon:workers"
"""Hash: worker → `TIME_MS:REPORT`, what each says of itself (JSON)."""

LOST: Final = "mon:lost"
"""Hash: partition → `RECORDS:FENCE:EARLIEST:TIME_MS`: deleted before they were read."""

RETRACTED: Final = ":retracted"
"""Suffix of the twin that holds what corrections took back."""


def shard(number: int) -> str:
    """Prefix of everything in a shard."""
    return f"{{mon:{number}}}:"


def fence(number: int) -> str:
    """Hash: partition → `OFFSET:WATERMARK_MS`."""
    return f"{{mon:{number}}}:fence"


def settled(number: int) -> tuple[str, str]:
    """Two keys that never exist, named to every script that touches keys it was not told by name.

    While the slot of a shard moves to another node of a cluster its keys are on two nodes: on one a script
    would stop half-way at the first key that has gone, on the other take for absent what has not yet come.
    A server that is told of two keys and finds one missing refuses (TRYAGAIN) before the script begins.
    """
    return f"{{mon:{number}}}:settled:a", f"{{mon:{number}}}:settled:b"


def registered(number: int) -> str:
    """Set: partitions whose start was written to this shard."""
    return f"{{mon:{number}}}:registered"


def stubs(number: int, model: str) -> str:
    """Prefix of a model's stub hashes; generation and part follow (`1234:7`)."""
    return f"{{mon:{number}}}:stubs:{model}:"


def counters(number: int, model: str, tier: str) -> str:
    """Prefix of a model's counter arrays in a tier; `BUCKET:KIND:SLICE` follows."""
    return f"{{mon:{number}}}:c:{model}:{tier}:"


def buckets(number: int, model: str, tier: str) -> str:
    """Sorted set: bucket starts with traffic in a tier."""
    return f"{{mon:{number}}}:buckets:{model}:{tier}"


def ids(number: int, model: str, family: str) -> str:
    """Hash: name → `ID:CHAIN`; shard 0 assigns, the others hold a copy the flush is checked against."""
    return f"{{mon:{number}}}:ids:{model}:{family}"


def evidence(number: int, name: str) -> str:
    """List: the newest samples under a list name (`MODEL/violations/FEATURE/CODE`)."""
    return f"{{mon:{number}}}:evidence:{name}"


def probe_budget(number: int, model: str) -> str:
    """String: until when the reserved rows of a model's budget last, epoch us."""
    return f"{{mon:{number}}}:probes:{model}:budget"


def probe_sequence(number: int, model: str, owner: str) -> str:
    """String: sequence of a prober's last results."""
    return f"{{mon:{number}}}:probes:{model}:sequence:{owner}"


def probe_cases(number: int, model: str) -> str:
    """Hash: id of one of the worst cases → rank, group, time and record, msgpack."""
    return f"{{mon:{number}}}:probes:{model}:cases"


def outbox(slot: str) -> str:
    """Stream: records waiting to be published; `slot` as `shard_slot` or `evaluator_slot` say."""
    return f"{{{slot}}}:outbox"


def outbox_dropped(slot: str) -> str:
    """Counter: records that fell beyond the outbox's bound."""
    return f"{{{slot}}}:outbox:dropped"


def outbox_publisher(slot: str) -> str:
    """String: the worker that publishes this outbox; expires when it stops."""
    return f"{{{slot}}}:outbox:publisher"


def shard_slot(number: int) -> str:
    """Hash tag of a shard."""
    return f"mon:{number}"


def evaluator_slot(model: str) -> str:
    """Hash tag of a model's evaluator."""
    return f"mon:eval:{model}"


def lease(model: str) -> str:
    """String: who evaluates the model now; expires."""
    return f"{{mon:eval:{model}}}:lease"


def epoch(model: str) -> str:
    """String: epoch of the last lease granted."""
    return f"{{mon:eval:{model}}}:epoch"


def state(model: str) -> str:
    """Hash: `sequence` and `state` of the evaluator."""
    return f"{{mon:eval:{model}}}:state"


def alerts(model: str) -> str:
    """Hash: alert identity → its present form."""
    return f"{{mon:eval:{model}}}:alerts"


def view(model: str, name: str) -> str:
    """Hash for people: metric → text, of one window and slice (`5m/all`)."""
    return f"mon:view:{model}:{name}"
