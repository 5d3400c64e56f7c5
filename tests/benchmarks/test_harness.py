from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.__main__ import main
from benchmarks.figures import Figure, Outcome, Run, at_least, at_most

FIGURES = (
    "launch to first paint",
    "cursor down to its frame",
    "a page up or down",
    "p99, quiet",
    "p99, 500 changes",
    "p99, 10,000 changes",
    "end of a storm",
    "key to the first page",
    "sort 1,000,000 jobs by another column: whole",
    "longest absence",
    "memory of the dashboard",
    "memory of the workers",
    "compact of 500 MB on one host",
    "compact on three hosts",
    "STOP of a compact",
    "from the disk to the screen",
    "jobs of 3 tasks per second",
    "parse of a statement of the seed",
    "hostile text",
    "parse of 100,000 statements",
    "completion at a cursor",
    "jobtui --version",
    "SHOW JOBS LIMIT 20",
    "idle dashboard: processor time",
    "idle dashboard: wake-ups",
    "history: durable changes per second, one at a time",
)


def made_up(value: float, least: float) -> Figure:
    def measure(run: Run) -> Outcome:
        return Outcome.of([value])

    return Figure("made up", at_least(least), "×", measure)


@pytest.mark.parametrize("name", FIGURES)
def test_every_promised_figure_is_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", name]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_figure_is_told_in_json_with_its_goal_and_its_spread(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    assert (
        main(["--quick", "--only", "statement of the seed", "--json", str(told), "--dir", str(tmp_path)]) == 0
    )
    (one,) = json.loads(told.read_text())["figures"]
    assert one["name"] == "parse of a statement of the seed"
    assert one["goal"] == "≤ 0.3"
    assert one["low"] <= one["value"] <= one["high"]
    assert one["rounds"] == 3


def test_completion_is_measured_at_every_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "completion at", "--dir", str(tmp_path)]) == 0
    assert "of four places" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "words", "status"), [(2, ["--check"], 0), (1, ["--check"], 1), (1, [], 0)], ids=str
)
def test_check_fails_where_a_figure_falls_short(
    value: float, words: list[str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.__main__.FIGURES", [made_up(value, 1.5)])
    assert main([*words, "--only", "made up", "--dir", str(tmp_path)]) == status


def test_an_unknown_figure_is_refused() -> None:
    assert main(["--only", "no such figure"]) == 2


@pytest.mark.parametrize(("goal", "kept", "broken"), [(at_least(5), 5, 4.9), (at_most(3), 3, 3.1)], ids=str)
def test_a_goal_is_kept_at_its_bound(goal: figures.Goal, kept: float, broken: float) -> None:
    assert goal.met_by(kept)
    assert not goal.met_by(broken)


def test_a_figure_that_cannot_be_measured_counts_as_short_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(run: Run) -> Outcome:
        raise RuntimeError("there is no such disk")

    both = [Figure("made up to fail", None, "×", fail), made_up(2, 1.5)]
    monkeypatch.setattr("benchmarks.__main__.FIGURES", both)
    assert main(["--check", "--only", "made up", "--dir", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "there is no such disk" in told.out
    assert "short of the goal: made up to fail\n" in told.err
