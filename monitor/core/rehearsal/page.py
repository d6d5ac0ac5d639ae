"""The report as one HTML file that asks for nothing: no script, no font, no image from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from monitor.core.probes.answers import NEAR_IQR
from monitor.core.probes.type_conversion import VARIANTS
from monitor.core.rehearsal import plots
from monitor.core.rehearsal.style import STYLE

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_WORST_TYPES: Final = 25
_NOTHING: Final = "<li><span>nothing found</span></li>"
_CASES_SHOWN: Final = 20
_FEATURES_SHOWN: Final = 5


def page(document: Mapping[str, Any]) -> str:
    """HTML of a document of `monitor.core.rehearsal.document`."""
    about = document["about"]
    body = "".join(
        [
            _head(document),
            _tolerances(document["tolerances"]),
            _probes(document["probes"]),
            _distances(document["distances"]),
            _curves(document["curves"], about["threshold"]),
            _pairs(document["pairs"], document["surfaces"], about["threshold"]),
            _types(document["types"]),
            _cases(document["cases"]),
        ]
    )
    title = escape(f"Probes of {about['model']}")
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
    # A lone surrogate, which JSON can carry, has no UTF-8 form.
    return text.encode("utf-8", "backslashreplace").decode()


def _head(document: Mapping[str, Any]) -> str:
    about = document["about"]
    broken = [one["probe"] for one in document["tolerances"] if one["broken"]]
    if broken:
        verdict = f'<span class="verdict bad">held up: {escape(", ".join(broken))}</span>'
    elif document["tolerances"]:
        verdict = '<span class="verdict good">within every stated tolerance</span>'
    else:
        verdict = '<span class="verdict">no tolerance stated</span>'
    facts = [
        (f"{about['requests']:,}", "requests probed"),
        (f"{about['rows']:,}", "rows sent"),
        (f"{sum(about['errors'].values()):,}", "answered with an error"),
        ("—" if about["threshold"] is None else f"{about['threshold']:g}", "threshold"),
    ]
    notes = []
    if about["unsteady"]:
        notes.append(
            f"{about['unsteady']} requests were answered otherwise when asked again: a model that does not "
            "repeat itself is blamed for that and for nothing else, so they were left out."
        )
    if about["refused"]:
        notes.append(f"{about['refused']} requests of the sample were not answered at all.")
    if about["errors"]:
        words = ", ".join(f"{name} {count:,}" for name, count in about["errors"].items())
        notes.append(f"Errors: {words}.")
    cards = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in facts)
    return (
        f"<header><p class='kind'>Probes before a release</p><h1>{escape(about['model'])}</h1>{verdict}"
        f"<p class='faint'>{' · '.join(escape(about[key]) for key in ('endpoint', 'sample', 'at'))}</p>"
        f"<div class='facts'>{cards}</div>{''.join(f'<p>{escape(note)}</p>' for note in notes)}</header>"
    )


def _tolerances(tolerances: Sequence[Mapping[str, Any]]) -> str:
    if not tolerances:
        return ""
    rows = []
    for one in tolerances:
        words = "kept" if not one["broken"] else "broken" if one["trials"] else "not tried"
        mark = f'<td class="{"bad" if one["broken"] else "good"}">{words}</td>'
        where = f" <span class='faint'>({escape(one['where'])})</span>" if one["where"] else ""
        rows.append(
            f"<tr><th>{escape(one['probe'])}</th><td>{escape(one['finding'])}{where}</td>"
            f"<td class='n'>{one['allowed']:.2%}</td><td class='n'>{one['measured']:.2%}</td>"
            f"<td class='n'>{one['count']} of {one['trials']}</td>{mark}</tr>"
        )
    numbers = "<th class='n'>allowed</th><th class='n'>measured</th><th></th><th></th>"
    head = f"<tr><th>probe</th><th>finding</th>{numbers}</tr>"
    return _section(
        "Tolerances", "", f"<div class='wide'><table><thead>{head}</thead>{''.join(rows)}</table></div>"
    )


def _probes(probes: Sequence[Mapping[str, Any]]) -> str:
    cards = []
    for probe in probes:
        part = probe["part"]
        shown = [one for one in probe["features"] if (one["feature"] == "") == probe["whole"]]
        found = [one for one in shown if one[part]]
        lines = "".join(
            f"<li><span>{escape(one['feature'] or 'requests')}</span><b>{one[part] / one['trials']:.0%}</b>"
            f"<small>{one[part]} of {one['trials']}</small></li>"
            for one in found[:_FEATURES_SHOWN]
        )
        more = len(found) - _FEATURES_SHOWN
        rest = f"<p class='faint'>and {more} more features</p>" if more > 0 else ""
        refused = sum(one["errors"] for one in probe["features"])
        said = f" · {refused:,} refused" if refused else ""
        cards.append(
            f"<article class='{'hit' if found else ''}'><h3>{escape(probe['probe'])}</h3>"
            f"<p>{escape(probe['finding'])}</p><ul>{lines or _NOTHING}</ul>{rest}"
            f"<p class='faint'>{probe['rows']:,} rows{said}</p></article>"
        )
    return _section(
        "What was found",
        "Share of requests; the worst features first.",
        f"<div class='cards'>{''.join(cards)}</div>",
    )


def _distances(found: Mapping[str, Mapping[str, Any]]) -> str:
    if not any(one["iqr"] for one in found.values()):
        return ""
    most = dict(list(found.items())[:20])
    return _section(
        "How near the decision flips",
        "Each dot is a request: the least change of that feature alone that flips it, in interquartile "
        f"ranges (IQR). Within {NEAR_IQR:g} IQR it is near: noise in the input could bring it. The bar is "
        "the share of requests that flip at all. A category is 1 from any other.",
        f"<figure class='wide'>{plots.distances(most, NEAR_IQR)}</figure>",
    )


def _curves(curves: Mapping[str, Sequence[Mapping[str, Any]]], threshold: float | None) -> str:
    drawn = "".join(
        f"<figure>{plots.curve(name, series, threshold)}</figure>" for name, series in curves.items()
    )
    if not drawn:
        return ""
    return _section(
        "The score along a feature",
        "One line a request, everything else equal; the dot is where the request is, the dashed line the "
        "threshold. A cliff is a sharp edge, a crossing a flip.",
        f"<div class='plots'>{drawn}</div>",
    )


def _pairs(
    pairs: Sequence[Mapping[str, Any]], surfaces: Sequence[Mapping[str, Any]], threshold: float | None
) -> str:
    parts = []
    if pairs:
        parts.append(f"<figure>{plots.pair_map(pairs)}</figure>")
    parts += [
        f"<figure>{plots.surface(one, threshold)}"
        f"<figcaption>request {escape(one['request_id'])}</figcaption></figure>"
        for one in surfaces
    ]
    if not parts:
        return ""
    words = (
        "The map counts requests in which two features flip the decision, or move the score far, only "
        "together. "
        if pairs
        else "No two features act only together; these two move the score most. "
    )
    return _section(
        "Pairs of features",
        words
        + "The rest is the score over two features of one request: blue decides against, orange for, the "
        "line is the threshold, the ring the request, the cross what a probe asked.",
        f"<div class='plots'>{''.join(parts)}</div>",
    )


def _types(types: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    if not types:
        return ""
    head = "".join(f"<th class='turn'><span>{escape(variant)}</span></th>" for variant in VARIANTS)
    rows = []
    for name, variants in list(types.items())[:_WORST_TYPES]:
        cells = "".join(_type_cell(variants.get(variant)) for variant in VARIANTS)
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    key = (
        "<p class='key'><i class='same'></i> same <i class='refused'></i> refused "
        "<i class='different'></i> silently different (share of requests) <i class='none'></i> not asked</p>"
    )
    return _section(
        "The same value as another type",
        'Is 39 sent as "39", null or true read the same, refused, or silently read as something else?',
        f"{key}<div class='wide'><table class='types'><thead><tr><th></th>{head}</tr></thead>"
        f"{''.join(rows)}</table></div>",
    )


def _type_cell(cell: Mapping[str, int] | None) -> str:
    if cell is None:
        return "<td class='none'></td>"
    total = cell["same"] + cell["refused"] + cell["different"]
    words = ", ".join(f"{what} {cell[what]}" for what in ("same", "refused", "different", "flips"))
    if cell["different"]:
        return f"<td class='different' title='{words}'>{cell['different'] / max(total, 1):.0%}</td>"
    kind = "refused" if cell["refused"] > cell["same"] else "same"
    return f"<td class='{kind}' title='{words}'></td>"


def _cases(cases: Sequence[Mapping[str, Any]]) -> str:
    if not cases:
        return ""
    rows = []
    for case in cases[:_CASES_SHOWN]:
        text = escape(json.dumps(case, ensure_ascii=False, indent=1))
        flip = "<span class='tag'>flips</span>" if case["flipped"] else ""
        rows.append(
            f"<details><summary><b>{escape(case['change'])}</b> {flip}"
            f"<span class='faint'>{escape(case['probe'])} · "
            f"{_answer(case['before'])} → {_answer(case['after'])} · {escape(case['request_id'])}</span>"
            f"</summary><pre>{text}</pre></details>"
        )
    return _section(
        "Worst cases",
        "Flips first, then the largest change of the score for the least change of the input. To ask one "
        "again, save what it unfolds to and run <code>monitor probe --replay case.json --model-url …</code>",
        "".join(rows),
    )


def _answer(answer: Mapping[str, Any]) -> str:
    return escape(answer["error"] or f"{answer['score']:.4g}")


def _section(title: str, words: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{f'<p>{words}</p>' if words else ''}{body}</section>"
