"""The reference in docs/ names everything there is, and the examples work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.cli.main import app
from monitor.config import Settings, setting_paths
from monitor.core.counters import Join
from monitor.core.decode import Unreadable
from monitor.core.estimation import ESTIMATES_OF
from monitor.core.metrics import METRICS_OF
from monitor.core.records import AlertKind
from monitor.core.schema import Code

ROOT = Path(__file__).parents[1]

NAMES: dict[str, list[str]] = {
    "settings.md": setting_paths(),
    "cli.md": [f"monitor {command.name}" for command in app.registered_commands],
    "alerts.md": [kind.value for kind in AlertKind],
    "metrics.md": [
        *(metric.name for metrics in METRICS_OF.values() for metric in metrics),
        *(name for names in ESTIMATES_OF.values() for name in names),
        *(cell.name.lower() for cell in Join),
    ],
    "schema.md": [code.slug for code in Code],
}


@pytest.mark.parametrize("page", sorted(NAMES))
def test_a_page_names_everything(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    missing = [name for name in NAMES[page] if f"`{name}`" not in text]
    assert not missing, f"docs/{page} does not name {missing}"


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert [reason for reason in Unreadable if f"`{reason}`" not in pages] == []


def test_every_option_is_documented() -> None:
    """An option of a command is named on the page of commands."""
    from typer.main import get_command

    text = (ROOT / "docs" / "cli.md").read_text()

    def options(command: Any) -> set[str]:
        mine = {option for one in command.params for option in one.opts if option.startswith("--")}
        return mine.union(*map(options, getattr(command, "commands", {}).values()))

    named = set(re.findall(r"(?<![\w-])--[a-z-]+", text))
    assert sorted(options(get_command(app)) - named) == []


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_tables_are_whole() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        assert not re.search(r"^\|.*\n\n\|(?!.*\n\|[ :-]+\|)", page.read_text(), re.MULTILINE), page.name


def test_the_example_settings_are_read() -> None:
    settings = Settings.load(ROOT / "examples" / "monitor.yaml", env={})
    assert list(settings.models) == ["credit"]
    assert len(settings.models["credit"].slices) == 5


def test_the_compose_file_overrides_settings_that_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    env = services["worker"]["environment"]
    settings = Settings.load(ROOT / "examples" / "monitor.yaml", env=env)
    assert settings.kafka.bootstrap_servers == ("kafka:29092",)
    assert settings.redis.url == "redis://redis:6379/0"
    assert "noeviction" in services["redis"]["command"]
    assert "--appendonly yes" in services["redis"]["command"]
