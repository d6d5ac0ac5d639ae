"""What `monitor init` learns: the task, the model among several, the login, and what it says is absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from monitor.cli.init import write
from monitor.cli.init_draft import from_records
from monitor.cli.main import app
from monitor.cli.replay import columns_of
from monitor.config import Settings
from monitor.config.draft import Draft
from monitor.config.logins import kafka_before_settings
from monitor.core.errors import SettingsError
from monitor.core.guess_task import guess_classes, guess_task
from monitor.edges.reference import as_record

RUNNER = CliRunner()
PLACES = ("k:9092", "redis://r:1/0", "labels")

SALES = [
    {
        "id": f"r-{i}",
        "area": 30 + i % 90,
        "sold_for": 100_000 + 777 * i,
        "predicted_price": 99_000.5 + 777 * i,
    }
    for i in range(400)
]
TICKETS = [
    {
        "id": f"r-{i}",
        "words": i,
        "label": ("billing", "other", "technical")[i % 3],
        "probabilities": {"billing": 0.5, "technical": 0.3, "other": 0.2},
    }
    for i in range(400)
]


def init(folder: Path, rows: list[dict[str, Any]], *arguments: str) -> tuple[str, Settings]:
    """Settings from rows of a file `it.jsonl`, and what was printed."""
    sample, config = folder / "it.jsonl", folder / "monitor.yaml"
    sample.write_text("\n".join(map(json.dumps, rows)))
    result = RUNNER.invoke(app, ["init", "--sample", str(sample), "-c", str(config), *arguments])
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split()), Settings.load(config, env={})


def learnt(folder: Path, draft: Draft) -> Settings:
    """The settings that a draft becomes."""
    write(draft, folder / "monitor.yaml", force=True)
    return Settings.load(folder / "monitor.yaml", env={})


def test_a_price_is_a_value_and_no_score(tmp_path: Path) -> None:
    said, settings = init(tmp_path, SALES, "--label", "sold_for", "--score", "predicted_price")
    assert "task: regression, because labels are 400 different numbers; --task says another" in said
    assert "value ← predicted_price" in said
    model = settings.models["it"]
    assert (model.task, model.unit) == ("regression", 300_000)
    assert model.reference_columns["value"] == "predicted_price"
    assert model.feature_schema is not None
    assert list(model.feature_schema.features) == ["area"]


def test_probabilities_are_the_answer_of_several_classes(tmp_path: Path) -> None:
    said, settings = init(tmp_path, TICKETS)
    model = settings.models["it"]
    assert (model.task, model.classes) == ("multiclass", ("billing", "other", "technical"))
    assert model.feature_schema is not None
    assert list(model.feature_schema.features) == ["words"]
    assert model.reference is not None
    assert "classes billing, other, technical" in said


def test_a_person_may_overrule_the_guess(tmp_path: Path) -> None:
    rows = [{"words": i, "label": i % 3, "score": i % 7 / 7} for i in range(100)]
    said, settings = init(tmp_path, rows)
    assert settings.models["it"].classes == (0, 1, 2)
    assert "look for task: labels are a few whole numbers" in said
    assert "look for probabilities or decision" in said
    said, settings = init(tmp_path, rows, "--task", "regression", "--force")
    assert settings.models["it"].task == "regression"
    assert "because --task says so" in said


def test_what_a_file_lacks_is_said(tmp_path: Path) -> None:
    said, settings = init(tmp_path, [{"words": i} for i in range(100)])
    assert settings.models["it"].task == "binary"
    for field in ("task", "label", "score or decision", "timestamp", "request_id"):
        assert f"look for {field}:" in said


def test_a_file_of_several_models_asks_which(tmp_path: Path) -> None:
    rows = [row | {"model": ("price", "rent")[i % 2]} for i, row in enumerate(SALES)]
    sample = tmp_path / "both.jsonl"
    sample.write_text("\n".join(map(json.dumps, rows)))
    result = RUNNER.invoke(app, ["init", "--sample", str(sample), "-c", str(tmp_path / "monitor.yaml")])
    assert result.exit_code == 2
    assert "price (200), rent (200); say which with --model" in " ".join(result.stderr.split())
    said, settings = init(
        tmp_path, rows, "--model", "rent", "--label", "sold_for", "--score", "predicted_price"
    )
    assert "look for reference: its records are of price (200), rent (200)" in said
    assert "because labels are 200 different numbers" in said
    assert settings.models["rent"].reference is None


def test_a_column_that_is_no_model_hinders_nobody(tmp_path: Path) -> None:
    rows = [
        row | {"model": ("Golf", "Polo")[i % 2], "label": i % 2, "score": 0.5} for i, row in enumerate(SALES)
    ]
    said, settings = init(tmp_path, rows, "--model", "resale")
    assert "look for model: its records are of Golf (200), Polo (200), none of them resale" in said
    assert settings.models["resale"].reference is not None


@pytest.mark.parametrize("names", [("Model S", "Golf"), (2019, 2020)])
def test_a_column_of_what_can_be_no_model_is_said(tmp_path: Path, names: tuple[Any, Any]) -> None:
    rows = [row | {"model": names[i % 2], "label": i % 2, "score": 0.5} for i, row in enumerate(SALES)]
    said, settings = init(tmp_path, rows)
    assert f"look for model: model holds {names[0]!r}, which is no name of a model" in said
    assert list(settings.models) == ["it"]


def test_a_row_of_no_model_does_not_mix_those_of_others(tmp_path: Path) -> None:
    rows = [
        {
            "model": ("income", "other")[i % 2],
            "age": 20 + i % 40 + 5_000 * (i % 2),
            "label": i // 2 % 2,
            "score": 0.5,
        }
        for i in range(200)
    ]
    rows[1] |= {"model": "n/a"}
    said, settings = init(tmp_path, rows, "--model", "income")
    schema = settings.models["income"].feature_schema
    assert schema is not None
    assert (schema.features["age"].maximum or 0) < 1_000
    assert settings.models["income"].reference is None
    assert "a file of income alone can be its reference" in said
    (tmp_path / "it.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = RUNNER.invoke(
        app, ["init", "--sample", str(tmp_path / "it.jsonl"), "-c", str(tmp_path / "m.yaml")]
    )
    assert "say which with --model" in " ".join(result.stderr.split())


def test_probabilities_may_be_named_as_the_score(tmp_path: Path) -> None:
    rows = [{"words": i, "label": "ab"[i % 2], "probs": {"a": 0.5, "b": 0.3, "c": 0.2}} for i in range(50)]
    said, settings = init(tmp_path, rows, "--score", "probs")
    assert settings.models["it"].classes == ("a", "b", "c")
    assert "look for probabilities" not in said
    _, settings = init(
        tmp_path,
        [{k: v for k, v in row.items() if k != "label"} for row in rows],
        "--score",
        "probs",
        "--force",
    )
    assert settings.models["it"].task == "multiclass"


def test_a_decision_between_0_and_1_is_a_score_and_no_decision(tmp_path: Path) -> None:
    rows = [{"words": i, "decision": i % 7 / 7, "label": i % 2} for i in range(100)]
    _, settings = init(tmp_path, rows)
    columns = columns_of(list(rows[0]), settings.models["it"].reference_columns)
    assert as_record(rows[6], columns) == {"score": 6 / 7, "label": 0, "features": {"words": 6}}
    records = [{"id": f"r-{i}", "features": {"a": i}, "decision": i % 7 / 7} for i in range(50)]
    draft = from_records(records, [{"id": f"r-{i}", "label": i % 2} for i in range(50)], "out", "m", PLACES)
    assert "score" not in draft.predictions_mapping
    assert any("decisions are numbers such as" in doubt for doubt in draft.absent)


@pytest.mark.parametrize(("labels", "classes"), [((1, 2), (2, 1)), ((-1, 1), (1, -1)), ((2.0, 4.0), (4, 2))])
def test_both_classes_are_written_where_they_are_not_0_and_1(
    tmp_path: Path, labels: tuple[Any, Any], classes: tuple[int, int]
) -> None:
    rows = [{"words": i, "score": i % 7 / 7, "label": labels[i % 2]} for i in range(100)]
    said, settings = init(tmp_path, rows)
    model = settings.models["it"]
    assert (model.positive_class, model.negative_class) == classes
    assert f"positive class {classes[0]}, negative class {classes[1]}" in said


def test_a_prediction_between_0_and_1_is_a_score(tmp_path: Path) -> None:
    rows = [{"words": i, "prediction": i % 7 / 7, "y_true": i % 2} for i in range(100)]
    for arguments in ((), ("--score", "prediction", "--force")):
        _, settings = init(tmp_path, rows, *arguments)
        reference = settings.models["it"].reference
        assert reference is not None
        assert reference.columns == {"label": "y_true", "score": "prediction"}
    records = [{"id": f"r-{i}", "features": {"a": i}, "prediction": i % 7 / 7} for i in range(50)]
    draft = from_records(records, [], "out", "m", PLACES)
    assert (draft.task, draft.predictions_mapping["score"]) == ("binary", "$.prediction")
    assert "decision" not in draft.predictions_mapping


@pytest.mark.parametrize(
    ("text", "note"), [("[0.5, 0.3, 0.2]", ""), ("[0.5 0.3 0.2]", "y_proba holds neither lists nor objects")]
)
def test_probabilities_as_text_are_no_feature(tmp_path: Path, text: str, note: str) -> None:
    rows = [
        {"words": i, "label": "abc"[i % 3], "prediction": "abc"[i % 3], "y_proba": text} for i in range(60)
    ]
    said, settings = init(tmp_path, rows)
    model = settings.models["it"]
    assert model.feature_schema is not None
    assert list(model.feature_schema.features) == ["words"]
    assert (note in said) if note else ("look for probabilities" not in said)
    columns = columns_of(list(rows[0]), model.reference_columns, model.task)
    record = as_record(rows[0], columns)
    assert record.get("probabilities") == (None if note else [0.5, 0.3, 0.2])
    assert record["features"] == {"words": 0}


def test_a_record_without_a_field_does_not_hide_it() -> None:
    first = {"id": "r-1", "payload": {"inputs": {"a": 1}}, "out": {"probs": [0.5, 0.5]}}
    last = {"id": "r-9", "payload": {"inputs": None}, "out": {"probs": None}}
    draft = from_records([first, last], [], "out", "m", PLACES)
    assert draft.predictions_mapping["features"] == "$.payload.inputs"
    assert draft.predictions_mapping["probabilities"] == "$.out.probs"


@pytest.mark.parametrize(
    ("answers", "task"),
    [
        ({"label": [0, 1, 1], "score": [0.1, 0.9, 0.4]}, "binary"),
        ({"label": [0.0, 1.0]}, "binary"),
        ({"label": ["a", "b"], "score": [2.5]}, "binary"),
        ({"label": [True, False]}, "binary"),
        ({"label": ["a", "b", "c"], "score": [0.5]}, "multiclass"),
        ({"label": [1, 2, 3, 4, 5], "decision": [1, 5]}, "multiclass"),
        ({"label": [1, 2, 3, 4, 5], "decision": [1.25, 4.75]}, "regression"),
        ({"label": list(range(40)), "decision": list(range(40))}, "regression"),
        ({"label": [1_200, 900], "score": [1_150.5, 950.0]}, "regression"),
        ({"label": [0, 1] * 20, "score": [612, 480]}, "binary"),
        ({"label": [0.2, 0.7], "score": [0.3, 0.6]}, "regression"),
        ({"score": [0.3, 0.6]}, "binary"),
        ({"score": [3.5]}, "regression"),
        ({"decision": [312_000.5]}, "regression"),
        ({"decision": ["a", "b", "c"]}, "multiclass"),
        ({"decision": [-1, 1]}, "binary"),
        ({"value": [12.5]}, "regression"),
        ({"value": [12.5], "score": [0.5]}, "binary"),
        ({"label": ["good", "bad"], "value": [12.5]}, "binary"),
        ({"probabilities": [[0.2, 0.8]]}, "multiclass"),
        ({"label": [float("nan"), None, "x"], "score": [None]}, "binary"),
        ({"label": [10**400, 3]}, "binary"),
        ({"label": [f"t{i}" for i in range(100)]}, "binary"),
        ({}, "binary"),
    ],
)
def test_the_task_is_what_labels_and_answers_say(answers: dict[str, list[Any]], task: str) -> None:
    guess = guess_task(answers)
    assert guess.task == task, guess
    assert guess.why


def test_classes_in_the_order_of_a_list_are_for_a_person_to_say() -> None:
    classes, doubts = guess_classes({"label": [2, 0, 1.0], "probabilities": [[0.1, 0.2, 0.3, 0.4]]})
    assert classes == (0, 1, 2)
    assert [doubt.split(":")[1] for doubt in doubts] == [
        " probabilities are a list; put the classes in its order",
        " probabilities have 4 entries, but 3 classes were seen",
    ]


def test_amounts_in_a_topic_are_values(tmp_path: Path) -> None:
    records = [
        {"id": f"r-{i}", "inputs": {"area": i}, "output": {"prediction": 1_000.5 + i}} for i in range(200)
    ]
    labels = [{"id": f"r-{i}", "target": 1_001.25 + i} for i in range(100)]
    draft = from_records(records, labels, "price.out", "price", PLACES)
    assert draft.task == "regression"
    assert draft.predictions_mapping["value"] == "$.output.prediction"
    assert "decision" not in draft.predictions_mapping
    assert [text for text in draft.absent if text.startswith("timestamp")] == [
        "timestamp: not found in price.out, so event time is Kafka's; name its path under mapping"
    ]
    assert learnt(tmp_path, draft).models["price"].task == "regression"


def test_probabilities_in_a_topic_are_found_where_they_are(tmp_path: Path) -> None:
    records = [
        {
            "request_id": f"r-{i}",
            "model": "t",
            "features": {"n": i},
            "out": {"probs": {"label": 0.5, "id": 0.5}},
        }
        for i in range(50)
    ]
    draft = from_records(records, [], "t.out", None, PLACES)
    assert draft.predictions_mapping == {"probabilities": "$.out.probs"}
    assert learnt(tmp_path, draft).models["t"].classes == ("id", "label")


SHARED: list[dict[str, Any]] = [
    {"id": f"r-{i}", "meta": {"model": ("price", "churn")[i % 3 == 0]}, "features": {"a": i}, "score": 0.5}
    | ({"score": 1_000.5 + i} if i % 3 else {"features": {"b": i}})
    for i in range(300)
]


def test_a_shared_topic_asks_which_model_is_meant() -> None:
    with pytest.raises(SettingsError) as refused:
        from_records(SHARED, [], "out", None, PLACES)
    said = str(refused.value)
    assert "out is shared: its records are of price (200), churn (100); say which with --model" in said
    assert "-c other.yaml" in said
    with pytest.raises(SettingsError, match="out has none of it"):
        from_records(SHARED, [], "out", "prices", PLACES)


def test_only_records_of_the_named_model_are_learnt_from() -> None:
    labels: list[dict[str, Any]] = [
        {"id": "r-1", "model": "price", "label": 1_002.5},
        {"id": "r-0", "model": "churn", "label": "gone"},
    ]
    price = from_records(SHARED, labels, "out", "price", PLACES)
    assert (price.task, list(price.schema.features)) == ("regression", ["a"])
    assert price.predictions_mapping["model"] == "$.meta.model"
    churn = from_records(SHARED, labels, "out", "churn", PLACES)
    assert (churn.task, list(churn.schema.features), churn.positive_class) == ("binary", ["b"], "gone")
    bare = from_records(SHARED, [{"id": "r-1", "label": 1}], "out", "churn", PLACES)
    assert "model: not found in labels; all its labels are taken for those of churn" in bare.absent


def test_flat_records_are_told_apart_from_no_records() -> None:
    with pytest.raises(SettingsError) as refused:
        from_records([{"id": "a", "age": 3, "score": 0.5}], [], "flat", "m", PLACES)
    assert "no record has an object of features (looked for features, inputs" in str(refused.value)


def test_the_login_is_taken_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    env = {
        "MONITOR__KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "MONITOR__KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "MONITOR__KAFKA__SASL_USERNAME": "reader",
        "MONITOR__KAFKA__SASL_PASSWORD": "0123",
        "MONITOR__KAFKA__SSL_CAFILE": "ca.pem",
        "MONITOR__KAFKA__BOOTSTRAP_SERVERS": "broker:9093",
        "MONITOR__KAFKA__PREDICTIONS__TOPICS": "[other]",
    }
    kafka = kafka_before_settings(None, "out", env, tmp_path)
    assert kafka.connection() == {
        "bootstrap_servers": "broker:9093", "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "reader", "sasl_password": "0123",
        "ssl_cafile": str(tmp_path / "ca.pem"), "ssl_certfile": None, "ssl_keyfile": None,
        "ssl_check_hostname": True,
    }  # fmt: skip
    assert kafka_before_settings("mine:1", "out", env, tmp_path).bootstrap_servers == ("mine:1",)
    assert kafka_before_settings(None, "out", {}, tmp_path).bootstrap_servers == ("localhost:9092",)


def test_half_a_login_is_refused_by_the_name_of_its_variable(tmp_path: Path) -> None:
    env = {"MONITOR__KAFKA__SASL_USERNAME": "reader", "MONITOR__KAFKA__SSL_CAFILE": "none.pem"}
    with pytest.raises(SettingsError) as refused:
        kafka_before_settings(None, "out", env, tmp_path)
    said = str(refused.value)
    assert "kafka.sasl_username: asks to log in, but security_protocol is PLAINTEXT" in said
    assert "(from MONITOR__KAFKA__SASL_USERNAME)" in said
    assert "no such file" in said


def test_init_uses_that_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR__KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    result = RUNNER.invoke(app, ["init", "--topic", "out"])
    assert result.exit_code == 2
    assert "kafka.sasl_username: missing; security_protocol SASL_SSL logs in" in " ".join(
        result.stderr.split()
    )
