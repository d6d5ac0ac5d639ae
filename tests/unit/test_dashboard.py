"""The dashboard: what it shows, and that hostile names stay text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import aiohttp
import pytest

from monitor.core.metrics.estimate import Estimate
from monitor.core.own_health import Blindness, Cause, OwnHealth, WorkerReport
from monitor.core.records import Alert, AlertKind, AlertState, Severity
from monitor.core.reports import JoinReport, Point, SliceReport
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import Binary, Multiclass, Regression, Task
from monitor.core.windows import Window
from monitor.edges.reader import MetricsReader
from monitor.edges.web.dashboard import dashboard_routes, html
from monitor.edges.web.page_data import Page, Picture, page
from monitor.edges.web.server import Access, WebServer
from tests.unit.test_tasks import MODEL, counted, label, record

WINDOW = Window(0, 60, 0, 60, ())
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>\ud800'"


class Tags(HTMLParser):
    """Names and attributes of all elements, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(slice_: dict[str, str], *, blind: bool = False) -> Page:
    metrics = {"accuracy": Estimate(0.83, 0.8, 0.86), "recall": Estimate.undefined("no labelled rows")}
    reports = [SliceReport({}, 200, 100, metrics, WINDOW), SliceReport(slice_, 50, 5, metrics, WINDOW)]
    points = [Point(i, i + 1, 10, Estimate(0.8 + i / 100)) for i in range(3)]
    report = WorkerReport(worker=HOSTILE.replace("\ud800", ""), rejected={"not_json": 3})
    cause = Cause(Blindness.NO_WORKER, "", "no worker runs", "Start `monitor run`.")
    return Page(
        "m", ["m", "other"], "1h", [], OwnHealth(0, [(report, 1.0)]), [cause] if blind else [],
        reports, 0, {slice_key(slice_): points}, "accuracy", JoinReport({"duplicates": 2}, 1, WINDOW),
        [Picture(HOSTILE, [0.4, 0.6], [0.5, 0.5], [HOSTILE, "b"])],
    )  # fmt: skip


def alert_of(identity: str, summary: str, consequence_of: str | None = None) -> Alert:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Alert(
        identity=identity, alert_id=identity, lease_epoch=1, sequence=1, state=AlertState.OPEN,
        severity=Severity.PAGE, model="m", kind=AlertKind.DRIFT, subject={"feature": identity},
        summary=summary, advice="Look.", began_at=at, opened_at=at, published_at=at, log_evidence=9.0,
        log_threshold=5.0, effect=0.3, effect_unit="psi", rows=10, consequence_of=consequence_of,
    )  # fmt: skip


def test_hostile_names_stay_text() -> None:
    found = Tags(html(page_of({"city": HOSTILE})))
    assert found.names.count("script") == 1, "the page's own"
    assert "img" not in found.names
    assert "onerror" not in found.attributes
    assert "style" not in found.attributes, "the policy would refuse it"
    assert "<script>alert(1)</script>" in found.text


def test_a_page_shows_metrics_with_intervals_and_courses() -> None:
    text = html(page_of({"sex": "Female"}))
    found = Tags(text)
    for part in ("sex=Female", "0.83", "0.8 – 0.86", "duplicates 2", "orphans 1", "Nothing is wrong"):
        assert part in found.text
    assert found.names.count("polyline") == 1
    assert "recall" not in found.text, "undefined for all traffic: no column"


class Calm:
    """A monitor that is well."""

    def alerts(self, model: str) -> dict[str, bytes]:
        return {}

    def own_health(self, models: Sequence[str]) -> OwnHealth:
        return OwnHealth(0, [])

    def evaluated_s(self, models: Sequence[str]) -> dict[str, float | None]:
        return dict.fromkeys(models, 1.0)


@pytest.mark.parametrize(
    ("task", "answer", "truth", "trend"),
    [
        (Binary(), {"score": 0.7}, 1, "accuracy"),
        (Multiclass(("a", "b")), {"probabilities": {"a": 0.9, "b": 0.1}}, "a", "accuracy"),
        (Regression(), {"value": 3.0}, 2.5, "mae"),
    ],
    ids=["binary", "multiclass", "regression"],
)
@pytest.mark.parametrize(("wait_s", "orphans"), [(86_400, 0), (0, 1)])
def test_every_task_has_a_page(
    task: Task, answer: dict[str, object], truth: object, trend: str, wait_s: int, orphans: int
) -> None:
    labels = [*(label(i, truth) for i in range(20)), label(99, truth)]
    store = counted(task, [record(i, **answer) for i in range(20)], labels)
    found = page(Calm(), MetricsReader(store.reader()), {MODEL: None}, {MODEL: wait_s}, MODEL, "1h")
    assert found.note == ""
    assert found.trend_metric == trend
    assert {report.requests for report in found.slices if not report.slice} == {20}
    (point,) = (point for point in found.trends[slice_key({})] if point.requests)
    assert point.estimate.value == (1.0 if trend == "accuracy" else 0.5)
    assert found.join is not None
    assert found.join.orphans == orphans, "a label that may still find its prediction is no orphan"
    assert trend in Tags(html(found)).text


def test_long_numbers_are_grouped() -> None:
    prices = {"mae": Estimate(165_432.1, 98_765.4, 2e9)}
    page = replace(page_of({"sex": "F"}), slices=[SliceReport({}, 2, 2, prices, WINDOW)], trend_metric="mae")
    assert "165,43298,765 – 2e+09" in Tags(html(page)).text


def test_what_follows_from_an_alert_is_folded_into_it() -> None:
    root = alert_of("a", "gender is missing")
    follower, stranger = (
        alert_of("b", "the score drifted", "a"),
        alert_of("c", "of one long resolved", "gone"),
    )
    page = replace(page_of({"sex": "Female"}), alerts=[follower, root, stranger])
    found = Tags(html(page))
    titles = [card.split("</b>")[0].split("<b>")[1] for card in html(page).split('class="card ')[1:]]
    assert titles == ["gender is missing", "of one long resolved"]
    assert "follows: the score drifted" in found.text


def test_blind_is_not_well() -> None:
    text = Tags(html(page_of({"sex": "Female"}, blind=True))).text
    assert "The monitor may be blind: no worker runs" in text
    assert "Nothing is wrong" not in text


async def test_only_what_is_there_is_served() -> None:
    routes = dashboard_routes(["m"], lambda model, window: page_of({"sex": "Female"}))
    async with WebServer(routes, "127.0.0.1", 0, Access()) as server, aiohttp.ClientSession() as client:
        for path, status in (
            ("/", 200), ("/models/m?window=5m", 200), ("/models/m?window=9y", 404), ("/models/x", 404),
            ("/static/dashboard.js", 200), ("/static/dashboard.css", 200), ("/static/..%2fserver.py", 404),
        ):  # fmt: skip
            answer = await client.get(f"{server.url}{path}")
            assert answer.status == status, path
            await answer.read()
