"""The Storage tab, if some of its figures are not known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from msgspec.structs import replace

from jobtui.model import Job, Level, SpaceStats, Status, Task
from jobtui.tui.data.caches import StatsResult
from jobtui.tui.tabs.storage import host_block, storage_lines
from jobtui.tui.text.spans import plain

NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
BEFORE = SpaceStats(
    levels=(Level(4, 40 << 20), Level(0, 0), Level(9, 600 << 20)), memtable=3 << 20, entries=1200, pending=9
)
AFTER = SpaceStats(levels=(Level(0, 0), Level(0, 0), Level(2, 300 << 20)), entries=1000)


class TestUnknownStats:
    """Figures that are known are not left out for others that are not."""

    running = tuple(Task(number, f"h{number}", Status.RUNNING, start=NOW, before=BEFORE) for number in (1, 2))
    looks: ClassVar = {task.host: StatsResult(AFTER) for task in running}

    def shown(self, tasks: tuple[Task, ...], width: int = 59) -> list[str]:
        job = Job(7, "compact", "nba", NOW, Status.RUNNING, start=NOW, tasks=tasks)
        return [plain(line) for line in storage_lines(job, self.looks, width)]

    def test_running_job_has_no_columns_for_what_comes_after_it(self) -> None:
        table, *lines = self.shown(self.running)
        assert table.split() == ["Host", "Before", "Now", "Memtable"]
        assert [line.split() for line in lines if line.startswith(" h1  ")][1] == ["h1", "before", "now"]

    def test_queued_job_has_current_sizes_only(self) -> None:
        table, *lines = self.shown(tuple(replace(task, before=None) for task in self.running), 90)
        assert table.split()[:3] == ["Host", "Now", "Memtable"]
        assert [line.split() for line in lines if line.startswith(" h1  ")][1] == ["h1", "now", "h2", "now"]

    def test_narrow_terminal_compares_before_with_after(self) -> None:
        table, *lines = self.shown(tuple(replace(task, after=AFTER) for task in self.running))
        assert table.split() == ["Host", "Before", "After", "Change"]
        assert [line.split() for line in lines if line.startswith(" h1  ")][1] == ["h1", "before", "after"]

    def test_empty_level_differs_from_an_unknown_one(self) -> None:
        columns = [("before", BEFORE), ("after", AFTER), ("now", None)]
        (level,) = [plain(line) for line in host_block("h1", columns, "", 100) if "L0" in plain(line)]
        assert level.split() == ["L0", "4", "files", "40", "MiB", "0", "files", "0", "B", "–"]
