"""Records read straight into typed columns: the common case of decoding and judging, in one compiled pass.

A msgspec decoder is built per mapping and schema: it knows every path that will be read and what each feature
must be. What it refuses, or is not sure of, goes the exact way (`decode_chunk`, the schema's judges), one
record at a time: it may refuse a record that is right, and never passes one that is wrong. Fields nobody
reads are skipped, not decoded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.core.columns import Columns
from monitor.core.decode import (
    PROBE_PREFIX,
    Limits,
    RawRecord,
    Rejected,
    by_model,
    decode_chunk,
    is_deeper,
)
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.plan import ModelPlan
from monitor.core.readable import Readable, decoded
from monitor.core.typed_layout import Layout, Unsuited, steps_of

Ints = NDArray[np.int64]

_BLOCK_ROWS: Final = 128
"""Records decoded before they are taken apart: as many as a core's cache holds."""

_DIGITS_MAX: Final = 4_300
_LONG_NUMBER: Final = re.compile(rb"(?<!\d)\d{%d}" % _DIGITS_MAX)

_UNKEPT: Final = frozenset({"model", "probe"})
_REFUSALS: Final = (msgspec.DecodeError, TypeError, ValueError, RecursionError, OverflowError)


class _Taken:
    """Records of one layout as they are decoded: their places in the chunk, and a column of each place."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.rows: list[int] = []
        self.columns: list[list[Any]] = [[] for _ in layout.root.places]

    def add(self, rows: Sequence[int], structs: Sequence[Any]) -> None:
        """Take structs apart."""
        self.rows.extend(rows)
        for column, more in zip(self.columns, self.layout.root.columns(structs), strict=True):
            column.extend(more)

    def without(self, dropped: set[int]) -> _Taken:
        """All but some rows, by their places here."""
        keep = [place not in dropped for place in range(len(self.rows))]
        rest = _Taken(self.layout)
        rest.rows = list(compress(self.rows, keep))
        rest.columns = [list(compress(column, keep)) for column in self.columns]
        return rest


@dataclass(frozen=True)
class Read:
    """A chunk as it was read; together the parts account for every record.

    Attributes:
        readable: records of each model.
        rejected: what cannot be used, in offset order.
        probes: model → records that probes asked for, which are no traffic.
    """

    readable: list[Readable]
    rejected: list[Rejected]
    probes: Counter[str]


class ChunkReader:
    """Reads the chunks of one topic.

    Args:
        kind: predictions or labels.
        mapping: where the source keeps its fields.
        models: the configured models by name.
        limits: of one record.
    """

    def __init__(
        self,
        kind: Literal["predictions", "labels"],
        mapping: FieldMapping,
        models: Mapping[str, ModelPlan],
        limits: Limits,
    ) -> None:
        self._kind = kind
        self._mapping = mapping
        self._models = models
        self._limits = limits
        self._layouts: dict[type, Layout] = {}
        self._decoder: msgspec.json.Decoder[Any] | None = None
        try:
            self._build()
        except (Unsuited, TypeError, ValueError):
            self._decoder = None

    def read(self, records: Sequence[Any]) -> Read:
        """Decode a chunk.

        Args:
            records: Kafka records with `value`, `offset` and `timestamp`, in offset order.
        """
        values = [record.value or b"" for record in records]
        taken, exact = self._decode(values)
        offsets = np.array([record.offset for record in records], np.int64)
        times_ms = np.array([record.timestamp for record in records], np.int64)
        typed: dict[str, Readable] = {}
        for part in taken:
            found, suspects = self._typed(part, values, offsets, times_ms)
            exact += suspects
            if found is not None:
                typed[part.layout.plan.name] = found
        if not exact:
            return Read(list(typed.values()), [], Counter())
        exact.sort()
        raw = [RawRecord(records[i].value, records[i].offset, records[i].timestamp) for i in exact]
        rows_, rejected = decode_chunk(raw, self._mapping, self._models, self._limits)
        for name, group in by_model(rows_).items():
            one = Readable.of(group, self._mapping, self._fields(name))
            typed[name] = one if name not in typed else typed[name].merged(one, self._mapping)
        probes = Counter(row.model for row in rows_ if row.probe)
        return Read(list(typed.values()), rejected, probes)

    def _typed(
        self, part: _Taken, values: Sequence[bytes], offsets: Ints, times_ms: Ints
    ) -> tuple[Readable | None, list[int]]:
        """The records of one model as columns, without those that have to be looked at one by one."""
        layout, count = part.layout, len(part.rows)
        if not count:
            return None, []
        columns = dict(zip(layout.root.places, part.columns, strict=True))
        features = {name: column for (what, name), column in columns.items() if what == "feature"}
        fields: dict[str, Sequence[Any]] = {
            name: column
            for (what, name), column in columns.items()
            if what == "field" and name not in _UNKEPT
        }
        fields |= {name: [constant] * count for name, constant in layout.constants.items()}
        ids: Sequence[Any] = fields.pop("request_id")
        if layout.features is not None:
            features |= {name: [None] * count for name in layout.features.never}
        if set(map(type, ids)) != {str}:
            ids = [str(one) for one in ids]
        known = Columns([{}] * count, features)
        suspects = [] if layout.features is None else layout.features.suspects(known)
        if PROBE_PREFIX in "\n".join(ids):
            suspects += [i for i, one in enumerate(ids) if one.startswith(PROBE_PREFIX)]
        if suspects:
            found, more = self._typed(part.without(set(suspects)), values, offsets, times_ms)
            return found, [*more, *(part.rows[i] for i in set(suspects))]
        at = np.array(part.rows, np.int64)
        raw = values if count == len(values) else [values[i] for i in part.rows]
        return (
            Readable(
                layout.plan.name, offsets[at], times_ms[at], list(ids), fields, features,
                decoded(raw), raw.__getitem__, np.zeros(0, np.int64), known,
            ),
            [],
        )  # fmt: skip

    def _decode(self, values: Sequence[bytes]) -> tuple[list[_Taken], list[int]]:
        """Columns of each layout, and places of values that are to be read the exact way."""
        every = list(range(len(values)))
        if self._decoder is None:
            return [], every
        joined = b"".join(values)
        doubtful = set(self._odd(values, joined))
        taken, refused = self._decode_blocks(values, doubtful)
        accepted = len(values) - len(refused) - len(doubtful)
        if deep := set(self._deep(values, joined, accepted)) - doubtful:
            doubtful |= deep
            taken, refused = self._decode_blocks(values, doubtful)
        return taken, [*refused, *doubtful]

    def _decode_blocks(self, values: Sequence[bytes], skipped: set[int]) -> tuple[list[_Taken], list[int]]:
        """As `_decode`, without some; a block's structs are taken apart while they are in the cache."""
        assert self._decoder is not None
        decode = self._decoder.decode
        taken = {struct: _Taken(layout) for struct, layout in self._layouts.items()}
        refused: list[int] = []
        for start in range(0, len(values), _BLOCK_ROWS):
            block = values[start : start + _BLOCK_ROWS]
            rows: Sequence[int] = range(start, start + len(block))
            if skipped and not skipped.isdisjoint(rows):
                rows = [row for row in rows if row not in skipped]
                block = [values[row] for row in rows]
            structs: list[Any] = []
            left = map(decode, block)
            whole = True
            while True:
                try:
                    structs.extend(left)  # what came before a refusal stays in the list
                    break
                except _REFUSALS:
                    refused.append(rows[len(structs)])
                    structs.append(None)
                    whole = False
            if whole and len(taken) == 1:
                if structs:
                    taken[type(structs[0])].add(rows, structs)
                continue
            for struct, part in taken.items():
                own = [i for i, one in enumerate(structs) if type(one) is struct]
                if own:
                    part.add([rows[i] for i in own], [structs[i] for i in own])
        return list(taken.values()), refused

    def _odd(self, values: Sequence[bytes], joined: bytes) -> list[int]:
        """Values the decoder may wrongly take: it does not look into what it skips."""
        found: list[int] = []
        limits = self._limits
        if not joined.isascii():
            try:
                joined.decode()
            except UnicodeDecodeError:
                found += [i for i, value in enumerate(values) if not _is_utf8(value)]
        largest = max(map(len, values), default=0)
        if largest > min(limits.record_bytes_max, _DIGITS_MAX):
            found += [
                i for i, value in enumerate(values)
                if len(value) > limits.record_bytes_max
                or (len(value) > _DIGITS_MAX and _LONG_NUMBER.search(value))
            ]  # fmt: skip
        return found

    def _deep(self, values: Sequence[bytes], joined: bytes, accepted: int) -> list[int]:
        """Values that are nested too deeply, where so many were accepted.

        Those have an object each, and those within: only what is more may be deep nesting.
        """
        brackets = joined.count(b"{") + joined.count(b"[")
        least = min(layout.root.objects for layout in self._layouts.values())
        if brackets <= least * (accepted - 1) + self._limits.depth_max:
            return []
        return [i for i, value in enumerate(values) if is_deeper(value, self._limits.depth_max)]

    def _fields(self, name: str) -> tuple[str, ...]:
        if self._kind == "labels":
            return ("timestamp", "label")
        return ("timestamp", "model_version", *self._models[name].reading.task.fields)

    def _build(self) -> None:
        path = self._mapping.paths.get("model", "$.model")
        if path.startswith("="):
            plan = self._models.get(path[1:])
            if plan is None:
                raise Unsuited
            plans: list[ModelPlan] = [plan]
        else:
            plans = list(self._models.values())
        if not plans:
            raise Unsuited
        steps = steps_of(path) if not path.startswith("=") else ()
        if len(plans) > 1 and not (len(steps) == 1 and isinstance(steps[0], str)):
            raise Unsuited
        for plan in plans:
            layout = Layout(plan, self._mapping, self._fields(plan.name), self._kind == "predictions")
            tag = None
            if len(plans) > 1:
                tag = (str(steps[0]), plan.name)
                if steps[0] in layout.root.leaves or steps[0] in layout.root.inner:
                    raise Unsuited
            elif steps:
                layout.root.leaf(steps, ("field", "model"), Literal[plan.name], True)
            self._layouts[layout.root.struct("record", tag)] = layout
        types = tuple(self._layouts)
        union: Any = types[0]
        for other in types[1:]:
            union |= other
        self._decoder = msgspec.json.Decoder(union)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
