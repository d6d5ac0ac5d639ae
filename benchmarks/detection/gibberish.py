"""Gibberish in a text field: how well it is told from names, how soon it is reported, how often wrongly.

703 names: places and countries of the IANA time zone database (public domain), and a few companies. Half of
them train the field, the other half is its clean traffic, none of it seen before. That is harder than a real
field, most of whose traffic has been seen. The second field is the demo's `employer`.

    python -m benchmarks.detection.gibberish
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from monitor.core.counters import CODES
from monitor.core.detectors import violation_rate
from monitor.core.detectors.gibberish import Gibberish
from monitor.core.detectors.violation_rate import ViolationState
from monitor.core.schema.bigrams import Bigrams, folded
from monitor.core.schema.inference import infer
from monitor.core.schema.model import FeatureSchema
from monitor.core.schema.text_judge import boundaries
from monitor.core.schema.violations import Code
from monitor.demo.population import EMPLOYERS

NAMES = tuple(Path(__file__).with_name("names.txt").read_text(encoding="utf-8").splitlines())
TRAINED = 351
FIELD = "name"
FEATURES = 14
FALSE_ALARMS_PER_S = 1 / (30 * 86_400)
BUCKET_S = 1.0
ROWS_PER_BUCKET = 10
DELAY_MAX = 1_000
WINDOW_ROWS = 300
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

Noise = Callable[[np.random.Generator, int], str]


def random_letters(rng: np.random.Generator, length: int) -> str:
    """Each small letter as likely as any other."""
    return "".join(string.ascii_lowercase[i] for i in rng.integers(0, 26, length).tolist())


def keyboard_mash(rng: np.random.Generator, length: int) -> str:
    """A hand running to and fro along a row of keys, now and then on another one."""
    row, at, typed = _KEYS[rng.integers(3)], int(rng.integers(7)), []
    for _ in range(length):
        typed.append(row[at])
        if rng.random() < 0.15:
            row = _KEYS[rng.integers(3)]
        at = int(np.clip(at + rng.choice((-2, -1, 1, 2)), 0, len(row) - 1))
    return "".join(typed)


NOISES: dict[str, Noise] = {"random letters": random_letters, "keyboard mash": keyboard_mash}


def trained(names: Sequence[str]) -> FeatureSchema:
    """The schema inferred from one row for each name."""
    return infer({FIELD: list(names)})


def flags(schema: FeatureSchema, values: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which values are flagged as gibberish."""
    found = schema.compiled.soft_chunk([{FIELD: value} for value in values])
    flagged = np.zeros(len(values), np.bool_)
    flagged[found.row[found.code == Code.GIBBERISH]] = True
    return flagged


def detector(schema: FeatureSchema) -> Gibberish:
    """The product's configuration: one false alarm a month over all detectors, buckets of a second."""
    return Gibberish(boundaries(schema.features), FEATURES, FALSE_ALARMS_PER_S, BUCKET_S)


def rows_until_found(config: Gibberish, flagged: Sequence[bool]) -> float:
    """Rows until the detector speaks, looking every `ROWS_PER_BUCKET` rows; inf if it never does."""
    state, features = ViolationState.fresh(), {1: FIELD}
    for bucket, start in enumerate(range(0, len(flagged), ROWS_PER_BUCKET)):
        rows = flagged[start : start + ROWS_PER_BUCKET]
        cells = np.zeros(2 * CODES, np.int64)
        cells[CODES + Code.GIBBERISH] = sum(rows)
        state = violation_rate.step(config, state, features, len(rows), cells, bucket * 1000)
        state, findings = violation_rate.judge(config, state, features, (bucket + 1) * 1000)
        if findings:
            return start + len(rows)
    return math.inf


def separation(splits: int, seed: int = 1, noisy: int = 1_000) -> dict[str, dict[str, float]]:
    """How well likelihood alone tells unseen names from noise of the same lengths.

    Args:
        splits: random halves of `NAMES`; figures are means over them.
        seed: of everything.
        noisy: texts of noise a split.

    Returns:
        By kind of noise: ROC AUC, share of noise flagged where 1 % of unseen names would be; and at the floor
        that the schema sets, share of noise and of unseen names flagged.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in NOISES}
    for _ in range(splits):
        known, unseen = _halves(rng)
        schema = trained(known)
        model, clean_flags = _model(schema), flags(schema, unseen)
        clean = np.array([model.mean_log_likelihood(folded(value)) for value in unseen])
        for name, noise in NOISES.items():
            values = [noise(rng, len(unseen[i])) for i in rng.integers(0, len(unseen), noisy)]
            bad = np.array([model.mean_log_likelihood(folded(value)) for value in values])
            truth = np.repeat([0, 1], [len(clean), len(bad)])
            found[name].append(
                (
                    float(roc_auc_score(truth, -np.concatenate([clean, bad]))),
                    float((bad < np.quantile(clean, 0.01)).mean()),
                    float(flags(schema, values).mean()),
                    float(clean_flags.mean()),
                )
            )
    keys = ("auc", "found_at_1_percent_false", "flagged", "flagged_clean")
    return {
        name: dict(zip(keys, np.mean(rows, axis=0).round(4).tolist(), strict=True))
        for name, rows in found.items()
    }


def delays(streams: int, seed: int = 2, share: float = 0.2) -> dict[str, dict[str, float]]:
    """Rows until gibberish in `share` of the rows is reported, at the product's threshold.

    Returns:
        By field and kind of noise: median and 95 % quantile of rows, and share found within 300.
    """
    rng = np.random.default_rng(seed)
    employers = infer({FIELD: [EMPLOYERS[i] for i in rng.integers(0, len(EMPLOYERS), 20_000)]})
    found: dict[str, dict[str, float]] = {}
    for field in ("unseen names", "employer"):
        for name, noise in NOISES.items():
            rows = []
            for _ in range(streams):
                known, live = _halves(rng) if field == "unseen names" else ((), EMPLOYERS)
                schema = trained(known) if known else employers
                clean = [live[i] for i in rng.integers(0, len(live), DELAY_MAX)]
                mixed = [noise(rng, len(v)) if rng.random() < share else v for v in clean]
                rows.append(rows_until_found(detector(schema), flags(schema, mixed).tolist()))
            found[f"{field}, {name}"] = {
                "median": float(np.median(rows)),
                "p95": float(np.quantile(rows, 0.95, method="higher")),
                "within_300": float(np.mean(np.array(rows) <= WINDOW_ROWS)),
            }
    return found


def false_windows(windows: int, splits: int = 20, seed: int = 3) -> dict[str, float]:
    """Windows of 300 clean rows, every name unseen, in which the detector speaks; each starts anew."""
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(splits):
        known, unseen = _halves(rng)
        schema = trained(known)
        clean, config = flags(schema, unseen), detector(schema)
        for _ in range(windows // splits):
            rows = clean[rng.integers(0, len(clean), WINDOW_ROWS)].tolist()
            alarms += math.isfinite(rows_until_found(config, rows))
    total = windows // splits * splits
    return {"windows": total, "alarms": alarms, "rate": alarms / total}


def cost(rows: int = 20_000, seed: int = 4) -> dict[str, float]:
    """Microseconds a record of one text field: judged before, never seen, and gibberish never seen."""
    rng = np.random.default_rng(seed)
    schema = infer({FIELD: [EMPLOYERS[i] for i in rng.integers(0, len(EMPLOYERS), 20_000)]}).compiled
    seen = [{FIELD: EMPLOYERS[i]} for i in rng.integers(0, len(EMPLOYERS), rows)]
    fresh = [{FIELD: f"{EMPLOYERS[i]} of {random_letters(rng, 3)}"} for i in range(1_600)]
    noise = [{FIELD: random_letters(rng, 14)} for _ in range(1_600)]
    schema.soft_chunk(seen)
    return {
        name: round(_us(partial(schema.soft_chunk, chunk)) / len(chunk), 2)
        for name, chunk in (("seen", seen), ("unseen", fresh), ("gibberish", noise))
    }


def _us(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return 1e6 * (perf_counter() - start)


def _halves(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    order = [NAMES[i] for i in rng.permutation(len(NAMES))]
    return order[:TRAINED], order[TRAINED:]


def _model(schema: FeatureSchema) -> Bigrams:
    reference = schema.features[FIELD].reference
    if reference is None or reference.text is None or reference.text.bigrams is None:
        raise ValueError("no model was learnt")
    return Bigrams(reference.text.bigrams)


def measure(scale: float = 1.0) -> dict[str, Any]:
    """Everything, at `scale` times the published numbers of streams."""
    return {
        "separation": separation(max(2, int(20 * scale))),
        "delay_rows": delays(max(5, int(200 * scale))),
        "false": false_windows(max(20, int(5_000 * scale))),
        "cost_us": cost(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
