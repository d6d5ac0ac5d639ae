"""Pages of the dashboard as HTML. Every text of a record is escaped: slice names are hostile input."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib import resources
from urllib.parse import quote

from aiohttp import web

from monitor.core.amounts import amount
from monitor.core.metrics.estimate import Estimate
from monitor.core.own_health import SILENT_S
from monitor.core.records import Alert, AlertState, Severity
from monitor.core.reports import Point, SliceReport
from monitor.core.slices.spec import slice_key
from monitor.edges.views import slice_name
from monitor.edges.web.page_data import WINDOWS, Page, Picture

_COLUMNS = 6
_TYPES = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}


def dashboard_routes(models: Sequence[str], read: Callable[[str, str], Page]) -> list[web.AbstractRouteDef]:
    """Routes: `/` leads to the first model, `/models/NAME?window=1h` is its page.

    Args:
        models: names.
        read: (model, window) → page; reads the store, in a thread.
    """
    one_at_a_time = asyncio.Lock()  # the reader is synchronous and has one connection

    async def first(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"/models/{quote(models[0])}"})

    async def model(request: web.Request) -> web.Response:
        name, window = request.match_info["name"], request.query.get("window", "1h")
        if name not in models or window not in WINDOWS:
            return web.Response(status=404, text="no such page\n")
        async with one_at_a_time:
            page = await asyncio.to_thread(read, name, window)
        return web.Response(text=html(page), content_type="text/html")

    async def static(request: web.Request) -> web.Response:
        name = request.match_info["file"]
        if name not in _TYPES:
            return web.Response(status=404, text="no such file\n")
        text = resources.files(__package__).joinpath("static", name).read_text()
        return web.Response(text=text, content_type=_TYPES[name])

    return [
        web.get("/", first),
        web.get("/models/{name}", model),
        web.get("/static/{file}", static),
    ]


def html(page: Page) -> str:
    """The whole document."""
    models = "".join(
        _link(f"/models/{quote(m)}?window={page.window}", m, m == page.model) for m in page.models
    )
    others = f"<nav>{models}</nav>" if len(page.models) > 1 else ""
    windows = "".join(_link(f"/models/{quote(page.model)}?window={w}", w, w == page.window) for w in WINDOWS)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(page.model)} · monitor</title>"
        '<link rel="stylesheet" href="/static/dashboard.css">'
        '<script defer src="/static/dashboard.js"></script>'
        f"</head><body><header><h1>{_text(page.model)}</h1>{others}<nav>{windows}</nav>"
        '<b id="stale" class="bad" hidden>Out of date: the dashboard does not answer.</b></header>'
        f"<main>{_alerts(page)}{_slices(page)}{_pictures(page.pictures)}{_labels(page)}{_own(page)}</main>"
        "</body></html>"
    )


def _alerts(page: Page) -> str:
    told = [_card("bad", f"The monitor may be blind: {c.text}", [c.advice]) for c in page.blind]
    held = [alert for alert in page.alerts if alert.state is AlertState.OPEN]
    roots = {alert.identity for alert in held} - {alert.identity for alert in held if alert.consequence_of}
    told += [
        _alert(alert, [other for other in held if other.consequence_of == alert.identity])
        for alert in held
        if alert.identity in roots or alert.consequence_of not in roots
    ]
    if not told:
        told = [_card("good", "Nothing is wrong", ["No alert stands, and the monitor is looking."])]
    known = [alert for alert in page.alerts if alert.state is AlertState.ACKNOWLEDGED]
    told += [f'<p class="dim">known: {_text(alert.summary)}</p>' for alert in known]
    return "<h2>Now</h2>" + "".join(told)


def _alert(alert: Alert, consequences: Sequence[Alert]) -> str:
    foot = f"{alert.kind.value} · since {alert.began_at:%Y-%m-%d %H:%M:%S} UTC · {alert.rows:,} rows"
    if alert.request_ids:
        foot += f" · e.g. {', '.join(alert.request_ids[:3])}"
    kind = "bad" if alert.severity is Severity.PAGE else "warn"
    followed = [f"follows: {other.summary}" for other in consequences]
    return _card(kind, alert.summary, [alert.advice], foot, [*alert.notes, *followed], alert.identity)


def _card(
    kind: str, title: str, lines: Iterable[str], foot: str = "", notes: Sequence[str] = (), key: str = ""
) -> str:
    body = "".join(f"<p>{_text(line)}</p>" for line in lines)
    small = f'<p class="dim">{_text(foot)}</p>' if foot else ""
    if notes:
        told = "".join(f"<p>{_text(note)}</p>" for note in notes)
        head = f"<summary>{len(notes)} more</summary>"
        small += f'<details class="dim" data-key="{_text(key)}">{head}{told}</details>'
    return f'<div class="card {kind}"><b>{_text(title)}</b>{body}{small}</div>'


def _slices(page: Page) -> str:
    if page.note:
        return f'<h2>Slices</h2><p class="dim">{_text(page.note)}</p>'
    names = [n for n, e in page.slices[0].metrics.items() if e.value is not None][:_COLUMNS]
    heads = "".join(
        f"<th data-sort>{_text(n.replace('_', ' '))}</th>" for n in ("slice", "requests", "labelled", *names)
    )
    rows = "".join(_row(report, names, page) for report in page.slices)
    more = f'<p class="dim">{page.beyond:,} smaller slices are not shown.</p>' if page.beyond else ""
    trend = _text(page.trend_metric.replace("_", " "))
    return (
        f'<h2>Slices, last {page.window}</h2><div class="wide tall"><table id="slices"><thead><tr>{heads}'
        f"<th>{trend}, course</th></tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )


def _row(report: SliceReport, names: Sequence[str], page: Page) -> str:
    name = slice_name(report.slice)
    share = report.labelled / report.requests
    cells = [
        f'<td data-v="{_text(name)}">{_text(name)}</td>',
        f'<td data-v="{report.requests}">{report.requests:,}</td>',
        f'<td data-v="{share}">{share:.0%}</td>',
        *(_cell(report[n]) for n in names),
    ]
    points = page.trends.get(slice_key(report.slice), ())
    return f"<tr>{''.join(cells)}<td>{_spark(points)}</td></tr>"


def _cell(estimate: Estimate) -> str:
    if estimate.value is None:
        return f'<td data-v="" title="{_text(estimate.reason or "")}">—</td>'
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"<small>{amount(estimate.low)} – {amount(estimate.high)}</small>"
    return f'<td data-v="{estimate.value}">{amount(estimate.value)}{interval}</td>'


def _spark(points: Sequence[Point]) -> str:
    found = [(i, p.estimate.value) for i, p in enumerate(points) if p.estimate.value is not None]
    if len(found) < 2:
        return ""
    low, high = min(v for _, v in found), max(v for _, v in found)
    span, width = (high - low) or 1.0, max(len(points) - 1, 1)
    path = " ".join(f"{90 * i / width:.1f},{20 - 18 * (v - low) / span:.1f}" for i, v in found)
    return f'<svg width="90" height="22" role="img"><polyline class="spark" points="{path}"/></svg>'


def _pictures(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    drawn = "".join(map(_picture, pictures))
    return (
        '<h2>Distributions</h2><p class="dim">Blue: the window. Grey: the reference.</p>'
        f'<div class="grid">{drawn}</div>'
    )


def _picture(picture: Picture) -> str:
    pairs = [picture.reference, picture.live]
    top = max((max(shares) for shares in pairs if shares), default=1.0)
    width = 200 / max(len(picture.live), 1)
    bars = []
    for kind, shares, inset, thick in (("ref", pairs[0], 0.0, 1.0), ("live", pairs[1], 0.25, 0.5)):
        for i, share in enumerate(shares):
            label = (
                f"<title>{_text(picture.labels[i])}: {share:.1%}</title>" if i < len(picture.labels) else ""
            )
            tall = 56 * share / top
            bars.append(
                f'<rect class="{kind}" x="{(i + inset) * width:.1f}" y="{60 - tall:.1f}" '
                f'width="{width * thick * 0.92:.1f}" height="{tall:.1f}">{label}</rect>'
            )
    name = "score" if picture.name == "@score" else picture.name
    return (
        f"<figure><figcaption>{_text(name)}</figcaption>"
        f'<svg viewBox="0 0 200 60" width="200" height="60" role="img">{"".join(bars)}</svg></figure>'
    )


def _labels(page: Page) -> str:
    if page.join is None:
        return ""
    shown = [
        (name, count) for name, count in (*page.join.counts.items(), ("orphans", page.join.orphans)) if count
    ]
    body = " · ".join(f"{_text(name.replace('_', ' '))} {count:,}" for name, count in shown)
    return f"<h2>Label join</h2><p>{body or 'nothing out of the ordinary'}</p>"


def _own(page: Page) -> str:
    rows = []
    for report, silent_s in page.own.workers:
        state = "bad" if silent_s > SILENT_S else "good"
        flush = (
            "—"
            if report.flush_ms_p50 is None
            else f"{report.flush_ms_p50:.0f} / {report.flush_ms_p99:.0f} ms"
        )
        rejected = sum(report.rejected.values())
        rows.append(
            f'<tr><td>{_text(report.worker)}</td><td class="{state}">{silent_s:.0f} s ago</td>'
            f"<td>{report.partitions}</td><td>{report.records:,}</td><td>{report.lag:,}</td>"
            f"<td>{report.fence_age_s:.0f} s</td><td>{flush}</td><td>{rejected:,}</td></tr>"
        )
    heads = "".join(
        f"<th>{text}</th>"
        for text in (
            "worker",
            "heard of",
            "partitions",
            "records",
            "lag",
            "fence age",
            "flush p50 / p99",
            "unreadable",
        )
    )
    boxes = " · ".join(
        f"{_text(name)}: {box.waiting:,} waiting, {box.dropped:,} dropped"
        for name, box in page.own.outboxes.items()
    )
    lost = sum(lost.records for lost in page.own.lost.values())
    return (
        f'<h2>The monitor itself</h2><div class="wide"><table id="workers"><thead><tr>{heads}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><p class="dim">{boxes} · records lost: {lost:,}</p>'
    )


def _link(target: str, text: str, here: bool) -> str:
    return f'<a {"class=here " if here else ""}href="{target}">{_text(text)}</a>'


def _text(text: str) -> str:
    # A lone surrogate, which JSON can carry, has no UTF-8 form.
    return escape(text.encode("utf-8", "backslashreplace").decode(), quote=True)
