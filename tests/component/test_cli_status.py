"""`monitor status` tells what workers said, and its exit code whether the monitor may be blind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.core.own_health import WorkerReport
from monitor.edges.redis import RedisReader, RedisStore
from monitor.ports import EVALUATOR_VIEW, LOOKED_FIELD, SKIPPED_FIELD, Partition
from tests.support.redis_servers import running, valkey_binary

REPORT = WorkerReport(
    worker="w-1", joined=True, partitions=2, records=1_234, rejected={"not_json": 3}, lag=17, fence_age_s=2.5,
    flush_ms_p50=4.0, flush_ms_p99=9.0, evaluator_age_s=1.0, probe_rows={"m": 77},
)  # fmt: skip


@pytest.fixture
def url() -> Iterator[str]:
    with running("valkey", valkey_binary()) as server:
        yield server.url


def status(config: Path, *more: str, code: int) -> str:
    done = CliRunner().invoke(app, ["status", "-c", str(config), *more], env={"COLUMNS": "160"})
    assert done.exit_code == code, done.output
    return done.output


async def test_all_is_told(url: str, tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    kafka = {"bootstrap_servers": "127.0.0.1:1", "predictions": {"topics": ["p"]}}
    config.write_text(yaml.safe_dump({"kafka": kafka, "redis": {"url": url}, "models": {"m": {}}}))
    dead = json.loads(status(config, "--json", code=1))
    assert {cause["code"] for cause in dead["blind"]} == {"no_worker", "not_evaluated"}
    assert "may be blind: no worker runs" in status(config, code=1)
    store = RedisStore(url, 1, {"m": 60})
    await store.open()
    await store.report("w-1", REPORT.model_dump_json())
    with closing(RedisReader(url, 1)) as reader:
        looked = {EVALUATOR_VIEW: {LOOKED_FIELD: str(reader.now_ms()), SKIPPED_FIELD: "1182"}}
        reader.write_views("m", looked, 60)
        well = json.loads(status(config, "--json", code=0))
        assert well["blind"] == []
        (worker,) = well["workers"]
        assert {name: worker[name] for name in REPORT.model_dump()} == REPORT.model_dump()
        assert well["skipped_buckets"] == {"m": 1_182}
        assert well["outboxes"]["dead letters"] == {"waiting": 0, "oldest_s": 0.0, "dropped": 0}
        told = status(config, code=0)
        for text in (
            "w-1",
            "1,234",
            "17",
            "3 unreadable, not_json",
            "4 to 9",
            "dead letters",
            "m: judged",
            "1,182 buckets",
        ):
            assert text in told
        await store.lost(Partition("p", 0), 1, 9)
        lost = json.loads(status(config, "--json", code=1))
        assert [(one["topic"], one["records"]) for one in lost["lost"]] == [("p", 8)]
        assert [cause["code"] for cause in lost["blind"]] == ["lost"]
    await store.close()
