"""Data, schemas and models that the probes are tried on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from monitor.core.probes.answers import Answer, Features, Subject
from monitor.core.probes.space import Constraints, FeatureSpace
from monitor.core.schema.inference import infer
from monitor.core.schema.model import FeatureSchema

Floats = NDArray[np.float64]

DATA = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
THRESHOLD = 0.5


@dataclass(frozen=True)
class World:
    """One data set.

    Attributes:
        name: of the data set.
        columns: features in order.
        codes: category feature → value → code in the matrix.
        train, target: what models learn from, float64[n, d] and int64[n].
        rows: requests to be probed, float64[m, d].
        schema: inferred from the training rows.
        space: of the schema, with the plausible ends at 0.5 % and 99.5 %.
    """

    name: str
    columns: tuple[str, ...]
    codes: Mapping[str, Mapping[str, int]]
    train: Floats
    target: NDArray[np.int64]
    rows: Floats
    schema: FeatureSchema
    space: FeatureSpace

    def encode(self, rows: Sequence[Features]) -> Floats:
        """Rows of features as a matrix."""
        matrix = np.empty((len(rows), len(self.columns)))
        for j, name in enumerate(self.columns):
            known = self.codes.get(name)
            matrix[:, j] = [known[row[name]] if known else row[name] for row in rows]
        return matrix

    def decode(self, row: Floats) -> dict[str, Any]:
        """A row of the matrix as features."""
        found: dict[str, Any] = {}
        for j, name in enumerate(self.columns):
            if name in self.codes:
                found[name] = next(value for value, code in self.codes[name].items() if code == row[j])
            else:
                axis = self.space.axes[name]
                found[name] = axis.number(float(row[j]), axis.places(float(row[j])))
        return found


Predict = Callable[[Floats], Floats]


def subject_of(world: World, predict: Predict, at: int) -> Subject:
    """One row of the world as a request."""
    features = world.decode(world.rows[at])
    base = Answer(score=float(predict(world.encode([features]))[0]))
    return Subject(f"{world.name}-{at}", world.name, "1", features, base, THRESHOLD, space=world.space)


def asker(world: World, predict: Predict) -> Callable[[Sequence[Features]], list[Answer]]:
    """The model as probes see it."""
    return lambda rows: [Answer(score=float(s)) for s in predict(world.encode(rows))]


def synthetic(seed: int = 7) -> World:
    """20 numeric features, 12 that matter, interactions among them; every fifth is an integer."""
    matrix, target = make_classification(
        12_000, 20, n_informative=12, n_redundant=4, n_clusters_per_class=3, class_sep=0.9,
        flip_y=0.03, random_state=seed,
    )  # fmt: skip
    matrix[:, ::5] = np.rint(matrix[:, ::5] * 20)
    frame = pd.DataFrame(matrix, columns=[f"x{j}" for j in range(20)])
    return _world("synthetic", frame, target.astype(np.int64), 4_000)


def adult() -> World | None:
    """UCI Adult, 14 features, 8 of them categories; None where the data are not here."""
    file = DATA / "adult.csv.gz"
    if not file.exists():
        return None
    frame = pd.read_csv(file, keep_default_na=False)
    target = (frame.pop("class").str.strip().str.rstrip(".") == ">50K").to_numpy(np.int64)
    order = np.random.default_rng(3).permutation(len(frame))
    return _world("adult", frame.iloc[order].reset_index(drop=True), target[order], 30_000)


def _world(name: str, frame: pd.DataFrame, target: NDArray[np.int64], train: int) -> World:
    schema = infer({column: frame[column][:train].tolist() for column in frame})
    codes: dict[str, dict[str, int]] = {}
    matrix = np.empty(frame.shape)
    ends: dict[str, tuple[float, float]] = {}
    for j, column in enumerate(frame):
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values):
            matrix[:, j] = values
            low, high = np.quantile(matrix[:train, j], (0.005, 0.995), method="inverted_cdf")
            ends[str(column)] = (float(low), float(high))
        else:
            codes[str(column)] = {value: code for code, value in enumerate(sorted(values.unique()))}
            matrix[:, j] = values.map(codes[str(column)])
    space = FeatureSpace.of(schema, Constraints(ends=ends))
    columns = tuple(map(str, frame))
    rows = matrix[train:]
    legal = [i for i in range(2_000) if space.plausible(_plain(rows[i], columns, codes))]
    return World(name, columns, codes, matrix[:train], target[:train], rows[legal], schema, space)


def _plain(row: Floats, columns: Sequence[str], codes: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    back = {name: {code: value for value, code in known.items()} for name, known in codes.items()}
    return {name: back[name][int(v)] if name in back else v for name, v in zip(columns, row, strict=True)}


MODELS = ("lightgbm", "xgboost", "random_forest", "mlp", "logistic_regression")


def fit(name: str, world: World) -> Predict:
    """Train one model; it answers float64[n] scores of float64[n, d]."""
    model = _model(name, world)
    model.fit(world.train, world.target)
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1], np.float64)


def _model(name: str, world: World) -> Any:
    if name == "lightgbm":
        from lightgbm import LGBMClassifier  # noqa: PLC0415 - an extra of the benchmark

        return LGBMClassifier(n_estimators=200, random_state=1, n_jobs=2, verbose=-1)
    if name == "xgboost":
        from xgboost import XGBClassifier  # noqa: PLC0415 - an extra of the benchmark

        return XGBClassifier(n_estimators=200, random_state=1, n_jobs=2)
    if name == "random_forest":
        return RandomForestClassifier(100, min_samples_leaf=5, random_state=1, n_jobs=2)
    kinds = [j for j, column in enumerate(world.columns) if column in world.codes]
    numbers = [j for j in range(len(world.columns)) if j not in kinds]
    ready = ColumnTransformer(
        [("n", StandardScaler(), numbers), ("c", OneHotEncoder(handle_unknown="ignore"), kinds)],
        sparse_threshold=0.0,
    )
    last = (
        MLPClassifier((64, 32), max_iter=60, early_stopping=True, random_state=1)
        if name == "mlp"
        else LogisticRegression(max_iter=2_000)
    )
    return make_pipeline(ready, last)
