"""Bytes of prediction and label records: the decoder, the compiled reader and the mapping.

The compiled reader and the exact way say the same; every record is a row, a probe or a reject with a reason;
good records at both ends of the chunk come out as they do alone; a dead letter can be read back.
"""

from __future__ import annotations

from monitor.core.decode import Limits, dead_letter
from monitor.core.mapping import Mapping
from monitor.core.readable import features_of
from monitor.core.records import DeadLetter
from monitor.core.typed_reader import Read
from tests.fuzz.targets.target import Target
from tests.support.two_ways import GOOD, MAPPINGS, PLANS, same_labels, same_predictions, written

_APART = b"\x1e"
_LIMITS = (Limits(), Limits(record_bytes_max=300, depth_max=3))
_FIRST, _LAST = written("one", {"request_id": '"first"'}, None, 0), written("one", {}, None, 77)


def run(data: bytes) -> None:
    config, records = data[:1] or b"\0", data[1:].split(_APART)
    bits = config[0]
    mapping = Mapping.parse(MAPPINGS[bits & 3])
    known = dict(list(PLANS["violate" if bits & 4 else "tolerate"].items())[: 1 + (bits >> 4) % 3])
    if bits & 8:
        read = same_labels(records, mapping, known)
    else:
        neighbours = not bits & 3 and not bits & 0x40
        values = [_FIRST, *records, _LAST] if neighbours else records
        read = same_predictions(values, mapping, known, _LIMITS[bits >> 6 & 1])
        if neighbours:
            _untouched(read, len(values), mapping)
        records = values
    rows = sum(len(found) for found in read.readable)
    assert rows + len(read.rejected) + sum(read.probes.values()) == len(records), (
        "every record is accounted for"
    )
    for rejected in read.rejected:
        letter = DeadLetter.model_validate_json(dead_letter(rejected, "topic", 0))
        assert letter.reason == rejected.reason.value
        assert letter.value_head.isascii(), "a dead letter is plain text"
        assert letter.value_head.isprintable(), "a dead letter moves no cursor"


def _untouched(read: Read, count: int, mapping: Mapping) -> None:
    (one,) = [found for found in read.readable if found.model == "one"]
    offsets = one.offsets.tolist()
    assert offsets[0] == 0, "the first is read"
    assert offsets[-1] == count - 1, "the last is read"
    for row, name in ((0, "first"), (len(offsets) - 1, "r-77")):
        assert one.request_ids[row] == name
        assert features_of(one.bodies(row), mapping) == GOOD
        assert one.fields["score"][row] == 0.75


TARGET = Target(
    run,
    seeds=(
        b"\x00" + written("one", {}, None, 1) + _APART + written("two", {"score": "2"}, None, 2),
        b"\x24" + _APART.join(written(name, {"extra": '"x"'}, None, 3) for name in ("one", "two", "three")),
        b"\x05" + b'{"meta":{"id":"r"},"payload":{"inputs":{"age":39}},"score":0.5}',
        b"\x06" + b'{"request_id":"r","model":"one","age":39,"sex":"Male","out":{"p":0.5}}',
        b"\x03" + b'{"rows":["r"],"model":"one","features":{"age":1e1,"code":"B2"},"probe":true}',
        b"\x28"
        + b'{"request_id":"r","model":"one","label":1}\x1e{"request_id":7,"model":"three","label":1.5}',
        b"\x40" + b'{"request_id":"r","model":"one","features":[[[[1]]]],"timestamp":"2023-11-14"}',
        b"\x24" + b'{"request_id":"r","model":"two","probabilities":{"a":0.2,"b":0.5,"c":0.3}}',
    ),
)
