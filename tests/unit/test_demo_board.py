"""The board: every standing a fault can have, in wide and narrow terminals."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from monitor.demo.board import View, draw_board, export_board, rate_warning, save_board
from monitor.demo.faults import timeline
from monitor.demo.scoreboard import Sighting, judge
from tests.support.demo_alerts import life, right

TIMELINE = timeline()


def view(
    position_s: float, lives: list[Sighting], rate_per_s: float = 1_000.0, finished: bool = False
) -> View:
    verdict = judge(TIMELINE, lives)
    return View(TIMELINE, verdict, lives, position_s, rate_per_s, 60_000, 58_000, "live traffic", finished)


def lines(shown: View, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(draw_board(shown))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("position_s", [-1.0, 0.0, 30.0, 105.0])
def test_it_fits_the_terminal(width: int, position_s: float) -> None:
    shown = lines(view(position_s, [right(fault) for fault in TIMELINE.faults]), width)
    assert len(shown) <= 35
    assert max(map(len, shown)) <= width


def test_every_fault_says_how_it_stands() -> None:
    age, android = TIMELINE.faults[0], TIMELINE.faults[7]
    rows = {line[2:34].strip(): line for line in lines(view(60.0, [right(age, 1.0, 1.4)]), 100)}
    assert "1.4 s" in rows[age.title]
    assert "age: out of range" in rows[age.title]
    assert "missed" in rows["NaN from a bug"]
    assert "missed" in rows["Gibberish"]
    assert "still coming in" in rows[android.title]
    assert "failing now" in rows["New users underserved"]
    assert "to come" in rows["A gender treated worse"]


def test_at_the_end_nothing_is_to_come() -> None:
    text = "\n".join(lines(view(105.0, [], finished=True), 100))
    assert "to come" not in text
    assert "failing now" not in text
    assert text.count("missed") == 13
    assert "0 of 13 faults caught" in text


def test_false_alarms_consequences_and_notices_are_told_apart() -> None:
    women = TIMELINE.faults[9]
    root = right(women)
    crossing = {"slice": {"gender": "Female", "race": "White"}, "metric": "false_negative_rate"}
    lives = [
        life("missing_traffic", {}, 3.0),
        root,
        life("gap_change", crossing, women.began_s + 9, consequence_of=root.alert.identity),
        life("standing_gap", crossing, 20.0, severity="notice"),
    ]
    text = "\n".join(lines(view(100.0, lives), 100))
    assert "1 false alarm " in text
    assert "1 consequence, 1 notice" in text
    for state in ("false", "open", "follows", "notice"):
        assert f" {state} " in text


def test_a_low_rate_is_told_once_there_was_time_for_any() -> None:
    assert "only 120 requests" in "\n".join(lines(view(30.0, [], 120.0), 100))
    assert "only" not in "\n".join(lines(view(1.0, [], 120.0), 100))
    assert rate_warning(300.0) is None


def test_it_is_saved_as_a_picture_and_as_text(tmp_path: Path) -> None:
    shown = view(105.0, [right(TIMELINE.faults[0])], finished=True)
    save_board(shown, tmp_path / "board")
    text, picture = export_board(shown)
    assert (tmp_path / "board.txt").read_text(encoding="utf-8") == text
    assert "Age 100,000" in text
    assert picture.startswith("<svg")
    assert (tmp_path / "board.svg").read_text(encoding="utf-8").startswith("<svg")
