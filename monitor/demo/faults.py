"""The timeline of the demo, as data: what fails, when, and which alert would be the right one.

Seconds count from the first request. Faults of the input act on features of their own, so they may overlap.
Faults of performance act on slices that are independent of each other and of the faulty features, and overlap
only where the earlier one has had the time it takes to be seen (`docs/demo.md` has the figures).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from monitor.demo import effects
from monitor.demo.effects import Effect
from monitor.demo.population import NEW_USER_DAYS

YEN_PER_DOLLAR: Final = 150.0


class Family(StrEnum):
    """The families of failure that live traffic can show."""

    INPUT = "input"
    BIAS = "performance bias"
    MODEL = "model"


@dataclass(frozen=True)
class Symptom:
    """An alert that names a fault rightly: its kind and its subject, both exactly."""

    kind: str
    subject: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """One planted failure.

    Attributes:
        name: identifier in the result.
        title: a few words for the board.
        cause: what happened, as the team that has to repair it would put it.
        family: which family of failure.
        began_s: first second of it, since the first request.
        ended_s: first second without it.
        symptoms: the alerts it is credited to; any of them.
        effect: what it does to requests or answers.
        standing: a property of the model itself, there from the start to the end.
    """

    name: str
    title: str
    cause: str
    family: Family
    began_s: float
    ended_s: float
    symptoms: tuple[Symptom, ...]
    effect: Effect = field(repr=False)
    standing: bool = False

    def active(self, at_s: float) -> bool:
        """It acts on a request made at `at_s`."""
        return self.began_s <= at_s < self.ended_s


@dataclass(frozen=True)
class Pace:
    """The lengths that make up the timeline, whole seconds.

    Attributes:
        clean_s: healthy traffic at the start.
        input_s: length of a fault of the input.
        input_step_s: from the start of one to the start of the next.
        label_s: length of a fault that only labels can show.
        label_step_s: from the start of one to the start of the next.
        settle_s: healthy traffic at the end, while the last labels come in.
    """

    clean_s: int = 10
    input_s: int = 5
    input_step_s: int = 3
    label_s: int = 25
    label_step_s: int = 20
    settle_s: int = 5

    def stretched(self, factor: float) -> Pace:
        """Every length times `factor`, at least a second, rounded up to whole seconds."""
        return Pace(*(max(1, math.ceil(length * factor)) for length in vars(self).values()))


@dataclass(frozen=True)
class Timeline:
    """All faults, in the order in which they begin, and the length of the whole."""

    faults: tuple[Fault, ...]
    length_s: float

    @property
    def clean_s(self) -> float:
        """Seconds without any fault but those that stand."""
        edges = sorted(
            {0.0, self.length_s}
            | {edge for f in self.faults if not f.standing for edge in (f.began_s, f.ended_s)}
        )
        return sum(
            end - start for start, end in zip(edges, edges[1:], strict=False) if not self.active(start)
        )

    def active(self, at_s: float) -> tuple[Fault, ...]:
        """Faults that act on a request made at `at_s`; those that stand are the model's own."""
        return tuple(fault for fault in self.faults if fault.active(at_s) and not fault.standing)


def violation(feature: str, code: str) -> Symptom:
    """The rate of one violation of one feature."""
    return Symptom("violation_rate", {"feature": feature, "code": code})


def gaps(members: Mapping[str, str], *metrics: str) -> tuple[Symptom, ...]:
    """A gap that grew between a slice and the rest, on any of the metrics."""
    return tuple(Symptom("gap_change", {"slice": dict(members), "metric": metric}) for metric in metrics)


def timeline(pace: Pace | None = None) -> Timeline:
    """The demo's faults at a pace, the default one unless given."""
    pace = pace or Pace()
    inputs = [
        (
            "age_100000",
            "Age 100,000",
            "a form lost its upper limit: 8 % of requests say the applicant is 100,000 years old",
            (violation("age", "out_of_range"),),
            effects.Edited("age", 0.08, effects.constant(100_000)),
        ),
        (
            "yen_for_dollars",
            "Amount payable in yen",
            "a client sends 30 % of the amounts in yen where dollars are meant",
            (
                Symptom("scale_shift", {"feature": "amount_payable"}),
                violation("amount_payable", "out_of_range"),
            ),
            effects.Edited("amount_payable", 0.30, effects.times(YEN_PER_DOLLAR)),
        ),
        (
            "income_nan",
            "NaN from a bug",
            "a division by zero upstream turns 10 % of the incomes into NaN",
            (violation("income", "nan"),),
            effects.Edited("income", 0.10, effects.constant(math.nan)),
        ),
        (
            "debt_ratio_text",
            "A number turned string",
            'one serialiser writes "0.27" where 0.27 is meant, in 10 % of requests',
            (violation("debt_ratio", "number_as_string"),),
            effects.Edited("debt_ratio", 0.10, effects.as_text),
        ),
        (
            "late_payments_missing",
            "A missing feature",
            "a timeout of the credit bureau leaves late_payments out of 10 % of requests",
            (violation("late_payments", "missing_feature"),),
            effects.Dropped("late_payments", 0.10),
        ),
        (
            "employer_gibberish",
            "Gibberish",
            "a bot fills in random letters as employer, in 20 % of requests",
            (Symptom("gibberish", {"feature": "employer"}),),
            effects.Edited("employer", 0.20, effects.gibberish),
        ),
        (
            "utilisation_drift",
            "Upstream change of distribution",
            "upstream computes credit_utilisation in another way: every value is legal, all are greater",
            (Symptom("drift", {"feature": "credit_utilisation"}),),
            effects.Edited("credit_utilisation", 1.0, effects.raised),
        ),
    ]
    labels = [
        (
            "android_worse",
            "Android worse than iPhone",
            "an app release reads the wrong profile for 24 % of Android users: error 0.11 to 0.20",
            gaps({"device_type": "Android"}, "error_rate", "false_negative_rate", "false_positive_rate"),
            effects.SomebodyElse(_is_android, 0.24),
        ),
        (
            "new_users_underserved",
            "New users underserved",
            "profiles of accounts under 30 days are mixed up for 45 % of new users: error 0.11 to 0.28",
            gaps({"slice": "new users"}, "error_rate", "false_negative_rate", "false_positive_rate"),
            effects.SomebodyElse(_is_new, 0.45),
        ),
        (
            "women_refused",
            "A gender treated worse",
            "a rule against career breaks refuses good applicants: false negatives of women 0.15 to 0.45",
            gaps({"gender": "Female"}, "false_negative_rate", "error_rate", "positive_rate"),
            effects.MarkedDown(_is_woman, 0.375),
        ),
    ]
    labels_began_s = pace.clean_s + pace.input_step_s * (len(inputs) - 1) + pace.input_s
    faults = [
        Fault(name, title, cause, family, float(began_s), float(began_s + lasting_s), symptoms, effect)
        for family, rows, start_s, step_s, lasting_s in (
            (Family.INPUT, inputs, pace.clean_s, pace.input_step_s, pace.input_s),
            (Family.BIAS, labels, labels_began_s, pace.label_step_s, pace.label_s),
        )
        for began_s, (name, title, cause, symptoms, effect) in zip(
            range(start_s, start_s + step_s * len(rows), step_s), rows, strict=True
        )
    ]
    length_s = faults[-1].ended_s + pace.settle_s
    return Timeline((*faults, *standing(length_s)), length_s)


def standing(length_s: float) -> tuple[Fault, ...]:
    """What is wrong with the model from the start: rules beside its trees, which only probes can see."""
    rows = [
        (
            "gender_decides",
            "Gender decides",
            "a rule turns short terms in favour of women and long ones in favour of men; groups fare alike",
            Symptom("counterfactual", {"feature": "gender"}),
        ),
        (
            "debt_cliff",
            "A cliff in the debt ratio",
            "a rule beside the model lets the score jump as the debt ratio passes 0.8",
            Symptom("sharp_edge", {"feature": "debt_ratio"}),
        ),
        (
            "young_with_old_account",
            "Young with an old account",
            "a rule refuses whoever is both; either alone makes no difference",
            Symptom("interaction", {"features": ["account_age_days", "age"]}),
        ),
    ]
    return tuple(
        Fault(name, title, cause, Family.MODEL, 0.0, length_s, (symptom,), Effect(), standing=True)
        for name, title, cause, symptom in rows
    )


def _is_android(row: Mapping[str, Any]) -> bool:
    return bool(row["device_type"] == "Android")


def _is_new(row: Mapping[str, Any]) -> bool:
    return bool(row["account_age_days"] < NEW_USER_DAYS)


def _is_woman(row: Mapping[str, Any]) -> bool:
    return bool(row["gender"] == "Female")
