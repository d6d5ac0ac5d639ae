"""A model before a release, probed: hostile names and values in the sample, hostile scores in the answers.

The probes end within their number of rows, and what they found is a page without a foreign tag, JSON, and a
table that moves no cursor.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any
from zlib import crc32

from monitor.cli.common import console
from monitor.cli.probe_tables import print_rehearsal
from monitor.core.errors import SchemaError, ServiceError
from monitor.core.probes import Answer, Constraints, FeatureSpace
from monitor.core.probes.answers import is_score
from monitor.core.probes.pairs import pairs_of
from monitor.core.rehearsal.page import page
from monitor.core.schema.inference import infer
from monitor.edges.rehearsal import Rehearsal, rehearse
from tests.fuzz.feed import Feed
from tests.fuzz.loop import done
from tests.fuzz.targets.target import Target

_ERRORS = ("http 400", "http 500", "not a number", "row count", "refused")
_TAGS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "section",
        "h1",
        "h2",
        "h3",
        "p",
        "b",
        "ul",
        "li",
        "span",
        "small",
        "div",
        "article",
        "figure",
        "figcaption",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "pre",
        "code",
        "i",
        "svg",
        "g",
        "path",
        "line",
        "rect",
        "circle",
        "text",
        "polyline",
        "polygon",
        "title",
        "tspan",
        "defs",
        "clippath",
        "use",
        "desc",
        "ellipse",
    ]
)
_ROWS_MAX = 20_000


class _Tags(HTMLParser):
    """Names of elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


class _Model:
    """Answers each row from a small table, always the same."""

    def __init__(self, feed: Feed) -> None:
        self._table = [_answer(feed) for _ in range(1 + feed.below(8))]
        self.rows = 0

    async def ask(self, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        self.rows += len(rows)
        return [self._table[crc32(json.dumps(row, default=str).encode()) % len(self._table)] for row in rows]

    async def close(self) -> None:
        pass


def _answer(feed: Feed) -> Answer:
    if not feed.below(6):
        return Answer(error=feed.pick(_ERRORS))
    try:
        score = float(feed.number())
    except OverflowError:
        score = 1e308
    score = score if is_score(score) else 0.5  # the client saw to it
    return Answer(score, feed.pick((None, 0, 1, -1, 2**31)))


def run(data: bytes) -> None:
    feed = Feed(data)
    model = _Model(feed)
    names = [feed.text() or "age" for _ in range(1 + feed.below(3))]
    rows = [{name: feed.value(1) for name in names} for _ in range(2 + feed.below(4))]
    rows += [{name: (feed.pick(("a", "b")) if n else feed.below(99)) for n, name in enumerate(names)}] * 3
    try:
        schema = infer(rows)
    except SchemaError:
        return
    protected = tuple(name for name in schema.features if feed.flag())
    space = FeatureSpace.of(schema, Constraints(protected=protected), pairs_of(schema, rows))
    records = [{"features": row, "request_id": feed.text()} for row in rows]
    plan = Rehearsal(feed.text(), "http://m/p", feed.text(), space, feed.pick((0.5, None, 0.0, 1.0)), 2)
    try:
        told = done(rehearse(plan, records, model, "2026-01-01 00:00 UTC"))
    except ServiceError:
        return
    assert model.rows <= _ROWS_MAX, "probes stay within their rows"
    text = page(told)
    text.encode()
    found = _Tags(text)
    assert found.names <= _TAGS, "no element but the page's own"
    assert not any(name.startswith("on") or name in {"src", "href"} for name in found.attributes)
    json.dumps(told, allow_nan=False)
    paper = io.StringIO()
    out = console()
    out.file = paper
    print_rehearsal(out, told, "probes.html")
    assert all(line.isprintable() for line in paper.getvalue().split("\n")), "a terminal obeys nothing"


TARGET = Target(
    run,
    seeds=(
        bytes(range(200)),
        b"\x03\x01\x03\x50\x01\x03\x20\x00\x01\x03\x45\x02\x01\x03" * 12,
        b"\x02\x05\x03\x63\x00\x05\x03\x10\x01\x01\x00\x0f\x01\x00\x10" * 10,
    ),
    bytes_max=400,
)
