"""Probing before a release: what is asked, counted, judged and shown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.core.errors import RowsError, SchemaError, ServiceError, SettingsError
from monitor.core.probes import PROBES, Answer, Constraints, FeatureSpace
from monitor.core.probes.endpoint import Endpoint
from monitor.core.rehearsal.page import page
from monitor.core.rehearsal.tolerances import FINDINGS, Tally, judge, shares
from monitor.core.schema import FeatureSchema
from monitor.core.schema.inference import infer
from monitor.core.schema.tolerances import Tolerances
from monitor.edges.memory import MemoryModelClient
from monitor.edges.rehearsal import Rehearsal, ask_case, rehearse
from monitor.edges.rehearsing import Wishes, from_files, read_case

RNG = np.random.default_rng(4)
ROWS = [
    {"age": int(age), "debt": round(float(debt), 3), "sex": ("F", "M")[int(sex)], "town": f"T{town}"}
    for age, debt, sex, town in zip(
        RNG.integers(20, 70, 4_000), RNG.random(4_000), RNG.integers(0, 2, 4_000), RNG.integers(0, 4, 4_000),
        strict=True,
    )
]  # fmt: skip
SCHEMA = infer(ROWS)
SPACE = FeatureSpace.of(SCHEMA, Constraints(protected=("sex",)))
RECORDS = [{"request_id": f"r{i}", "features": row} for i, row in enumerate(ROWS[:200])]


def plan(space: FeatureSpace = SPACE, **fields: Any) -> Rehearsal:
    return Rehearsal("credit", "http://localhost/", "rows.csv", space, 0.5, 20, **fields)


def blind(row: Mapping[str, Any]) -> Answer:
    """Smooth in age and debt; refuses what is no number."""
    age: Any = row.get("age")
    debt: Any = row.get("debt")
    if type(age) not in {int, float} or type(debt) not in {int, float}:
        return Answer(error="http 422")
    if not (math.isfinite(age) and math.isfinite(debt)):
        return Answer(error="http 422")
    z = (age - 45) / 10 - 6 * (debt - 0.5)
    return Answer(score=1 / (1 + math.exp(-max(min(z, 50), -50))))


def biased(row: Mapping[str, Any]) -> Answer:
    answer = blind(row)
    shift = 0.3 if row.get("sex") == "M" else 0.0
    return answer if answer.score is None else Answer(score=min(answer.score + shift, 1.0))


def finding(document: Mapping[str, Any], probe: str) -> dict[str, int]:
    """Feature to findings."""
    (one,) = [one for one in document["probes"] if one["probe"] == probe]
    return {feature["feature"]: feature[one["part"]] for feature in one["features"]}


async def test_a_planted_effect_breaks_a_tolerance_and_a_blind_model_does_not() -> None:
    allowed = {"counterfactual": 0.01, "replay": 0.0}
    fair = await rehearse(plan(allowed=allowed), RECORDS, MemoryModelClient(blind), "now")
    unfair = await rehearse(plan(allowed=allowed), RECORDS, MemoryModelClient(biased), "now")
    assert (fair["passed"], unfair["passed"]) == (True, False)
    assert finding(fair, "counterfactual") == {"sex": 0}
    assert finding(unfair, "counterfactual")["sex"] > 0
    broken = [one["probe"] for one in unfair["tolerances"] if one["broken"]]
    assert broken == ["counterfactual"]


async def test_every_question_ends_in_the_document() -> None:
    client = MemoryModelClient(biased)
    counted: list[int] = []
    found = await rehearse(plan(), RECORDS, client, "2026-01-01", lambda: counted.append(1))
    assert len(counted) == found["about"]["requests"] == 20
    assert found["about"]["rows"] == len(client.asked)
    assert {one["probe"] for one in found["probes"]} >= {"single_feature", "type_conversion", "missing"}
    assert found["types"]["age"]["text"] == {"same": 0, "refused": 20, "different": 0, "flips": 0}
    assert set(found["curves"]) == {"age", "debt", "town"}
    assert {len(line["scores"]) == len(line["values"]) for line in found["curves"]["age"]} == {True}
    (surface, *_) = found["surfaces"]
    assert [len(line) for line in surface["scores"]] == [len(surface["x"])] * len(surface["y"])
    json.dumps(found, allow_nan=False)
    again = await rehearse(plan(), RECORDS, MemoryModelClient(biased), "2026-01-01")
    assert again == found  # seeded by request ids


async def test_a_model_that_does_not_repeat_itself_is_blamed_for_that_alone() -> None:
    scores = iter(np.random.default_rng(1).random(100_000))
    found = await rehearse(
        plan(allowed={"replay": 0.0}), RECORDS, MemoryModelClient(lambda _: float(next(scores))), "now"
    )
    assert found["about"]["unsteady"] == 20
    assert [one["probe"] for one in found["probes"]] == ["replay"]
    assert not found["passed"]


@pytest.mark.parametrize("error", ["timeout", "circuit open", "http 503", "http 422"])
async def test_a_model_that_does_not_answer_ends_it(error: str) -> None:
    with pytest.raises(ServiceError, match=error):
        await rehearse(plan(), RECORDS, MemoryModelClient(lambda _: Answer(error=error)), "now")


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


async def test_the_page_asks_for_nothing_and_escapes_everything() -> None:
    evil = '"><script>alert(1)</script>'
    rows = [{**{k: v for k, v in row.items() if k != "town"}, evil: row["town"]} for row in ROWS]
    space = FeatureSpace.of(infer(rows), Constraints(protected=("sex",)))
    records = [{"request_id": evil, "features": row} for row in rows[:40]]

    def model(row: Mapping[str, Any]) -> Answer:
        answer = biased(row)
        return answer if answer.score is None else Answer(score=answer.score * (row.get(evil) != "T1"))

    found = await rehearse(
        Rehearsal(evil, evil, evil, space, 0.5, 8, allowed={"counterfactual": 0.0}),
        records,
        MemoryModelClient(model),
        evil,
    )
    assert evil in found["curves"]
    html = page(found)
    read = Page()
    read.feed(html)
    assert {"svg", "polyline", "circle", "table", "details"} <= set(read.tags)
    assert not {"script", "link", "img", "iframe", "object", "a"} & set(read.tags)
    assert not [
        name for name, _ in read.attributes if name in {"src", "href", "srcset"} or name.startswith("on")
    ]
    assert not re.search(r"url\(|@import|https?://(?!localhost)", html)
    assert "nan" not in re.findall(r'(?:x|y|cx|cy|points|width|height|d)="[^"]*(nan|inf)', html)


async def test_values_of_sensitive_features_are_in_no_document() -> None:
    features = {**SCHEMA.features, "debt": SCHEMA.features["debt"].model_copy(update={"sensitive": True})}
    schema = SCHEMA.model_copy(update={"features": features})
    space = FeatureSpace.of(schema, Constraints(protected=("sex",)))
    found = await rehearse(plan(space), RECORDS, MemoryModelClient(biased), "now")
    assert "debt" not in found["curves"]
    assert all("debt" not in surface["features"] for surface in found["surfaces"])
    assert found["cases"]
    assert {case["original"]["debt"] for case in found["cases"]} == {"(not shown)"}
    with pytest.raises(ValueError, match="sensitive"):
        await ask_case(found["cases"][0], MemoryModelClient(biased))


async def test_a_stored_case_is_asked_again() -> None:
    found = await rehearse(plan(), RECORDS, MemoryModelClient(biased), "now")
    case = json.loads(json.dumps(found["cases"][0]))
    same = await ask_case(case, MemoryModelClient(biased))
    assert same["same"]
    assert same["changed"]["now"]["score"] == pytest.approx(case["after"]["score"])
    assert not (await ask_case(case, MemoryModelClient(lambda _: 0.123)))["same"]


def test_a_case_is_found_where_it_is(tmp_path: Path) -> None:
    case = {"original": {}, "changed": {}, "before": {}, "after": {}, "id": "a"}
    file = tmp_path / "case.json"
    for document in (
        case,
        [case],
        {"about": {}, "cases": [case]},
        {"evidence": {"probes": [{"case": case}]}},
    ):
        file.write_text(json.dumps(document))
        assert read_case(str(file)) == case
    for text in ("{}", "[1]", "no json", "[" * 10_000):
        file.write_text(text)
        with pytest.raises(RowsError):
            read_case(str(file))
    with pytest.raises(RowsError):
        read_case(str(tmp_path / "nowhere.json"))


def test_the_worst_feature_is_held_against_a_tolerance() -> None:
    counted = {
        ("type_conversion", "age", "null"): Tally(trials=10, different=1),
        ("type_conversion", "age", "text"): Tally(trials=10, different=4),
        ("single_feature", "", ""): Tally(trials=10, near=2),
        ("single_feature", "age", ""): Tally(trials=10, near=9),
        ("interaction", "", ""): Tally(trials=10, different=10, found=1),
    }
    allowed = {"type_conversion": 0.3, "single_feature": 0.2, "interaction": 0.05, "replay": 0.0}
    seen = {v.probe: (v.where, v.measured, v.broken) for v in judge(counted, allowed)}
    assert seen == {
        "replay": ("", 0.0, True),
        "type_conversion": ("age as text", 0.4, True),
        "single_feature": ("", 0.2, False),
        "interaction": ("", 0.1, True),
    }


async def test_what_was_not_tried_is_not_kept() -> None:
    nobody = plan(FeatureSpace.of(SCHEMA, Constraints()), allowed={"counterfactual": 1.0})
    found = await rehearse(nobody, RECORDS, MemoryModelClient(blind), "now")
    (one,) = found["tolerances"]
    assert (one["trials"], one["broken"], found["passed"]) == (0, True, False)
    assert "not tried" in page(found)


def test_a_tolerance_of_a_probe_that_is_left_out() -> None:
    schema = FeatureSchema.parse(
        "version: 1\nprobes: {counterfactual: 0.01, replay: 0}\nfeatures: {a: {type: number}}\n"
    )
    file = Path("rows.csv")
    assert Wishes(file, only=["replay"]).allowed(schema) == {"replay": 0.0}
    with pytest.raises(SettingsError, match="missing is not among the probes of --only"):
        Wishes(file, only=["replay"], tolerances=["missing=1%"]).allowed(schema)


@pytest.mark.parametrize(
    "text", ["counterfactual", "counterfactual=x", "counterfactual=2", "nothing=1%", "replay=-1"]
)
def test_tolerances_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a share|no probe"):
        shares([text])


def test_every_probe_has_a_finding_and_a_tolerance() -> None:
    names = {probe.name for probe in PROBES}
    assert set(FINDINGS) == set(Tolerances.model_fields) == names


def test_a_schema_states_tolerances_and_options_win() -> None:
    schema = FeatureSchema.parse(
        "version: 1\nprobes: {counterfactual: 0.01, replay: 0}\nfeatures: {a: {type: number}}\n"
    )
    assert FeatureSchema.parse(schema.text()) == schema
    wishes = Wishes(Path("rows.csv"), tolerances=["counterfactual=2%"])
    assert wishes.allowed(schema) == {"counterfactual": 0.02, "replay": 0.0}
    with pytest.raises(SchemaError, match="counterfactual"):
        FeatureSchema.parse("version: 1\nprobes: {counterfactal: 0.01}\nfeatures: {a: {type: number}}\n")


def test_files_make_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({**row, "id": i, "label": 1}) for i, row in enumerate(ROWS[:500])))
    endpoint = Endpoint("http://localhost/")
    made, records, asked = from_files(
        Wishes(file, 7, ["replay", "counterfactual"]), endpoint, "m", None, None, ["sex"], ["age > debt"]
    )
    assert [probe.name for probe in made.probes] == ["replay", "counterfactual"]
    assert (made.requests, made.threshold, made.space.axes["sex"].protected) == (7, None, True)
    assert records[3] == {"request_id": 3, "label": 1, "features": ROWS[3]}
    assert asked.columns == ("age", "debt", "sex", "town")
    for protected, relations, only in ((["gender"], [], []), ([], ["a b"], []), ([], [], ["nothing"])):
        with pytest.raises(SettingsError):
            from_files(Wishes(file, 7, only), endpoint, "m", None, None, protected, relations)
