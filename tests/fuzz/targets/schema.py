"""Text of a feature schema file, YAML or JSON.

It is refused with every mistake in words, or read; what was read is written and read back the same, and
judges any record, alone and in a chunk alike.
"""

from __future__ import annotations

from monitor.core.errors import SchemaError
from monitor.core.schema import FeatureSchema
from tests.fuzz.feed import Feed
from tests.fuzz.targets.target import Target

_RECORDS_BYTES = 64


def run(data: bytes) -> None:
    text = data[_RECORDS_BYTES:].decode("utf-8", "replace")
    try:
        schema = FeatureSchema.parse(text)
    except SchemaError as error:
        assert error.problems, "a refusal says why"
        assert all(problem.isprintable() for problem in error.problems), "in words that move no cursor"
        assert all(len(problem) < 3_000 for problem in error.problems), "that can be read"
        return
    assert FeatureSchema.parse(schema.text()) == schema, "written and read back the same"
    feed = Feed(data[:_RECORDS_BYTES])
    names = [*schema.features, "surplus"]
    records = [{feed.pick(names): feed.value(1) for _ in range(feed.below(4))} for _ in range(3)]
    chunk = schema.compiled.check_chunk(records)
    for number, record in enumerate(records):
        alone = schema.check(record)
        found = [chunk.explain(records, place) for place in range(len(chunk)) if chunk.row[place] == number]
        assert found == alone, "a chunk judges as each alone"
        for violation in alone:
            assert violation.message.isprintable(), "a violation moves no cursor"


_ZEROS = b"\0" * _RECORDS_BYTES

TARGET = Target(
    run,
    seeds=tuple(
        _ZEROS + text
        for text in (
            b"features:\n  age: {type: integer, minimum: 0, maximum: 120, unit: years}\n",
            b"version: 1\nunexpected: tolerate\ntolerated: 0.01\nfeatures:\n  sex:\n    type: category\n"
            b"    categories: [Female, Male]\n    closed: false\n    sensitive: true\n",
            b'{"features": {"code": {"type": "string", "pattern": "[A-Z]{2}", "max_length": 5}}}',
            b"features:\n  b: {type: boolean, required: false, immutable: true, note: x}\n  a: {type: any}\n",
            b"features:\n  x:\n    type: number\n    reference: {rows: 3, edges: [1], counts: [2, 1]}\n",
            b"features:\n  x:\n    type: category\n    closed: no\n    reference: {rows: 2, values: {a: 2},"
            b"      text: {floor: -3, bigrams: {'^a': 2, 'a$': 2}, typos: true}}\n",
            b"probes: {counterfactual: 1%}\nfeatures: &a {x: {type: number}}\n",
            b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        )
    ),
)
