"""Text of a settings file, and of the environment's overrides after it.

It is refused with every mistake in words, or read; what was read makes plans and sources. No secret that
stands where a secret belongs is told, in a refusal or in the settings' own form.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from monitor.config import Settings
from monitor.core.errors import SettingsError
from monitor.core.schema.text import read_yaml
from monitor.wiring import connection, model_plan, sources, task_of, web_access
from tests.fuzz.targets.target import Target

_APART = b"\x1e"
_SECRET = "s3cr3t-W0RD-of-some-length"
_SECRET_KEYS = frozenset({"password", "sasl_password", "token"})


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-settings-"))
    (folder / "schema.yaml").write_text(
        "features: {sex: {type: category, closed: false}, age: {type: integer}}\n"
    )
    (folder / "rows.csv").write_text("age,sex,score,label\n1,F,0.5,1\n")
    return folder


def run(data: bytes) -> None:
    text, *variables = data.split(_APART)
    file = _folder() / "monitor.yaml"
    file.write_bytes(text)
    pairs = [v.decode("utf-8", "replace").partition("=") for v in variables]
    env = {f"MONITOR__{name}": value for name, _, value in pairs}
    try:
        settings = Settings.load(file, env)
    except SettingsError as error:
        assert error.problems, "a refusal says why"
        assert all(problem.isprintable() for problem in error.problems), "in words that move no cursor"
        assert all(len(problem) < 3_000 for problem in error.problems), "that can be read"
        if not env and not _astray(text):
            assert _SECRET not in str(error), "and tell no secret"
        return
    if not env and not _astray(text):
        assert _SECRET not in repr(settings), "settings tell no secret"
    sources(settings)
    connection(settings)
    web_access(settings)
    settings.warnings()
    for name, model in settings.models.items():
        model_plan(name, model, settings)
        task_of(model)


def _astray(text: bytes) -> bool:
    """Whether the secret stands anywhere but where secrets belong."""
    try:
        document, _ = read_yaml(text.decode())
    except UnicodeDecodeError:
        return True
    return text.count(_SECRET.encode()) != _kept(document)


def _kept(value: Any) -> int:
    if isinstance(value, dict):
        return sum(
            str(inner).count(_SECRET) if key in _SECRET_KEYS and isinstance(inner, str) else _kept(inner)
            for key, inner in value.items()
        )
    return sum(map(_kept, value)) if isinstance(value, list) else 0


_FULL = f"""kafka:
  bootstrap_servers: k:9092
  security_protocol: SASL_SSL
  sasl_mechanism: PLAIN
  sasl_username: u
  sasl_password: {_SECRET}
  predictions: {{topics: [p], mapping: {{request_id: $.a.b, model: =m}}}}
  labels: [{{topics: [l], start: latest}}]
redis: {{url: 'rediss://r:6379/0', shards: 3, username: u, password: {_SECRET}}}
limits: {{record_bytes_max: 1000, depth_max: 9, slices_max: 10, outbox_max: 100}}
worker: {{stall_timeout: 2m, grace: 1s}}
web: {{host: 0.0.0.0, port: 1, token: {_SECRET}}}
models:
  m:
    task: binary
    threshold: 0.4
    positive_class: ">50K"
    schema: schema.yaml
    reference: {{file: rows.csv, columns: {{score: score}}}}
    slices: [sex, {{feature: age, bins: [25, 40]}}, {{name: n, where: {{age: {{lt: 30}}}}}}]
    protected: [sex]
    legitimate: [age]
    labels: {{wait: 7d, ready_at: 95%, sample: 10%}}
    alerts: {{false_alarms: 1 per month, silences: [{{from: 2026-01-01, to: 2026-01-02, repeat: 7d}}]}}
    probes: {{endpoint: 'http://m/p', format: json, sample: 1%, budget_rows_per_s: 50}}
""".encode()
_LEAST = b"kafka: {bootstrap_servers: embedded, predictions: {topics: [p]}}\nmodels: {m: {}}\n"

TARGET = Target(
    run,
    seeds=(
        _FULL,
        _LEAST,
        _LEAST + b"\x1eKAFKA__BOOTSTRAP_SERVERS=k:9092\x1eMODELS__M__TASK=regression\x1eREDIS__SHARDS=2",
        b"kafka: {bootstrap_servers: [a:1, b:2], predictions: {topics: p}}\nmodels:\n  m: {task: multiclass,"
        b" classes: [a, b, 3]}\n  n: {task: regression, unit: 2.5}\ntiers: demo\nredis: {url: embedded}\n",
    ),
)
