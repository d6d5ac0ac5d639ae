"""docs/redis.md names every key there is; its rights are tried in test_redis_access."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from monitor.edges.redis import keys

DOCS = Path(__file__).parents[2] / "docs" / "redis.md"

NOT_KEYS = {"shard", "shard_slot", "evaluator_slot", "settled"}


def test_every_key_is_documented() -> None:
    text = DOCS.read_text()
    made = [keys.META, keys.KAFKA, keys.PARTITIONS, keys.BEATS, keys.RETRACTED]
    for name, function in inspect.getmembers(keys, inspect.isfunction):
        if name in NOT_KEYS:
            continue
        arguments = ["mon:S" if parameter == "slot" else "S" if parameter == "number" else "M"
                     for parameter in inspect.signature(function).parameters]  # fmt: skip
        named = function(*arguments)
        made += [named] if isinstance(named, str) else named
    for key in made:
        # The part that tells a key from others: `{mon:S}:fence` → `:fence`, `{mon:S}:c:M:M:` → `:c:M:`.
        told_by = re.sub(r"(:M)+:?$", ":M", key.removeprefix("{mon:S}").removeprefix("{mon:eval:M}"))
        assert told_by.removesuffix(":M") in text, f"docs/redis.md does not name {key}"
