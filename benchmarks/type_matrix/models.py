"""The libraries, each as its users serve it: from decoded JSON rows to probabilities, nothing checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.type_matrix.people import COLUMNS, NUMBERS, SEXES, people

Row = dict[str, Any]
Predict = Callable[[list[Row]], Sequence[float]]


def scikit_learn() -> Predict:
    """A pipeline on a data frame: scaled numbers, one-hot categories, logistic regression."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows, target = people()
    ready = ColumnTransformer(
        [("n", StandardScaler(), list(NUMBERS)), ("c", OneHotEncoder(handle_unknown="ignore"), ["sex"])]
    )
    model = make_pipeline(ready, LogisticRegression(max_iter=1_000))
    model.fit(pd.DataFrame(rows)[list(COLUMNS)], target)
    return lambda asked: model.predict_proba(pd.DataFrame(asked)[list(COLUMNS)])[:, 1].tolist()


def scikit_learn_numpy() -> Predict:
    """A random forest on an array of numbers, the category coded by hand."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    rows, target = people()
    model = RandomForestClassifier(100, min_samples_leaf=5, random_state=1)
    model.fit(np.array([_coded(row) for row in rows]), target)
    return lambda asked: model.predict_proba(np.array([_coded(row) for row in asked]))[:, 1].tolist()


def lightgbm() -> Predict:
    """A classifier on a data frame with a category column."""
    import pandas as pd
    from lightgbm import LGBMClassifier

    rows, target = people()
    model = LGBMClassifier(n_estimators=100, random_state=1, verbose=-1)

    def frame(asked: list[Row]) -> Any:
        made = pd.DataFrame(asked)[list(COLUMNS)]
        return made.assign(sex=pd.Categorical(made["sex"], categories=list(SEXES)))

    model.fit(frame(rows), target)
    return lambda asked: model.predict_proba(frame(asked))[:, 1].tolist()


def xgboost() -> Predict:
    """A classifier on a data frame with a category column."""
    import pandas as pd
    from xgboost import XGBClassifier

    rows, target = people()
    model = XGBClassifier(n_estimators=100, random_state=1, enable_categorical=True)

    def frame(asked: list[Row]) -> Any:
        made = pd.DataFrame(asked)[list(COLUMNS)]
        return made.assign(sex=pd.Categorical(made["sex"], categories=list(SEXES)))

    model.fit(frame(rows), target)
    return lambda asked: model.predict_proba(frame(asked))[:, 1].tolist()


def pytorch() -> Predict:
    """A small network on a tensor of numbers, the category coded by hand."""
    import torch

    rows, target = people()
    torch.manual_seed(1)
    x = torch.tensor([_coded(row) for row in rows], dtype=torch.float32)
    y = torch.tensor(target, dtype=torch.float32)
    mean, spread = x.mean(0), x.std(0)
    model = torch.nn.Sequential(torch.nn.Linear(len(COLUMNS), 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    best = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        best.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model((x - mean) / spread)[:, 0], y).backward()
        best.step()

    def predict(asked: list[Row]) -> list[float]:
        with torch.no_grad():
            one = torch.tensor([_coded(row) for row in asked], dtype=torch.float32)
            found: list[float] = torch.sigmoid(model((one - mean) / spread))[:, 0].tolist()
            return found

    return predict


def tensorflow() -> Predict:
    """A Keras model with an input a feature: normalised numbers, a look-up of the category."""
    import tensorflow as tf

    rows, target = people()
    tf.keras.utils.set_random_seed(1)
    inputs = {name: tf.keras.Input((1,), name=name) for name in NUMBERS}
    inputs["sex"] = tf.keras.Input((1,), name="sex", dtype=tf.string)
    norm = {name: tf.keras.layers.Normalization() for name in NUMBERS}

    def tensors(asked: list[Row]) -> dict[str, Any]:
        made = {
            name: tf.convert_to_tensor([[row[name]] for row in asked], dtype=tf.float32) for name in NUMBERS
        }
        return {**made, "sex": tf.convert_to_tensor([[row["sex"]] for row in asked], dtype=tf.string)}

    ready = tensors(rows)
    for name, layer in norm.items():
        layer.adapt(ready[name])
    lookup = tf.keras.layers.StringLookup(vocabulary=list(SEXES), output_mode="one_hot")
    joined = tf.keras.layers.concatenate(
        [*(norm[name](inputs[name]) for name in NUMBERS), lookup(inputs["sex"])]
    )
    hidden = tf.keras.layers.Dense(16, activation="relu")(joined)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    model.fit(ready, tf.constant(target[:, None], tf.float32), epochs=3, batch_size=64, verbose=0)
    return lambda asked: model(tensors(asked)).numpy()[:, 0].tolist()


def _coded(row: Row) -> list[Any]:
    """Values in order, the category as its place."""
    return [*(row[name] for name in NUMBERS), SEXES.index(row["sex"])]


MODELS: dict[str, tuple[str, Callable[[], Predict]]] = {
    "scikit-learn": ("scikit-learn", scikit_learn),
    "scikit-learn (array)": ("scikit-learn", scikit_learn_numpy),
    "lightgbm": ("lightgbm", lightgbm),
    "xgboost": ("xgboost", xgboost),
    "pytorch": ("torch", pytorch),
    "tensorflow": ("tensorflow-cpu", tensorflow),
}
"""Name in the report → distribution, and what makes the model."""
