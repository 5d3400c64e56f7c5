from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.__main__ import main
from benchmarks.figures import Figure, Outcome, Run, at_least, at_most
from benchmarks.history_data import make_history
from jobtui.history import Health, History, Query
from jobtui.model import Status

FIGURES = (
    "launch to first paint, 1,000,000 jobs",
    "launch to first paint, 10,000,000 jobs",
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
    "memory per job, 10,000,000 jobs",
    "compact of 500 MB on one host",
    "compact on three hosts",
    "from the disk to the screen",
    "jobs of 3 tasks per second",
    "parse of a statement of the seed",
    "hostile text",
    "parse of 100,000 statements",
    "completion at a cursor",
    "jobtui --version",
    "SHOW JOBS LIMIT 20",
    "statements sent to a running server",
    "idle dashboard: processor time",
    "idle dashboard: wake-ups",
    "history: durable changes per second, one at a time",
    "history: open and first page of 100, 10,000,000 jobs",
    "STOP of a compact of 1 GB to an idle, usable space",
    "RESUME of a compact until it works",
    "time left",
    "bytes to the terminal",
    "SHOW ADVICE",
)


def made_up(value: float, least: float) -> Figure:
    def measure(run: Run) -> Outcome:
        return Outcome.of([value])

    return Figure("made up", at_least(least), "×", measure)


@pytest.mark.parametrize("name", FIGURES)
def test_every_promised_figure_is_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", name]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_figure_is_reported_in_json_with_goal_and_spread(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    assert (
        main(["--quick", "--only", "statement of the seed", "--json", str(written), "--dir", str(tmp_path)])
        == 0
    )
    (one,) = json.loads(written.read_text())["figures"]
    assert one["name"].startswith("parse of a statement of the seed ÷ ")
    assert one["goal"] == "≤ 10"
    assert one["low"] <= one["value"] <= one["high"]
    assert one["rounds"] == 3


def test_completion_is_measured_at_every_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "completion at", "--dir", str(tmp_path)]) == 0
    assert "of four places" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "words", "status"), [(2, ["--check"], 0), (1, ["--check"], 1), (1, [], 0)], ids=str
)
def test_check_fails_if_a_figure_falls_short(
    value: float, words: list[str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.__main__.FIGURES", [made_up(value, 1.5)])
    assert main([*words, "--only", "made up", "--dir", str(tmp_path)]) == status


def test_sides_alternate_in_being_measured_first() -> None:
    calls: list[str] = []
    ours, yardstick = figures.alternate(2, lambda: calls.append("ours"), lambda: calls.append("yardstick"))
    assert calls == ["yardstick", "ours", "ours", "yardstick"]
    assert len(ours) == len(yardstick) == 2


def test_ratio_is_the_median_of_its_rounds() -> None:
    outcome = Outcome.ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0], "and more", "1.0× at best")
    assert (outcome.value, outcome.low, outcome.high, outcome.rounds) == (2.0, 1.0, 3.0, 3)
    assert outcome.note == "4.00 s; yardstick 3.00 s; and more"
    assert outcome.limit == "1.0× at best"


def test_progress_and_duration_are_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.__main__.FIGURES", [made_up(2, 1.5)])
    assert main(["--only", "made up", "--dir", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "[1/1, 0:00] made up …" in printed.err
    assert "1 figures in 0:00 min; a whole run should take at most 20 min" in printed.out


def test_history_of_templates_is_whole_and_in_order(tmp_path: Path) -> None:
    history = History.open(make_history(tmp_path / "history", 10_000))
    jobs = [job for start in range(0, 10_000, 2_500) for job in history.query(Query()).page(start, 2_500)]
    assert [job.id for job in jobs] == list(range(10_001, 20_001))
    assert {job.id - job.recovered_from for job in jobs if job.recovered_from is not None} == {7}
    assert history.last_id() == 20_000
    failed = frozenset({Status.FAILED})
    assert len(history.query(Query(statuses=failed))) == sum(job.status is Status.FAILED for job in jobs)
    assert history.health is Health.OK
    history.close()


def test_unknown_figure_is_refused() -> None:
    assert main(["--only", "no such figure"]) == 2


@pytest.mark.parametrize(("goal", "kept", "broken"), [(at_least(5), 5, 4.9), (at_most(3), 3, 3.1)], ids=str)
def test_figure_equal_to_its_goal_meets_it(goal: figures.Goal, kept: float, broken: float) -> None:
    assert goal.met_by(kept)
    assert not goal.met_by(broken)


def test_unmeasurable_figure_misses_its_goal_others_continue(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(run: Run) -> Outcome:
        raise RuntimeError("there is no such disk")

    both = [Figure("made up to fail", None, "×", fail), made_up(2, 1.5)]
    monkeypatch.setattr("benchmarks.__main__.FIGURES", both)
    assert main(["--check", "--only", "made up", "--dir", str(tmp_path)]) == 1
    report = capsys.readouterr()
    assert "there is no such disk" in report.out
    assert "short of the goal: made up to fail\n" in report.err
