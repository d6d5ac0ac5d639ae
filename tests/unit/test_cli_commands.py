"""The command line as far as it goes without services."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import monitor
from monitor.cli.main import app
from monitor.config import Settings
from monitor.core.counters import LAYOUT_VERSION
from monitor.core.errors import MonitorError
from monitor.core.schema import FeatureSchema

RUNNER = CliRunner()
COMMANDS = [command.name for command in app.registered_commands]

SETTINGS = """
kafka:
  bootstrap_servers: 127.0.0.1:1
  predictions: {topics: [predictions]}
models:
  income: {}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A settings file whose services are not there."""
    path = tmp_path / "monitor.yaml"
    path.write_text(SETTINGS + "redis: {url: redis://127.0.0.1:1/0}\n")
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str) -> None:
    result = RUNNER.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: monitor {command}" in result.output


def test_help_lists_every_command() -> None:
    output = RUNNER.invoke(app, ["--help"]).output
    assert all(str(command) in output for command in COMMANDS)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from monitor.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([name for name in ('faust', 'numpy', 'scipy', 'pydantic', 'kafka', 'redis', 'sklearn')"
        " if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_version() -> None:
    assert RUNNER.invoke(app, ["version"]).output.startswith("monitor 0.")
    assert json.loads(RUNNER.invoke(app, ["version", "--json"]).output)["layout"] == LAYOUT_VERSION


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["run"],
        ["slices", "income"],
        ["violations", "income"],
        ["alerts"],
        ["init", "--create-topics"],
    ],
)
def test_without_settings_there_is_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    result = RUNNER.invoke(app, [*arguments, "--config", str(tmp_path / "monitor.yaml")])
    assert result.exit_code == 2
    assert "monitor.yaml: 1 mistake" in result.stderr
    assert "monitor init" in result.stderr
    assert "Traceback" not in result.output


def test_the_settings_file_may_be_named_in_the_environment(config: str) -> None:
    result = RUNNER.invoke(app, ["slices", "incomes"], env={"MONITOR_CONFIG": config})
    assert result.exit_code == 2
    assert result.stderr == "monitor: no model 'incomes'; did you mean income?\n"


def test_errors_show_where_they_came_from_when_asked(config: str) -> None:
    result = RUNNER.invoke(app, ["slices", "x", "-c", config], env={"MONITOR_DEBUG": "1"})
    assert isinstance(result.exception, MonitorError)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["slices", "income", "--where", "sex"], "expected key=value, got 'sex'"),
        (["alerts", "--kind", "violation"], "no alert kind violation"),
        (["alerts", "incomes"], "did you mean income?"),
        (["init"], "nothing to learn from"),
        (["init", "--sample", "a.csv", "--topic", "t"], "learn from one of them"),
        (["init", "--topic", "t", "--label", "y"], "--label: names a column of --sample"),
        (["init", "--topic", "labels"], "--labels-topic: labels is the topic of predictions"),
        (["init", "--create-topics", "--redis-url", "redis://x"], "--redis-url: has no effect"),
        (["probe", "--threshold", "none", "--sample", "a.csv"], "--threshold: is of --model-url"),
        (["replay", "a.csv"], "kafka.labels: no topic is configured"),
        (
            ["replay", "a.csv", "--as", "predictions", "--rate", "fast"],
            "--rate: expected a number above 0, or max; got fast",
        ),
        (["replay", "a.csv", "--as", "predictions", "--rate", "0"], "--rate: expected a number above 0"),
        (["replay", "a.csv", "--as", "predictions", "--label-delay", "soon"], "not a duration"),
        (["replay", "a.csv", "--as", "predictions", "--topic", "t"], "not an input topic"),
        (["replay", "no-such.csv", "--as", "predictions"], "No such file"),
        (["replay", "no-such.csv", "--model", "incom"], "did you mean income?"),
        (["slices", "income"], "Redis"),
        (["run", "-n", "4", "--web-port", "65533"], "begin at 65532 or below"),
    ],
)
def test_what_is_wrong_is_said(config: str, arguments: list[str], complaint: str) -> None:
    result = RUNNER.invoke(app, [*arguments, "-c", config])
    assert result.exit_code == 2, result.output
    assert complaint in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["dashboard", "--port"], ["run", "--web-port"]])
@pytest.mark.parametrize(("port", "complaint"), [("99999", "65535"), ("-1", "0")])
def test_ports_that_there_are_not_are_refused(
    config: str, arguments: list[str], port: str, complaint: str
) -> None:
    result = RUNNER.invoke(app, [*arguments, port, "-c", config])
    assert result.exit_code == 2
    assert f"than or equal to {complaint}" in " ".join(result.stderr.split())


def test_embedded_services_are_out_of_reach(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_text(SETTINGS.replace("127.0.0.1:1", "embedded"))
    result = RUNNER.invoke(app, ["check", "-c", str(path)])
    assert result.exit_code == 2
    assert "monitor up" in result.stderr


CSV = "id,age,sex,p,y_true,ts\n" + "".join(
    f"r-{i},{20 + i % 50},{'Female' if i % 3 else 'Male'},{i % 100 / 100},{'good' if i % 4 else 'bad'},"
    f"2026-01-01T00:00:{i % 60:02}Z\n"
    for i in range(2_000)
)


def test_init_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text(CSV)
    config = tmp_path / "monitor.yaml"
    arguments = ["init", "--sample", str(tmp_path / "loans.csv"), "--score", "p", "-c", str(config)]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "score ← p" in result.stdout
    assert "reference: loans.csv" in result.stdout
    assert "look for" not in result.stdout
    model = Settings.load(config, env={}).models["loans"]
    assert model.positive_class == "bad"
    assert model.feature_schema == FeatureSchema.load(tmp_path / "schemas" / "loans.yaml")
    assert list(model.feature_schema.features) == ["age", "sex"]
    assert model.protected == ("sex",)
    assert model.reference is not None
    assert model.reference.file == tmp_path / "loans.csv"
    assert model.reference.columns == {
        "score": "p", "label": "y_true", "request_id": "id", "timestamp": "ts"
    }  # fmt: skip
    again = RUNNER.invoke(app, arguments)
    assert again.exit_code == 2
    assert "--force overwrites it" in again.stderr
    assert RUNNER.invoke(app, [*arguments, "--force", "--model", "other"]).exit_code == 0
    assert list(Settings.load(config, env={}).models) == ["other"]


def test_init_from_records_in_plain_form(tmp_path: Path) -> None:
    rows = [
        {"request_id": f"r-{i}", "model": "income", "features": {"age": i}, "score": 0.5} for i in range(100)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = tmp_path / "monitor.yaml"
    result = RUNNER.invoke(app, ["init", "--sample", str(tmp_path / "rows.jsonl"), "-c", str(config)])
    assert result.exit_code == 0, result.output
    assert "look for label: no such column" in result.stdout
    assert "score or decision" not in result.stdout
    model = Settings.load(config, env={}).models["income"]
    assert model.reference is None
    assert model.feature_schema is not None
    assert list(model.feature_schema.features) == ["age"]


def test_init_refuses_columns_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text(CSV)
    arguments = ["init", "--sample", str(tmp_path / "loans.csv"), "-c", str(tmp_path / "monitor.yaml")]
    result = RUNNER.invoke(app, [*arguments, "--label", "outcome"])
    assert result.exit_code == 2
    assert "no column 'outcome'; there are id, age" in result.stderr
    assert not (tmp_path / "monitor.yaml").exists()


def test_the_public_names() -> None:
    for name in monitor.__all__:
        assert getattr(monitor, name) is not None
    assert set(monitor.__all__) <= set(dir(monitor))
    with pytest.raises(AttributeError, match="no attribute 'Setings'"):
        monitor.Setings  # noqa: B018 - the access is the test


def test_importing_the_core_imports_no_edge() -> None:
    code = "import sys, monitor.core.records\nprint([m for m in sys.modules if m.startswith('monitor.e')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_only_model_need_not_be_named(config: str) -> None:
    result = RUNNER.invoke(app, ["slices", "-c", config])
    assert result.exit_code == 2
    assert "Redis" in result.stderr
