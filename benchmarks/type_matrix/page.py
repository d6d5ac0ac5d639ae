"""types.md, from the key `types` of probes.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.core.probes.type_conversion import VARIANTS

_MARKS = {"same": "·", "refused": "refused", "different": "**different**"}


def page(types: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown."""
    text = [
        "# The same value as another type",
        "",
        "`make bench-types` writes this page. Each library serves a model of five features over HTTP,",
        "written as its users write it (`benchmarks/type_matrix/models.py`), nothing checked; the probe",
        "`type_conversion` asks it, one row a call. Same: the score is the same. Refused: an error.",
        "Different: another score, and no error said so. A score that is NaN counts as refused: JSON cannot",
        "carry it, and whoever reads it sees that something is wrong.",
        "",
        "| library | version | same | refused | silently different |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in types.items():
        text.append(
            f"| {name} | {one['version']} | {one['same']} | {one['refused']} | **{one['different']}** |"
        )
    text += [
        "",
        "`age` and `loans` are whole numbers, `income` has decimals, `member` is 0 or 1, `sex` is a",
        "category. `·` is the same; empty cells would be the value itself, or another value.",
        "",
    ]
    for name, one in types.items():
        features = list(one["cells"])
        text += [
            f"## {name} {one['version']}",
            "",
            f"| sent as | {' | '.join(features)} |",
            f"| --- |{' --- |' * len(features)}",
        ]
        for variant in VARIANTS:
            cells = [_MARKS.get(one["cells"][feature].get(variant, ""), "") for feature in features]
            if any(cells):
                text.append(f"| {variant} | {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)
