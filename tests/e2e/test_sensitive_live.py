"""Values of sensitive features are in nothing that leaves the monitor: worker, topics, pages, commands.

Every income is one of 731,940,000 to 731,949,999, every IBAN begins with XQ, every town with Zz: what is
grepped for can be nothing else.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.config import Settings
from monitor.core.masking import UNDECLARED, hashed, key_of
from monitor.core.schema.inference import infer
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, read_last
from monitor.edges.reader import MetricsReader
from monitor.edges.web.dashboard import html
from monitor.edges.web.page_data import page
from monitor.wiring import open_reader
from tests.support.live import make_topics, wait_until_read, worker
from tests.support.model_servers import by, serving
from tests.support.redis_servers import contents, free_port, running, valkey_binary

MODEL = "loans"
KEY = "a key that nobody may see"
ROWS, BROKEN_FROM, PER_SECOND = 12_000, 9_000, 100
BEYOND_EACH = 3  # one request in so many has features that the schema does not name
LANDED = range(BROKEN_FROM, ROWS, 500)  # requests whose score and time are values of features
TOWNS = ("Zzanford", "Zzedam", "Zzwolle")
SENSITIVE = ("iban", "income", "town", "gender")
JOB = "Slaes"  # misspelt, and not sensitive: what shows that evidence is there at all

# So long that no other bytes hold them by chance. Microseconds of the store's clock, and fractions, may have
# the digits of an income in their middle.
PLANTED = re.compile(
    rb"XQ\d{5,}|XQ\d+ planted|Zz(?:anf|eda|wol|ecr)|(?<![\d.])7(?:[.,]?3194\d{4}|31,94\d,\d)"
)
NUMBERS = [msgpack.packb(731_940_000 + i) for i in range(10_000)]


def request(rng: random.Random, at: int) -> dict[str, Any]:
    broken = at >= BROKEN_FROM
    row: dict[str, Any] = {
        "iban": f"XQ{rng.randrange(10_000_000):07d}",
        "income": 731_940_000 + rng.randrange(10_000) // (2 if broken else 1),
        "town": rng.choice(TOWNS[:1] if broken else TOWNS),
        "gender": rng.choice(["Female", "Male"]),
        "job": rng.choice(["Sales", "Retail", "Crafts"]),
        "debt": round(rng.random(), 3),
    }
    if broken and at % 4 == 0:
        row |= {"iban": f"XQ{rng.randrange(100)} planted", "job": JOB, "town": "Zzecretville"}
    if broken and at % 4 == 1:
        row["income"] = str(row["income"])
    return row


def beyond(row: dict[str, Any]) -> dict[str, Any]:
    """The same request with its sensitive values once more: misspelt, nested, and as a name."""
    person = {"income": row["income"], "iban": row["iban"], "town": row["town"]}
    return {**row, "Income": row["income"], "applicant": person, row["iban"]: 1}


def score(row: dict[str, Any]) -> float:
    """Jumps with each sensitive feature, so that probes find something to tell of all of them."""
    income = row.get("income")
    rich = isinstance(income, int | float) and income > 731_945_000
    woman, far = row.get("gender") == "Female", row.get("town") == TOWNS[2]
    return min(0.99, 0.3 + 0.4 * rich + 0.25 * woman + 0.3 * (far and not rich))


def answer(document: Any) -> tuple[int, Any]:
    return 200, {"predictions": [{"score": score(row)} for row in document["instances"]]}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", [KEY, None])
async def test_planted_values_leave_by_no_way(
    key: str | None, kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key is not None:
        monkeypatch.setenv("MONITOR__SENSITIVE_KEY", key)
    rng = random.Random(5)
    schema = infer([request(rng, 0) for _ in range(3_000)])
    for name in SENSITIVE:
        schema.features[name] = schema.features[name].model_copy(update={"sensitive": True})
    iban = schema.features["iban"]
    schema.features["iban"] = iban.model_copy(update={"pattern": "XQ[0-9]{7}", "reference": None})
    schema.dump(tmp_path / "loans.yaml")
    tag, port = uuid.uuid4().hex[:8], free_port()
    # Given a dedicated store, all that is in it is of this test.
    with running("valkey", valkey_binary()) as store:
        async with serving(by(answer)) as asked:
            settings = described(kafka, store.url, tag, asked.port, port)
            make_topics(kafka, settings, 2)
            config = tmp_path / "monitor.yaml"
            rows = [{"features": beyond(request(rng, 0))} for _ in range(60)]
            (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
            out: dict[str, str] = {}
            with worker(settings, tmp_path, "--log-level", "debug"):
                started_ms = int(time.time() * 1000) - 1000 * ROWS // PER_SECOND
                await asyncio.to_thread(send, kafka, settings, started_ms, rng)
                names = [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]
                await asyncio.to_thread(wait_until_read, kafka, store.url, 1, names, tmp_path)
                await until(lambda: found_enough(store.url), tmp_path)
                out["metrics"] = await fetch(f"http://127.0.0.1:{port}/metrics")
                out["readyz"] = await fetch(f"http://127.0.0.1:{port}/readyz")
                out |= await asyncio.to_thread(commands, config, tmp_path)
            read = Settings.load(config)
            out["dashboard"] = dashboard(read)
            connection = KafkaConnection(kafka)
            told = {name: read_last(connection, settings["kafka"][name]["topic"], 10_000)
                    for name in ("alerts", "dead_letters")}  # fmt: skip
            out |= {name: b"\n".join(r.value or b"" for r in records).decode()
                    for name, records in told.items()}  # fmt: skip
            out["log"] = (tmp_path / "worker.log").read_text()
        everything = {name: text.encode() for name, text in out.items()} | {"redis": contents(store.url)}
    check_alerts(out["alerts"], key)
    assert JOB in out["violations"] or JOB in out["schema"], "evidence is there, of what may be shown"
    assert UNDECLARED.encode() in everything["redis"], "cases say that something is left out"
    assert b"undeclared feature" in everything["redis"]
    assert len(out["dead_letters"].splitlines()) == 2
    for name, data in everything.items():
        assert not PLANTED.findall(data), (name, PLANTED.findall(data)[:5])
        assert KEY.encode() not in data, name
        # A score or a counter may look like one of the numbers by chance, not like several.
        assert sum(number in data for number in NUMBERS) <= 1, name
    if key is not None:
        told_hash = hashed(key_of(key), "town", "Zzecretville")
        for name in ("redis", "probes.html", "probes"):
            assert b"hashed:" in everything[name], name
        assert told_hash.encode() in everything["redis"], "equal values are told alike"
        assert json.loads(out["dead_letters"].splitlines()[0])["value_head"].startswith("hashed:")
    else:
        assert not any(b"hashed:" in data for data in everything.values())


def described(kafka: str, redis_url: str, tag: str, model_port: int, web_port: int) -> dict[str, Any]:
    return {
        "kafka": {
            "bootstrap_servers": kafka,
            "group_id": f"sensitive-{tag}",
            "predictions": {"topics": [f"sensitive-predictions-{tag}"]},
            "labels": {"topics": [f"sensitive-labels-{tag}"]},
            "alerts": {"topic": f"sensitive-alerts-{tag}"},
            "dead_letters": {"topic": f"sensitive-dead-{tag}"},
        },
        "redis": {"url": redis_url},
        "tiers": "demo",
        "web": {"port": web_port},
        "models": {
            MODEL: {
                "task": "binary",
                "schema": "loans.yaml",
                "slices": ["job"],
                "protected": ["gender"],
                "labels": {"wait": "60s"},
                "probes": {
                    "endpoint": f"http://127.0.0.1:{model_port}/predict",
                    "sample": "100%",
                    "budget_rows_per_s": 2_000,
                },
            }
        },
    }


def send(kafka: str, settings: dict[str, Any], started_ms: int, rng: random.Random) -> None:
    predictions, labels = (settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels"))
    with TopicProducer(KafkaConnection(kafka)) as producer:
        for at in range(ROWS):
            row, at_ms = request(rng, at), started_ms + 1000 * at // PER_SECOND
            sent = beyond(row) if at % BEYOND_EACH == 0 else row
            record = {"request_id": f"r-{at}", "model": MODEL, "timestamp": at_ms, "features": sent}
            record["score"] = row["town"] if at in LANDED else score(row)
            if at in LANDED:
                record["timestamp"] = row["iban"]
            producer.send(predictions, json.dumps(record).encode(), None, at_ms)
            label = {"request_id": f"r-{at}", "model": MODEL, "timestamp": at_ms, "label": at % 2}
            producer.send(labels, json.dumps(label).encode(), None, at_ms)
        row = request(rng, 0)
        unreadable = json.dumps({"request_id": "x", "features": row})
        for text in (unreadable[:-9], json.dumps({"request_id": "x", "model": "Zzecretville"})):
            producer.send(predictions, text.encode(), None, started_ms)


def found_enough(url: str) -> bool:
    """Alerts of violations, distributions and probes are there."""
    data = contents(url)
    kinds = (b'"violation_rate"', b'"drift"', b'"counterfactual"', b'"sharp_edge"')
    return all(kind in data for kind in kinds)


async def until(holds: Callable[[], bool], directory: Path) -> None:
    deadline_s = time.monotonic() + 300
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline_s, (directory / "worker.log").read_text()[-4_000:]
        await asyncio.sleep(0.5)


async def fetch(url: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(url) as got:
        return await got.text()


def commands(config: Path, directory: Path) -> dict[str, str]:
    """What each command prints, as text and as JSON."""
    report = str(directory / "probes.html")
    probe = ["probe", "--sample", str(directory / "rows.jsonl"), "--requests", "8", "--output", report]
    asked = {
        "slices": ["slices", MODEL, "--since", "1h"],
        "violations": ["violations", MODEL, "--since", "1h"],
        "fairness": ["fairness", MODEL, "--since", "1h", "--by", "job"],
        "schema": ["schema", "diff", MODEL],
        "probes": ["probes", MODEL, "--since", "1h"],
        "alerts_command": ["alerts", "--all"],
        "check": ["check"],
        "probe": probe,
    }
    out, runner = {}, CliRunner()
    for name, command in asked.items():
        told = []
        for more in ([], ["--json"]):
            done = runner.invoke(app, [*command, "--config", str(config), *more])
            assert done.exit_code in (0, 1), (command, done.output)
            told.append(done.output)
        out[name] = "\n".join(told)
    out["probes.html"] = Path(report).read_text()
    return out


def dashboard(settings: Settings) -> str:
    schemas = {name: model.feature_schema for name, model in settings.models.items()}
    with closing(open_reader(settings)) as reader:
        shown = page(reader, MetricsReader(reader, settings.tiers), schemas, {MODEL: 60}, MODEL, "1h")
        return html(shown) + repr(shown)


def check_alerts(text: str, key: str | None) -> None:
    """The right alerts were told, about sensitive features too."""
    alerts = [alert for line in text.splitlines() if "kind" in (alert := json.loads(line))]
    told = {(alert["kind"], alert["subject"].get("feature")) for alert in alerts}
    assert {("violation_rate", "iban"), ("drift", "town"), ("counterfactual", "gender")} <= told
    cases = [case for alert in alerts for case in alert.get("cases") or ()]
    assert cases
    mask = "hashed:" if key else "(not shown)"
    assert all(case["original"][name].startswith(mask) for case in cases for name in SENSITIVE)
