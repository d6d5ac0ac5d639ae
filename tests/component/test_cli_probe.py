"""`monitor probe` against a model behind HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from monitor.cli.main import app
from monitor.core.counters import DEFAULT_TIERS
from monitor.edges.redis.store import RedisStore
from monitor.ports import ProbeFlush, RankedCase
from tests.support.redis_servers import running, valkey_binary

RUNNER = CliRunner()


class Handler(BaseHTTPRequestHandler):
    """An effect of sex, and null read as 0."""

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        try:
            scores = [min(1.0, (row["x"] or 0) / 10 + 0.2 * (row["sex"] == "M")) for row in rows]
            status, body = 200, json.dumps({"predictions": scores})
        except (TypeError, KeyError):
            status, body = 400, "{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/predict"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("probe") / "rows.csv"
    rng = np.random.default_rng(2)
    lines = [f"{rng.uniform(0, 8):.2f},{'FM'[int(rng.integers(2))]}" for _ in range(3_200)]
    file.write_text("\n".join(["x,sex", *lines]))
    return str(file)


def run(*arguments: str) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["probe", *arguments])
    return result.exit_code, result.output


def test_a_release_is_held_up_or_let_go(url: str, sample: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    common = [
        "--model-url",
        url,
        "--sample",
        sample,
        "--protected",
        "sex",
        "--requests",
        "20",
        "-o",
        str(report),
    ]
    code, output = run(*common, "--tolerance", "counterfactual=1%", "--json")
    found = json.loads(output)
    assert (code, found["passed"], found["tolerances"][0]["where"]) == (1, False, "sex")
    assert found["types"]["x"]["null"]["different"] > 0
    assert report.read_text().startswith("<!doctype html>")
    code, output = run(*common, "--tolerance", "counterfactual=100%", "--only", "counterfactual")
    assert code == 0
    assert "counterfactual" in output
    assert "kept" in output

    case = tmp_path / "case.json"
    case.write_text(json.dumps(found))
    code, output = run("--replay", str(case), "--model-url", url, "--json")
    assert (code, json.loads(output)["same"]) == (0, True)
    stored = found["cases"][0] | {"after": {"score": 0.0123, "decision": None, "error": None}}
    case.write_text(json.dumps(stored))
    code, output = run("--replay", str(case), "--model-url", url)
    assert code == 1
    assert "0.0123 then" in output


def test_settings_name_the_endpoint(url: str, sample: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "version: 1\nprobes: {counterfactual: 0}\n"
        "features: {x: {type: number}, sex: {type: category, categories: [F, M]}}\n"
    )
    settings = tmp_path / "monitor.yaml"
    settings.write_text(
        "kafka: {bootstrap_servers: localhost:1, predictions: {topics: [p]}}\n"
        "redis: {url: redis://localhost:1/0}\n"
        f"models: {{m: {{schema: s.yaml, protected: [sex], probes: {{endpoint: '{url}'}}}}}}\n"
    )
    output = str(tmp_path / "r.html")
    code, text = run("-c", str(settings), "--sample", sample, "--requests", "10", "-o", output)
    assert code == 1
    assert "broken" in text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--model-url", "{url}"],
        ["--model-url", "ftp://x/", "--sample", "{sample}"],
        ["--model-url", "{url}", "--sample", "nowhere.csv"],
        ["--model-url", "http://127.0.0.1:1/", "--sample", "{sample}"],
        ["--model-url", "{url}", "--sample", "{sample}", "--tolerance", "x=1"],
        ["--model-url", "{url}", "--sample", "{sample}", "--only", "x"],
        ["--model-url", "{url}", "--sample", "{sample}", "--threshold", "x"],
        ["--model-url", "{url}", "--sample", "{sample}", "--template", "{}"],
        ["--model-url", "{url}", "--sample", "{sample}", "--token-env", "MONITOR_NO_SUCH_TOKEN"],
        ["--model-url", "{url}", "--replay", "nowhere.json"],
    ],
)
def test_what_cannot_be_done_is_exit_code_2(arguments: list[str], url: str, sample: str) -> None:
    told = [text.replace("{url}", url).replace("{sample}", sample) for text in arguments]
    code, _ = run(*told)
    assert code == 2


async def test_a_case_of_the_live_monitor_is_asked_again(url: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "version: 1\nfeatures:\n  x: {type: number}\n  sex: {type: category, categories: [F, M]}\n"
    )
    config = tmp_path / "monitor.yaml"
    case = {
        "id": "c-1",
        "original": {"x": 3, "sex": "F"},
        "changed": {"x": 3, "sex": "M"},
        "before": {"score": 0.3, "decision": None, "error": None},
        "after": {"score": 0.5, "decision": None, "error": None},
    }

    def ask(*arguments: str) -> Result:
        return RUNNER.invoke(app, ["probes", "m", "-c", str(config), *arguments])

    with running("valkey", valkey_binary()) as server:
        config.write_text(
            "kafka: {bootstrap_servers: localhost:1, predictions: {topics: [p]}}\n"
            f"redis: {{url: '{server.url}'}}\n"
            f"models: {{m: {{schema: s.yaml, probes: {{endpoint: '{url}'}}}}}}\n"
        )
        store = RedisStore(server.url, 1, {"m": 60})
        await store.open()
        kept = [RankedCase("c-1", "1", "g", json.dumps(case).encode())]
        await store.add_probes(ProbeFlush("m", "w", 1, [], DEFAULT_TIERS, {}, kept))
        await store.close()
        told = await asyncio.to_thread(ask, "--replay", "c-1", "--json")
        assert (told.exit_code, json.loads(told.stdout)["same"]) == (0, True), told.output
        shown = await asyncio.to_thread(ask, "--replay", "c-1")
        assert "The model says the same" in shown.stdout
        unknown = await asyncio.to_thread(ask, "--replay", "c-2")
    assert unknown.exit_code == 2
    assert "no case 'c-2'" in unknown.stderr
