"""Settings: what is read, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.config import Settings, setting_paths
from monitor.core.counters import DEMO_TIERS
from monitor.core.errors import SettingsError
from monitor.core.slices.spec import BinSlice, CategorySlice, CrossSlice, VersionSlice, WhereSlice
from tests.support.settings import MINIMAL, kafka, mistakes, raw

FULL = """
kafka:
  bootstrap_servers: localhost:9092
  predictions: {topics: [predictions], mapping: {features: $.payload.inputs, model: =income}}
  labels: {topics: [labels]}
  alerts: {topic: model-alerts}
  dead_letters: {topic: monitor-dead-letters}
redis: {url: redis://localhost:6379/0, shards: 1}
models:
  income:
    task: binary
    threshold: 0.5
    positive_class: ">50K"
    schema: schemas/income.yaml
    reference: {file: reference.jsonl}
    slices:
      - sex
      - [sex, race]
      - {feature: age, bins: [25, 40, 65]}
      - {name: new users, where: {account_age_days: {lt: 30}}}
      - {feature: merchant, top: 50}
    protected: [sex, race]
    labels: {wait: 7d, ready_at: 0.95}
    alerts: {false_alarms: 1 per month, min_effect: 1.25}
    probes: {endpoint: "http://localhost:8000/predict", format: json, sample: 1%, budget_rows_per_s: 50}
"""

SCHEMA = """
version: 1
features:
  sex: {type: category, categories: [Female, Male]}
  race: {type: category, categories: [Black, White], closed: false}
  age: {type: integer, minimum: 0, maximum: 120}
  account_age_days: {type: number}
  merchant: {type: string}
  customer_id: {type: string}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that holds everything the full example names."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "income.yaml").write_text(SCHEMA)
    (tmp_path / "reference.jsonl").write_text("{}\n")
    (tmp_path / "monitor.yaml").write_text(FULL)
    return tmp_path


def test_the_documented_example_is_read(folder: Path) -> None:
    settings = Settings.load(folder / "monitor.yaml", env={})
    model = settings.models["income"]
    assert settings.kafka.bootstrap_servers == ("localhost:9092",)
    assert settings.kafka.input_topics == ("predictions", "labels")
    assert settings.kafka.predictions[0].mapping.get("features", {"payload": {"inputs": {"a": 1}}}) == {
        "a": 1
    }
    assert model.positive_class == ">50K"
    assert model.slices == (
        CategorySlice("sex"),
        CrossSlice(("race", "sex")),
        BinSlice("age", (25.0, 40.0, 65.0)),
        WhereSlice("new users", (("account_age_days", "lt", 30),)),
        CategorySlice("merchant", 50),
    )
    assert model.slice_specs == (*model.slices, CategorySlice("race"), VersionSlice())
    assert model.labels.wait_s == 7 * 86_400
    assert model.labels.sample == 1.0
    assert model.alerts.false_alarms_per_s * 365.25 * 86_400 == pytest.approx(12)
    assert model.feature_schema is not None
    assert list(model.feature_schema.features)[:2] == ["sex", "race"]
    assert model.reference_file == folder / "reference.jsonl"
    assert settings.warnings() == []


def test_defaults(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(MINIMAL)
    settings = Settings.load(tmp_path / "monitor.yaml", env={})
    model = settings.models["income"]
    assert (model.threshold, model.positive_class, model.labels.wait_s) == (0.5, 1, 86_400)
    assert settings.kafka.isolation_level == "read_committed"
    assert settings.kafka.predictions[0].start == "earliest"
    assert settings.kafka.labels == ()
    assert settings.limits.record_bytes_max == 1_048_576
    assert len(settings.warnings()) == 2


def test_settings_cannot_be_changed() -> None:
    settings = Settings.parse(raw())
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.group_id = "other"  # type: ignore[misc]


def test_every_mistake_is_reported_with_its_place_and_the_nearest_key() -> None:
    found = mistakes(
        {
            "kafak": {},
            "kafka": {
                "bootstrap_server": "x:1",
                "predictions": {"topics": [], "mapping": {"request": "$.a", "score": "a.b"}},
            },
            "redis": {"url": "http://localhost"},
            "models": {
                "in come": {},
                "income": {
                    "task": "ranking",
                    "threshold": 2,
                    "slices": ["sex", {"feature": "age", "bin": [1]}],
                    "labels": {"wait": "7 parsecs"},
                    "alerts": {"false_alarms": "seldom"},
                },
            },
        }
    )
    expected = [
        "kafak: unknown key; did you mean kafka?",
        "kafka.bootstrap_server: unknown key; did you mean bootstrap_servers?",
        "kafka.bootstrap_servers: missing",
        "kafka.predictions[0].topics: expected a list of topics",
        "kafka.predictions[0].mapping.request: not a field; did you mean request_id?",
        "kafka.predictions[0].mapping.score: 'a.b': a path begins with $",
        "redis.url: expected redis://",
        "models.in come: expected a name",
        "models.income.task: expected 'binary'",
        "models.income.threshold: expected less than or equal to 1, got 2",
        "models.income.slices[1]: bin: unknown key; did you mean bins?",
        "models.income.labels.wait: not a duration: '7 parsecs'",
        "models.income.alerts.false_alarms: expected a rate",
    ]
    for start in expected:
        assert any(problem.startswith(start) for problem in found), (start, found)
    assert len(found) == len(expected)


def test_slices_and_protected_features_must_be_in_the_schema(folder: Path) -> None:
    text = FULL.replace("- sex\n", "- sexx\n").replace("[sex, race]\n    labels", "[sex, rase]\n    labels")
    (folder / "monitor.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings.load(folder / "monitor.yaml", env={})
    assert caught.value.problems == [
        "models.income.slices[0]: no feature 'sexx' in the schema; did you mean sex?",
        "models.income.protected[1]: no feature 'rase' in the schema; did you mean race?",
    ]


def test_mistakes_in_the_schema_file_are_reported_too(folder: Path) -> None:
    (folder / "schemas" / "income.yaml").write_text("version: 1\nfeatures: {sex: {typ: category}}\n")
    with pytest.raises(SettingsError, match=r"models\.income\.schema: schemas/income\.yaml: .*typ"):
        Settings.load(folder / "monitor.yaml", env={})


def test_missing_files_are_mistakes(folder: Path) -> None:
    (folder / "reference.jsonl").unlink()
    with pytest.raises(SettingsError, match=r"models\.income\.reference\.file: no such file"):
        Settings.load(folder / "monitor.yaml", env={})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kafka: [", "line 2: not YAML"),
        ("- a", "expected the sections kafka, redis and models"),
        ("", "expected the sections"),
        (MINIMAL + "models:\n  other: {}\n", "models is given twice"),
    ],
)
def test_unusable_yaml(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "monitor.yaml").write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        Settings.load(tmp_path / "monitor.yaml", env={})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="monitor init"):
        Settings.load(tmp_path / "monitor.yaml", env={})


def test_the_environment_overrides() -> None:
    env = {
        "MONITOR__KAFKA__BOOTSTRAP_SERVERS": "a:1,b:2",
        "MONITOR__KAFKA__PREDICTIONS__TOPICS": "[p, q]",
        "MONITOR__MODELS__INCOME__THRESHOLD": "0.7",
        "MONITOR__REDIS__PASSWORD": "0123",
        "MONITOR_CONFIG": "elsewhere.yaml",
        "OTHER": "x",
    }
    settings = Settings.parse(raw(), env=env)
    assert settings.kafka.bootstrap_servers == ("a:1", "b:2")
    assert settings.kafka.predictions[0].topics == ("p", "q")
    assert settings.models["income"].threshold == 0.7
    assert settings.redis.password is not None
    assert settings.redis.password.get_secret_value() == "0123"


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    env = {"MONITOR__LIMITS__DEPTH_MAX": "deep", "MONITOR__KAFKA__GROUP": "g", "MONITOR__": "x"}
    found = mistakes(raw(), env)
    assert any(
        p.startswith("limits.depth_max:") and p.endswith("(from MONITOR__LIMITS__DEPTH_MAX)") for p in found
    )
    assert "kafka.group: unknown key; did you mean group_id? (from MONITOR__KAFKA__GROUP)" in found
    assert any(p.startswith("MONITOR__:") for p in found)


def test_the_environment_reaches_into_lists_but_not_through_values() -> None:
    two = kafka(predictions=[{"topics": ["a"]}, {"topics": ["b"]}])
    settings = Settings.parse(two, env={"MONITOR__KAFKA__PREDICTIONS__1__START": "latest"})
    assert [source.start for source in settings.kafka.predictions] == ["earliest", "latest"]
    assert "position below 2" in mistakes(two, {"MONITOR__KAFKA__PREDICTIONS__2__START": "latest"})[0]
    assert "not a section" in mistakes(raw(), {"MONITOR__KAFKA__BOOTSTRAP_SERVERS__X": "1"})[0]


@pytest.mark.parametrize(
    ("keys", "place", "advice"),
    [
        ({"ssl_check_hostname": True}, "kafka.ssl_check_hostname", "set it to SSL"),
        ({"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": "c"}, "kafka.ssl_cafile", "to SASL_SSL"),
        ({"sasl_username": "u"}, "kafka.sasl_username", "asks to log in"),
        ({"security_protocol": "SSL", "sasl_password": "p"}, "kafka.sasl_password", "to SASL_SSL"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "u"}, "kafka.sasl_password", "missing"),
        ({"security_protocol": "SSL", "ssl_certfile": "c"}, "kafka.ssl_certfile", "with ssl_keyfile"),
        ({"security_protocol": "SSL", "bootstrap_servers": "embedded"}, "kafka.security_protocol", "speaks"),
        ({"security_protocol": "TLS"}, "kafka.security_protocol", "'SASL_SSL'"),
        ({"sasl_mechanism": "GSSAPI", "security_protocol": "SASL_SSL"}, "kafka.sasl_mechanism", "'PLAIN'"),
    ],
)  # fmt: skip
def test_kafka_security_is_never_weaker_than_asked(keys: dict[str, Any], place: str, advice: str) -> None:
    assert any(p.startswith(place + ":") and advice in p for p in mistakes(kafka(**keys)))


def test_kafka_connection(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    keys = {
        "security_protocol": "SASL_SSL",
        "sasl_username": "u",
        "sasl_password": "p",
        "ssl_cafile": "ca.pem",
    }
    connection = Settings.parse(kafka(**keys), base=tmp_path).kafka.connection()
    assert connection["sasl_password"] == "p"
    assert connection["ssl_cafile"] == str(tmp_path / "ca.pem")
    assert connection["bootstrap_servers"] == "localhost:9092"


@pytest.mark.parametrize(
    ("redis", "place"),
    [
        ({"url": "redis://localhost", "ssl_ca_certs": "ca.pem"}, "redis.ssl_ca_certs"),
        ({"url": "redis://localhost?ssl_cert_reqs=required"}, "redis.url"),
        ({"url": "embedded", "ssl_ca_certs": "ca.pem"}, "redis.ssl_ca_certs"),
        ({"url": "redis://u:p@localhost", "password": "q"}, "redis.password"),
        ({"shards": 0}, "redis.shards"),
    ],
)
def test_redis_refusals(redis: dict[str, Any], place: str) -> None:
    assert any(problem.startswith(place + ":") for problem in mistakes(raw(redis=redis)))


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"labels": {"topics": ["predictions"]}}, "topic predictions is kafka.predictions already"),
        ({"alerts": {"topic": "predictions"}}, "topic predictions is kafka.alerts already"),
        ({"dead_letters": {"topic": "model-alerts"}}, "topic model-alerts is kafka.alerts already"),
        ({"predictions": []}, "kafka.predictions: expected {topics"),
        ({"bootstrap_servers": "localhost"}, "expected host:port"),
        ({"predictions": {"topics": ["a b"]}}, "expected the name of a topic"),
    ],
)
def test_topics(keys: dict[str, Any], complaint: str) -> None:
    assert any(complaint in problem for problem in mistakes(kafka(**keys)))


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ({"positive_class": "yes", "negative_class": "yes"}, "is the positive class too"),
        ({"positive_class": 0.5}, "expected a class"),
        ({"reference": {"file": "x.csv", "columns": {"lable": "y"}}}, "not a field; did you mean label?"),
        ({"reference": {"columns": {}, "from": 1, "to": 2}}, "comes together with file"),
        ({"reference": {}}, "either {file} or {from, to}"),
        ({"reference": {"from": "2026-01-02"}}, "comes together with to"),
        ({"reference": {"from": "2026-01-02", "to": "2026-01-01"}}, "must be later than from"),
        ({"labels": {"sample": "0%"}}, "expected a share"),
        ({"labels": {"ready_at": 1.5}}, "expected a share"),
        ({"labels": {"wait": "0s"}}, "greater than or equal to 1"),
        ({"slices": ["sex", "sex"]}, "declared twice"),
        ({"slices": "sex"}, "expected a list"),
        ({"alerts": {"min_effect": 1}}, "greater than 1"),
        ({"probes": {"endpoint": "localhost"}}, "probes.endpoint"),
        ({"task": "multiclass"}, "list the classes"),
        ({"task": "multiclass", "classes": ["a", "a"]}, "names 'a' twice"),
        ({"task": "multiclass", "classes": ["a", "b"], "threshold": 0.5}, "is a key of binary models"),
        ({"classes": ["a", "b"]}, "is a key of multiclass models; this one is binary"),
        ({"task": "regression", "unit": 0}, "above 0 (1e-154 to 1e154), such as 1000; got 0"),
        ({"task": "regression", "unit": 1e300}, "got 1e+300"),
        (None, "expected a section"),
    ],
)
def test_model_refusals(model: Any, complaint: str) -> None:
    found = mistakes(raw(models={"income": model}))
    assert any(complaint in problem for problem in found), found


def test_a_reference_may_be_a_stretch_of_time() -> None:
    model = {"reference": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02"}}
    reference = Settings.parse(raw(models={"income": model})).models["income"].reference
    assert reference is not None
    assert (reference.from_ms, reference.to_ms) == (1_767_225_600_000, 1_767_312_000_000)


def test_tiers_by_name() -> None:
    assert Settings.parse(raw(tiers="demo")).tiers == DEMO_TIERS
    assert "expected default or demo" in mistakes(raw(tiers="fine"))[0]


def test_embedded_services_are_given_their_addresses() -> None:
    settings = Settings.parse(kafka(bootstrap_servers="embedded") | {"redis": {"url": "embedded"}})
    assert settings.kafka.embedded
    assert settings.redis.embedded
    there = settings.at(bootstrap_servers="127.0.0.1:9", redis_url="redis://127.0.0.1:8/0")
    assert not there.kafka.embedded
    assert (there.kafka.bootstrap_servers, there.redis.url) == (("127.0.0.1:9",), "redis://127.0.0.1:8/0")


def test_the_paths_of_settings() -> None:
    paths = setting_paths()
    assert "kafka.predictions.topics" in paths
    assert "models.NAME.labels.wait" in paths
    assert len(set(paths)) == len(paths)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [path.rpartition(".")[2] for path in setting_paths()]


@given(
    kafka=JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6),
    redis=JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
    model=JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6),
)
@example(kafka={}, redis={}, model={"[key]": None})
def test_whatever_is_written_is_answered_in_words(kafka: Any, redis: Any, model: Any) -> None:
    with pytest.raises(SettingsError):
        Settings.parse({"kafka": kafka, "redis": redis, "models": {"m": model}, "zzz": 1})


def test_a_small_file_cannot_say_more_than_memory_holds(tmp_path: Path) -> None:
    lines = ["x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]" for i in range(1, 12)]
    for text in ("\n".join([*lines, "redis: *x11"]), "redis: &a {url: *a}"):
        (tmp_path / "monitor.yaml").write_text(text)
        with pytest.raises(
            SettingsError, match=r"aliases repeat more than 1,000,000 characters|is part of what it repeats"
        ):
            Settings.load(tmp_path / "monitor.yaml", env={})
    told = mistakes(raw(), {"MONITOR__REDIS__URL": "&a [*a]"})
    assert told == ["MONITOR__REDIS__URL: the value is not YAML; put it in quotes inside the quotes"]
