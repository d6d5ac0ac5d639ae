"""From histograms of a bucket to alerts: drift, units by name, and where they come from."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from monitor.core.counters import Counts, Scalar
from monitor.core.detectors.drift import DriftState
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.drift.layout import FeatureLayout
from monitor.core.evaluation import distributions
from monitor.core.evaluation.distributions import Distributions, DistributionsState, LabelDrift, Seen
from monitor.core.evaluation.stored import dump, load
from monitor.core.feature_cells import feature_cells, sum_cells
from monitor.core.schema.inference import infer

MONTHLY = 1 / (30 * 86_400)
NAMES = {1: SliceName(1, '{"client":"web"}'), 2: SliceName(2, '{"client":"app"}')}


def rows(rng: np.random.Generator, n: int) -> list[dict[str, object]]:
    return [
        {"amount": float(a), "ratio": float(r), "client": c}
        for a, r, c in zip(
            rng.lognormal(7, 0.5, n),
            rng.beta(2, 5, n),
            rng.choice(["web", "app"], n, p=[0.8, 0.2]),
            strict=True,
        )
    ]


SCHEMA = infer(rows(np.random.default_rng(0), 10_000))
LAYOUT = FeatureLayout.of(SCHEMA)
CONFIG = Distributions(SCHEMA, LAYOUT, None, None, (10_000, 10_000, 4_000), 1, MONTHLY)


def bucket(start_s: int, records: list[dict[str, object]], scores: np.ndarray, tails: bool) -> Seen:
    found = feature_cells(LAYOUT, 1, records, scores, {})
    whole = np.zeros(len(Scalar), np.int64)
    whole[[Scalar.REQUESTS, Scalar.DECIDED, Scalar.POSITIVE]] = (
        len(records),
        len(records),
        (scores > 0.5).sum(),
    )
    member = np.array([[True, r["client"] == "web", r["client"] == "app"] for r in records])
    beyond = np.stack([found.low, found.high], axis=2).reshape(len(records), -1)
    return Seen(
        start_s,
        sum_cells(found.cells, LAYOUT.size),
        sum_cells(found.scale, found.scale.shape[1] * 1345),
        whole,
        member.T.astype(np.int64) @ beyond.astype(np.int64) if tails else None,
        member.sum(axis=0),
    )


def run(
    change: object,
    seconds: int = 40,
    from_s: int = 0,
    n: int = 400,
    names: Mapping[int, SliceName] = NAMES,
) -> list[tuple[int, Finding]]:
    """Findings by second; `change` edits the records of a second."""
    rng = np.random.default_rng(1)
    state = distributions.align(CONFIG, DistributionsState())
    found = []
    for second in range(seconds):
        records, scores = rows(rng, n), rng.beta(2, 3, n)
        assert callable(change)
        scores = change(second, records, scores, rng)
        seen = bucket(from_s + second, records, scores, tails=state.wants_tails)
        state, findings = distributions.step(CONFIG, state, seen, (0, 1, 2), names)
        state = load(DistributionsState, dump(state, 1), 1) or state
        found += [(second, finding) for finding in findings]
    return found


def test_cents_of_one_client_are_named_with_their_source() -> None:
    def cents(second: int, records: list[dict[str, object]], scores: Counts, _: object) -> object:
        for record in records:
            if second >= 20 and record["client"] == "app":
                record["amount"] = 100 * float(str(record["amount"]))
        return scores

    found = run(cents)
    assert {(f.kind, f.subject["feature"]) for _, f in found} == {("scale_shift", "amount")}
    second, first = found[0]
    assert 20 <= second <= 23
    last = found[-1][1]
    assert last.effect == pytest.approx(100)
    assert last.values["share"] == pytest.approx(0.2, abs=0.06)
    assert "cents" in last.summary
    assert "from client = app" in last.summary
    assert first.features == {"amount"}


def some_cents(part: float = 1.0, until_s: int = 20) -> object:
    """Of one client, from the twentieth to the fortieth second; before `until_s` only a part of them."""

    def change(
        second: int, records: list[dict[str, object]], scores: Counts, rng: np.random.Generator
    ) -> object:
        for record in records:
            if 20 <= second < 40 and record["client"] == "app" and (second >= until_s or rng.random() < part):
                record["amount"] = 100 * float(str(record["amount"]))
        return scores

    return change


@pytest.mark.parametrize("until_s", [21, 26])
def test_a_change_of_unit_is_told_with_the_share_it_has_since_its_own_beginning(until_s: int) -> None:
    found = [one for _, one in run(some_cents(0.5, until_s), 46, n=2_000)]
    last = [one for one in found if one.kind == "scale_shift" and one.holds][-1]
    assert last.at_ms >= 40_000
    assert last.values["share"] == pytest.approx(0.2, abs=0.025)
    assert last.began_ms == 1000 * until_s
    assert f"since 00:00:{until_s}" in last.summary
    assert last.rows <= 2_000 * (last.at_ms // 1000 - until_s), "no row of before"
    assert last.excess == pytest.approx(last.values["share"] * last.rows)


def test_what_lies_in_a_slice_because_it_grew_did_not_come_from_there() -> None:
    dear = {1: NAMES[1], 2: SliceName(2, '{"slice":"dear"}', {"dear": ("amount",)})}
    assert "from client = app" in run(some_cents(), 30)[-1][1].summary
    assert "from" not in run(some_cents(), 30, names=dear)[-1][1].summary


def test_a_whole_shift_is_whole_from_its_first_bucket_to_its_end() -> None:
    def cents(second: int, records: list[dict[str, object]], scores: Counts, _: object) -> object:
        for record in records:
            if 20 <= second < 25:
                record["amount"] = 100 * float(str(record["amount"]))
        return scores

    shifts = [(second, one) for second, one in run(cents) if one.kind == "scale_shift"]
    assert shifts[0][0] == 20
    assert {one.values["share"] for _, one in shifts} == {1.0}
    assert all(one.summary.startswith("all of the values of amount are 100 times") for _, one in shifts)
    assert [second for second, one in shifts if not one.holds] == [shifts[-1][0]]
    assert shifts[-1][0] <= 29


def test_the_same_hour_of_earlier_weeks_is_compared_with() -> None:
    """A PSI of 0.1 is too small for a window within a day, and not for an hour whose custom is known."""
    rng = np.random.default_rng(5)
    config = replace(CONFIG, bucket_s=3_600)
    block = next(block for block in LAYOUT.blocks if block.name == "ratio")
    ratio = slice(block.start, block.start + block.size)
    usual = np.maximum(config.cells.reference[: LAYOUT.size], 1) / 10_000
    tilted = usual.copy()
    tilted[ratio] *= np.exp(np.linspace(-0.55, 0.55, block.size))
    whole = np.zeros(len(Scalar), np.int64)
    whole[[Scalar.REQUESTS, Scalar.DECIDED, Scalar.POSITIVE]] = 4_000, 4_000, 1_600
    state, found = distributions.align(config, DistributionsState()), []
    for hour in range(2 * 168 + 12):
        shares = tilted if hour >= 2 * 168 + 4 else usual
        counts = np.concatenate(
            [rng.multinomial(4_000, part / part.sum()) for part in np.split(shares, LAYOUT.starts[1:])]
        )
        seen = Seen(3_600 * hour, counts, np.zeros(0, np.int64), whole)
        state, findings = distributions.step(config, state, seen, (), {})
        found += [(hour, one) for one in findings]
    assert {(one.subject["feature"], one.values["against"]) for _, one in found} == {("ratio", "week")}
    assert found[0][0] == 2 * 168 + 4
    assert "the same hour of earlier weeks" in found[0][1].summary


def test_a_drift_that_no_unit_explains_is_a_drift() -> None:
    def warped(second: int, records: list[dict[str, object]], scores: Counts, _: object) -> object:
        for record in records:
            if 20 <= second < 26:
                record["ratio"] = float(str(record["ratio"])) ** 0.5
        return scores

    found = run(warped, 60)
    assert {(f.kind, f.subject["feature"]) for _, f in found} == {("drift", "ratio")}
    assert not found[-1][1].holds
    assert 26 < found[-1][0] < 45
    assert set(found[0][1].values) >= {"psi", "jensen_shannon", "kolmogorov_smirnov", "wasserstein"}


def test_score_and_decision_drift_are_of_the_output() -> None:
    def higher(second: int, _: object, scores: Counts, rng: np.random.Generator) -> object:
        return rng.beta(5, 2, len(scores)) if second >= 20 else scores

    found = run(higher)
    assert {tuple(f.subject.items()) for _, f in found} == {(("output", "score"),), (("output", "decision"),)}


def test_clean_traffic_is_silent_over_midnight() -> None:
    assert run(lambda _second, _records, scores, _rng: scores, 60, from_s=86_400 * 20_000 - 30) == []


def test_a_label_rate_that_doubles_is_drift_of_the_label() -> None:
    rng = np.random.default_rng(3)
    config = LabelDrift((20_000, 2_000), 1, 20.0)
    state, found = DriftState.fresh(), []
    for second in range(40):
        whole = np.zeros(len(Scalar), np.int64)
        rate = 0.1 if second < 20 else 0.35
        whole[[Scalar.LABELLED, Scalar.LABEL_POSITIVE]] = 300, rng.binomial(300, rate)
        state, findings = config.step(state, whole, second)
        found += [(second, finding) for finding in findings]
    assert found[0][0] in range(20, 24)
    assert found[0][1].subject == {"output": "label"}
    assert "yes 10 % →" in found[0][1].summary
