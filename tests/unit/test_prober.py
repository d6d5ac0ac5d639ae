"""Traffic in, questions to the model, counts and cases out: the whole of probing in one process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from monitor.core.counters import DEFAULT_TIERS, PROBE_TRIALS, PROBE_WORK, SCALARS, Scalar
from monitor.core.masking import HIDDEN, UNDECLARED, is_masked
from monitor.core.probes import PROBES, Answer
from monitor.core.probes.results import Part, Work, asked_again, trials_of
from monitor.core.probes.spending import LATE_S
from monitor.edges.memory import ManualClock, MemoryModelClient
from monitor.edges.prober import REQUEST_BYTES_MAX, WAITING_MAX
from monitor.edges.reader import MetricsReader
from tests.support.probing import MODEL, NAMES, World, budget, fair, probed, unfair, world

SWAPS = NAMES.index("counterfactual")


def work(made: World) -> dict[Work, int]:
    cells = made.cells(PROBE_WORK)
    return {cell: int(cells[cell]) if cell < len(cells) else 0 for cell in Work}


async def test_a_gender_effect_is_counted_and_a_blind_model_shows_none() -> None:
    for score, rate in ((unfair, 0.1), (fair, 0.0)):
        made = world(score)
        await made.probe(20, score)
        sex = list(made.model.space.axes).index("sex") + 1
        trials, flips = trials_of(made.cells(PROBE_TRIALS))[sex, SWAPS, [Part.TRIALS, Part.FLIPS]]
        assert trials >= 40
        assert flips >= rate * trials
        assert (flips == 0) == (score is fair)


async def test_slices_and_versions_are_counted_too() -> None:
    made = world()
    await made.probe(8)
    whole = trials_of(made.cells(PROBE_TRIALS))
    ids = await made.store.registry(MODEL, "slices")
    regions = [i for name, i in ids.items() if "region" in name]
    assert len(regions) == 3
    (version,) = [i for name, i in ids.items() if "model_version" in name]
    parts = sum(trials_of(made.cells(PROBE_TRIALS, i))[0, 0] for i in regions)
    assert parts.tolist() == whole[0, 0].tolist()
    assert trials_of(made.cells(PROBE_TRIALS, version)).tolist() == whole.tolist()


async def test_a_case_can_be_asked_again() -> None:
    made = world(unfair)
    await made.probe(10, unfair)
    cases = [json.loads(value) for value in made.store.reader().worst_cases(MODEL)]
    assert {case["probe"] for case in cases} >= {"counterfactual", "single_feature"}
    for case in cases:
        for row, answer in (("original", "before"), ("changed", "after")):
            assert unfair(asked_again(case[row])) == pytest.approx(case[answer]["score"])
    lists = made.store.contents.shards[0].evidence
    assert f"{MODEL}/probes/counterfactual/sex" in lists


async def test_sensitive_values_are_not_stored() -> None:
    made = World(MemoryModelClient(unfair), probed(("income",)))
    await made.probe(6, unfair)
    cases = [json.loads(value) for value in made.store.reader().worst_cases(MODEL)]
    assert cases
    assert {case["original"]["income"] for case in cases} == {"(not shown)"}
    with pytest.raises(ValueError, match="income"):
        asked_again(cases[0]["original"])


async def test_sensitive_values_are_stored_as_hashes_where_there_is_a_key() -> None:
    made = World(MemoryModelClient(unfair), probed(("income", "sex"), b"k" * 32))
    await made.probe(6, unfair)
    cases = [json.loads(value) for value in made.store.reader().worst_cases(MODEL)]
    shown = {case["original"]["income"] for case in cases}
    assert len(shown) > 1
    assert all(is_masked(value) and value != HIDDEN for value in shown)
    assert len({case["original"]["sex"] for case in cases}) == 2, "equal values are told alike"
    swaps = {case["change"] for case in cases if case["probe"] == "counterfactual"}
    assert swaps
    assert all("hashed:" in words and "male" not in words.lower() for words in swaps)
    with pytest.raises(ValueError, match="income, sex"):
        asked_again(cases[0]["original"])


@pytest.mark.parametrize("sensitive", [("income",), ()])
@pytest.mark.parametrize("key", [None, b"k" * 32])
async def test_what_the_schema_does_not_name_is_stored_only_where_nothing_is_sensitive(
    sensitive: tuple[str, ...], key: bytes | None
) -> None:
    planted = "XQ-PLANTED-77"
    more = {"Income": planted, "applicant": {"income": planted}, planted: 1}
    made = World(MemoryModelClient(unfair), probed(sensitive, key), beyond=more)
    await made.probe(6, unfair)
    shard = made.store.contents.shards[0]
    stored = [
        *made.store.reader().worst_cases(MODEL),
        *(one for many in shard.evidence.values() for one in many),
    ]
    assert stored
    assert any(planted.encode() in value for value in stored) == (not sensitive)
    case = json.loads(made.store.reader().worst_cases(MODEL)[0])
    assert (UNDECLARED in case["original"]) == (UNDECLARED in case["changed"]) == bool(sensitive)
    if not sensitive:
        assert asked_again(case["original"]).items() >= more.items()


def test_a_case_without_what_the_schema_does_not_name_cannot_be_asked_again() -> None:
    told = probed(("income",)).space.masking.told({"debt": 0.5, "Income": 4_000})
    with pytest.raises(ValueError, match=r"\(undeclared\)"):
        asked_again(told)


async def test_a_model_that_does_not_repeat_its_score_is_asked_nothing_else() -> None:
    made = world(lambda row: 0.9 * fair(row))
    await made.probe(4, fair)
    found = trials_of(made.cells(PROBE_TRIALS))
    assert found[0, 0, Part.TRIALS] > 0
    assert found[:, 1:].sum() == 0
    assert work(made)[Work.UNSTEADY] == work(made)[Work.REQUESTS] > 0


async def test_an_outage_is_no_word_about_robustness() -> None:
    down = True

    def answer(row: Mapping[str, Any]) -> Answer:
        return Answer(error="timeout") if down else Answer(score=fair(row))

    made = world(answer)
    await made.probe(3)
    assert work(made)[Work.ERRORS] == work(made)[Work.ROWS] > 0
    reader = made.store.reader()
    assert not any(array[0] == PROBE_TRIALS.name for array in made.store.contents.shards[0].arrays)
    assert reader.worst_cases(MODEL) == []
    down = False
    await made.probe(3)
    assert trials_of(made.cells(PROBE_TRIALS))[0, 0, Part.TRIALS] > 0


async def test_what_finds_no_place_is_dropped_and_counted() -> None:
    made = world()
    await made.traffic(WAITING_MAX + 30)
    assert await made.prober.round()
    assert work(made)[Work.DROPPED] == 30
    assert not await made.prober.round()


async def test_a_request_that_is_too_large_to_wait_is_dropped_and_counted() -> None:
    made = world()
    await made.traffic(5)
    await made.traffic(3, features={"income": 1_000, "surplus": [[]] * REQUEST_BYTES_MAX})
    await made.traffic(2, features={"income": 1_000, "sex": "x" * REQUEST_BYTES_MAX})
    assert len(made.prober._waiting) == 5
    assert await made.prober.round()
    assert work(made)[Work.DROPPED] == 5


async def test_the_model_is_sent_what_no_schema_declares_too() -> None:
    asked: list[Mapping[str, Any]] = []

    def answer(row: Mapping[str, Any]) -> Answer:
        asked.append(row)
        return Answer(score=0.7)

    made = world(answer)
    await made.traffic(5, lambda _row: 0.7, features={"income": 1_000, "surplus": [{"a": float("inf")}]})
    assert await made.prober.round()
    assert asked
    assert all(row["surplus"] == [{"a": float("inf")}] for row in asked)


async def test_the_sample_is_a_share_of_requests() -> None:
    made = world(sample=0.05)
    for _ in range(4):
        await made.traffic(1_000)
    assert 140 <= len(made.prober._waiting) <= 260


async def test_probes_that_come_back_as_traffic_are_left_out_and_counted() -> None:
    made = world()
    await made.traffic(30)
    await made.traffic(10, probe=True)
    await made.traffic(5, request_id="monitor-probe-1")
    assert made.ingest.progress.probes_returned == 15
    assert int(made.cells(SCALARS)[Scalar.REQUESTS]) == 30
    assert await made.prober.round()
    assert work(made)[Work.RETURNED] == 15


async def test_only_the_probes_that_are_named_are_asked() -> None:
    names = ("replay", "counterfactual")
    made = world(probes=tuple(probe for probe in PROBES if probe.name in names))
    await made.probe(4)
    found = trials_of(made.cells(PROBE_TRIALS)).sum(axis=(0, 2))
    assert {NAMES[place] for place in range(len(NAMES)) if found[place]} == set(names)


async def test_rows_wait_for_their_turn() -> None:
    made = world()
    spent = budget(made, 50.0, 25.0)
    assert spent.rows_max == 15
    began_s = made.clock.monotonic_s()
    for _ in range(20):
        await spent.spend(15)
    assert made.clock.monotonic_s() - began_s == pytest.approx(300 / 50, abs=0.5)
    assert spent.rows == 300


async def test_rows_that_come_too_late_take_another_turn() -> None:
    class Busy(ManualClock):
        """Wakes late, once."""

        late_s = 2 * LATE_S

        async def sleep(self, wait_s: float) -> None:
            late_s, self.late_s = self.late_s, 0.0
            await super().sleep(wait_s + late_s)

    made = world()
    made.clock = Busy(made.clock.now_ms())
    made.store.contents.clock = made.clock
    spent = budget(made, 50.0, 25.0)
    await spent.spend(10)
    until_ms = made.store.contents.budgets[MODEL]
    assert spent.rows == 10
    assert until_ms - (made.clock.now_ms() - 2_000 * LATE_S) > 10 / 50 * 1_000  # two turns were taken for one


async def test_the_reader_tells_what_was_found() -> None:
    made = world(unfair)
    await made.probe(15, unfair)
    reader = MetricsReader(made.store.reader(), DEFAULT_TIERS)
    found = reader.probes(MODEL, since="1h")
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["requests"] == found.work["requests"] > 0
    rows = {(row["probe"], row["feature"]): row for row in told["probes"]}
    swap = rows["counterfactual", "sex"]
    assert swap["flips"] > 0
    assert sum(swap["score_changes"]["counts"]) == swap["trials"] - swap["errors"]
    assert sum(swap["distances_iqr"]["counts"]) == swap["flips"]
    assert rows["single_feature", ""]["trials"] > 0
    assert told["types"]["income"]["text"]["trials"] > 0
    assert told["cases"][0]["flipped"]
    whole = reader.probes(MODEL)
    assert [row.trials for row in whole.rows] == [row.trials for row in found.rows]
    north = reader.probes(MODEL, slice_={"region": "north"})
    parts = [reader.probes(MODEL, slice_={"region": region}).rows for region in ("north", "south", "east")]
    assert sum(row.trials for rows_ in parts for row in rows_) == sum(row.trials for row in found.rows)
    assert north.rows[0].score_changes is None
    made.clock.advance(2 * 3_600)
    assert reader.probes(MODEL, since="1h").rows == []
