"""The upgrade from 0.1.0: what it left on disk is read, continued and written.

`upgrade/0.1.0.tar.gz` was written by `upgrade/write.sh` with jobtui 0.1.0, which was killed at the end while a
job ran. `said/` in it holds what 0.1.0 itself printed of its jobs and pairs.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import CommandLine
from tests.support.terminal import Terminal

WRITTEN = Path(__file__).parent / "upgrade" / "0.1.0.tar.gz"


def printed_jobs(home: Path) -> dict[int, dict[str, Any]]:
    """The jobs as 0.1.0 exported them."""
    return {job["id"]: job for job in map(json.loads, (home / "said" / "jobs.jsonl").read_text().splitlines())}


@pytest.fixture
def jobtui(tmp_path: Path) -> CommandLine:
    """The user of 0.1.0, with the jobtui of today."""
    with tarfile.open(WRITTEN) as archive:
        archive.extractall(tmp_path, filter="data")
    found = CommandLine(tmp_path)
    found.data = tmp_path / "data"
    return found


def files(home: Path) -> dict[str, bytes]:
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


class TestReading:
    def test_changes_nothing(self, jobtui: CommandLine) -> None:
        before = files(jobtui.home)
        assert jobtui.done("config", "check").endswith("no problems found\n")
        assert jobtui.done("history", "verify").endswith("no damage found\n")
        shown = jobtui("--read-only", "-e", "SHOW JOBS; SHOW ARCHIVED JOBS", "--format", "jsonl")
        rows = {row["Job Id"]: row["Status"] for row in map(json.loads, shown.stdout.splitlines())}
        assert rows == {1: "finished", 2: "finished", 3: "finished", 4: "stopped", 5: "finished"} | {
            6: "failed",  # 0.1.0 was killed while it ran
            7: "queue",
        }
        assert files(jobtui.home) == before

    def test_export_has_every_field_that_it_had(self, jobtui: CommandLine) -> None:
        exported = [json.loads(line) for line in jobtui.done("history", "export", "--quiet").splitlines()]
        renamed = {"keys": "entries"}
        for job in exported:
            written = printed_jobs(jobtui.home)[job["id"]]
            if written["status"] == "running":  # exported as the next start will record it
                assert (job["status"], job["reason"].split()[0]) == ("failed", "interrupted")
                job |= {name: written[name] for name in ("status", "stop", "took", "reason", "tasks", "events")}
            assert_holds(job, written, renamed)
        assert [job["id"] for job in exported] == list(printed_jobs(jobtui.home))


class TestContinuing:
    def test_jobs_and_pairs(self, jobtui: CommandLine) -> None:
        ended = jobtui("--wait", "-e", "ADMIN COMPACT `图 谱`; RECOVER JOB 6", "--quiet")
        assert ended.returncode == 0, ended
        rows = {row["Job Id"]: row for row in jobtui.rows("SHOW JOBS")}
        statuses = ["finished", "finished", "stopped", "finished", "failed", *["finished"] * 3]
        assert [row["Status"] for row in rows.values()] == statuses
        assert "jobtui ended while it ran" in rows[6]["reason"]
        assert rows[9]["recovered_from"] == 6
        assert jobtui.done("dump", "nba") == (jobtui.home / "said" / "nba.jsonl").read_text()
        assert jobtui.done("dump", "图 谱") == (jobtui.home / "said" / "graph.jsonl").read_text()
        assert jobtui.done("history", "verify").endswith("no damage found\n")

    def test_archive_and_spaces(self, jobtui: CommandLine) -> None:
        ended = jobtui("-e", "BACKUP JOB 2 6; CREATE SPACE new; DROP SPACE `图 谱`")
        assert ended.returncode == 0
        assert ended.stderr == "Job 6 was interrupted: jobtui ended while it ran; RECOVER JOB 6 runs it again\n"
        assert [row["Job Id"] for row in jobtui.rows("SHOW ARCHIVED JOBS")] == [1, 2, 3, 4, 5, 6]
        assert [row["Name"] for row in jobtui.rows("SHOW SPACES")] == ["nba", "new"]
        assert sorted(path.name for path in (jobtui.home / "disk0").iterdir()) == ["nba", "new"]

    def test_dashboard_with_its_settings(self, jobtui: CommandLine) -> None:
        with Terminal(
            jobtui.words(), environment=jobtui.environment, cwd=jobtui.home, may_fork=True
        ) as terminal:
            terminal.shows("prod", "compact nba", "flush nba")
            terminal.press(":")
            terminal.shows("prod[]>")
            terminal.press("up")
            terminal.shows("SHOW SPACES")  # what was typed in 0.1.0
            terminal.press("ctrl+c", "escape", "q")
            assert terminal.ended() == 0


def assert_holds(now: Any, before: Any, renamed: dict[str, str]) -> None:
    """Everything of the older record is in the newer one, under the names of today."""
    match before:
        case dict():
            for name, value in before.items():
                assert_holds(now[renamed.get(name, name)], value, renamed)
        case list():
            assert len(now) == len(before)
            for one, other in zip(now, before, strict=True):
                assert_holds(one, other, renamed)
        case _:
            assert now == before
