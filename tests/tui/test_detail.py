"""The detail of a job: its tabs, full screen, next to and below the table."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.config.settings import TuiSettings
from jobtui.formatting import DateOrder
from jobtui.model import ClusterRef, Deferral, Job, JobOptions, Level, SpaceStats, Status, StepPosition, Task
from jobtui.storage.base import CompactionFigures, Space
from jobtui.tui.data.caches import StatsResult
from jobtui.tui.tabs.storage import host_block, lingering_lines, size_table, storage_lines
from jobtui.tui.tabs.summary import summary_lines, task_counts
from jobtui.tui.tabs.tasks import TaskSort, sort_tasks, task_lines
from jobtui.tui.text.spans import line_width, plain
from tests.support.dashboards import HOSTS, DashboardBench, dashboard_bench
from tests.support.scripted import ScriptedStorage

BEFORE = SpaceStats(
    levels=(Level(4, 40 << 20), Level(0, 0), Level(9, 600 << 20)), memtable=3 << 20, entries=1200, pending=9
)
AFTER = SpaceStats(levels=(Level(0, 0), Level(0, 0), Level(2, 300 << 20)), entries=1000)


async def a_compacted_job(shown: DashboardBench) -> None:
    await shown.execute("ADMIN COMPACT nba")
    for host in HOSTS:
        operation = shown.bench.storage.operation("nba", host)
        shown.bench.clock.advance(5)
        operation.finish(BEFORE, AFTER)
        await shown.until(lambda host=host: task_ended(shown, host))
    await shown.shows("✔ 1")


def task_ended(shown: DashboardBench, host: str) -> bool:
    return next(task for task in shown.bench.job(1).tasks if task.host == host).status.ended


def test_tabs_show_tasks_timeline_storage_and_events(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(110, 60)) as shown:
            await a_compacted_job(shown)
            await shown.until(lambda: "640 MiB →  300 MiB" in shown.detail)
            await shown.press("right_square_bracket")
            await shown.until(lambda: "  ran 5.0 s" in shown.detail and "▇" in shown.detail)
            assert "ran 0:15" in shown.detail
            await shown.press("right_square_bracket", "right_square_bracket")
            await shown.until(lambda: "before" in shown.detail and "now" in shown.detail)
            await shown.until(lambda: "4 files    40 MiB" in shown.detail)
            await shown.press("right_square_bracket")
            await shown.until(lambda: "task 2 on local2 finished" in shown.detail)
            await shown.press(*["left_square_bracket"] * 4)
            await shown.until(lambda: "640 MiB →  300 MiB" in shown.detail)

    asyncio.run(run())


def test_enter_opens_the_full_detail_and_esc_leaves_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await a_compacted_job(shown)
            await shown.press("enter")
            await shown.shows("jobs › job 1 · compact nba")
            assert "Command" not in shown.screen
            await shown.press("right")
            await shown.until(lambda: "╌ waits" in shown.detail)
            await shown.press("escape")
            await shown.shows("Command", "compact nba")

    asyncio.run(run())


def test_detail_is_right_of_the_table_if_there_is_room(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(220, 40)) as shown:
            await a_compacted_job(shown)
            assert "job 1 ·" in shown.row("Command")
            await shown.pilot.resize_terminal(90, 40)
            await shown.until(lambda: "job 1 ·" not in shown.row("Command"))
            assert "job 1 ·" in shown.screen

    asyncio.run(run())


def test_dates_are_in_the_order_of_the_setting(tmp_path: Path) -> None:
    async def run() -> None:
        settings = TuiSettings(date_order=DateOrder.DAY_FIRST)
        async with dashboard_bench(tmp_path, size=(80, 24), settings=settings, auto=True) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            clock = shown.bench.clock
            day = f"{clock.now().astimezone():%d.%m.%y}"
            assert day not in shown.screen
            clock.advance(86_400)
            shown.dashboard.tick()
            await shown.until(lambda: f"submitted {day} " in shown.detail)
            await shown.press("right_square_bracket")
            await shown.until(lambda: f"  {day} " in shown.detail and "waits" in shown.detail)
            await shown.press(*["right_square_bracket"] * 3)
            await shown.until(lambda: f"submitted {day} " in shown.detail and "job finished" in shown.detail)

    asyncio.run(run())


def test_dates_appear_at_midnight_of_the_local_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-6")  # 23:21 by the clock of the test, and another 18 hours to go in UTC
    time.tzset()

    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(80, 24), auto=True) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            token = shown.dashboard.jobs.list.rows.token(0)
            assert "submitted 12/17/19" not in shown.detail
            shown.bench.clock.advance(3_600)
            shown.dashboard.tick()
            await shown.until(lambda: "submitted 12/17/19" in shown.detail)
            assert shown.dashboard.jobs.list.rows.token(0) != token  # the row is painted again

    try:
        asyncio.run(run())
    finally:
        monkeypatch.undo()
        time.tzset()


def test_lineage_is_shown_in_both_directions(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, size=(100, 40)) as shown:
            await shown.execute("ADMIN COMPACT nba")
            shown.bench.storage.operation("nba", "local0").fail(detail="no luck")
            await shown.shows("✖ 1")
            shown.bench.execute("RECOVER JOB 1")
            await shown.press("left_square_bracket")
            await shown.until(lambda: "recovered as job 2" in shown.detail)
            await shown.press("home")
            await shown.until(lambda: "recovered from job 1" in shown.detail)

    asyncio.run(run())


def test_queued_job_shows_what_it_waits_for(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            shown.bench.execute("ADMIN COMPACT nba; ADMIN FLUSH nba")
            await shown.shows("◷ queue")
            await shown.press("home")
            await shown.until(lambda: "waits for job 1" in shown.detail)

    asyncio.run(run())


def test_queued_job_names_the_job_that_uses_its_hosts(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"], "geo": ["local0"]}) as shown:
            shown.bench.execute("ADMIN COMPACT nba; ADMIN FLUSH geo")
            await shown.shows("◷ queue")
            await shown.press("home")
            await shown.until(lambda: "waits for job 1 on the same host" in shown.detail)
            shown.bench.storage.operation("nba", "local0").finish()
            await shown.until(lambda: "waits for" not in shown.detail)

    asyncio.run(run())


def test_hosts_that_did_not_need_the_job_are_counted(tmp_path: Path) -> None:
    async def run() -> None:
        storage = ScriptedStorage({"nba": ("bad", "good")}, auto=True)
        storage.measured = {
            "bad": CompactionFigures(size=100, live=50, l0_files=1),
            "good": CompactionFigures(size=100, live=100, l0_files=1),
        }
        async with dashboard_bench(tmp_path, storage=storage) as shown:
            await shown.execute("ADMIN COMPACT nba IF NEEDED")
            await shown.press("enter")
            await shown.shows("not needed on 1 of 2 hosts")
            assert "not needed: gives back ≈ 0 B, L0 files 1" in shown.screen
            assert [operation.host for operation in storage.begun] == ["bad"]

    asyncio.run(run())


def test_adopted_space_is_measured_only_on_request(tmp_path: Path) -> None:
    class Counting(ScriptedStorage):
        looks = 0

        async def stats(self, space: str, host: str) -> SpaceStats:
            self.looks += 1
            return await super().stats(space, host)

    async def run() -> None:
        storage = Counting({"chain": ["local0"]}, auto=True)
        storage.catalog["chain"] = Space("chain", ("local0",), adopted=True)
        async with dashboard_bench(tmp_path, storage=storage, size=(100, 40)) as shown:
            await shown.execute("ADMIN FLUSH chain")
            await shown.shows("✔ 1")
            await shown.press(*["right_square_bracket"] * 3)
            await shown.until(lambda: "opening it writes there" in shown.detail)
            assert storage.looks == 0
            await shown.press("L")
            await shown.until(lambda: "now" in shown.detail)
            assert storage.looks == 1

    asyncio.run(run())


NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
FAILED = Job(
    7,
    "compact",
    "nba",
    NOW - timedelta(seconds=60),
    Status.FAILED,
    start=NOW - timedelta(seconds=40),
    stop=NOW,
    took=40.0,
    reason="h37: no space left on device",
    recovered_from=3,
    requested_by="anna@db1, dashboard",
    options=JobOptions(because="before the upgrade"),
    tasks=(
        Task(0, "h1", Status.FINISHED, took=9.0, before=BEFORE, after=AFTER),
        Task(1, "h37", Status.FAILED, progress=0.5, took=40.0, before=BEFORE, reason="no space left on device"),
        Task(2, "h2", Status.STOPPED, reason="another host failed"),
    ),
)


def summary(job: Job, width: int = 200, **options: object) -> str:
    # options by name
    return "\n".join(plain(line) for line in summary_lines(job, width, NOW, **options))  # type: ignore[arg-type]


class TestSummary:
    def test_summary_has_command_times_requester_reason_and_keys(self) -> None:
        text = summary(FAILED, with_reason=True)
        for part in (
            "✖ failed",
            "waited 0:20",
            "ran 0:40",
            "640 MiB → 300 MiB",
            "340 MiB reclaimed (53%)",
            "requested by anna@db1 (dashboard)",
            "because: before the upgrade",
            "h37: no space left on device",
            "runs job 3 again",
            "r runs it again, on the 2 hosts that did not finish",
        ):
            assert part in text

    def test_corrupt_files_are_restored_first(self) -> None:
        corrupt = replace(FAILED, tasks=tuple(replace(task, code="corrupt") for task in FAILED.tasks))
        assert "on the 2 hosts that did not finish, once a backup is restored" in summary(corrupt)

    def test_options_and_condition_are_shown(self) -> None:
        options = JobOptions(rolling=2, rate=50 << 10, because="too big", condition="deletions > 20%")
        text = summary(replace(FAILED, options=options))
        assert "with rolling = 2, rate = 50 KiB" in text
        assert "if deletions > 20%" in text
        assert text.count("too big") == 1

    def test_flush_shows_its_sizes_and_nothing_reclaimed(self) -> None:
        grown = Task(0, "h1", Status.FINISHED, before=AFTER, after=BEFORE)
        compacted = replace(FAILED, status=Status.FINISHED, reason="", tasks=(grown,))
        assert "340 MiB grown" in summary(compacted)
        assert "on average" in summary(compacted)
        text = summary(replace(compacted, command="flush"))
        assert "300 MiB → 640 MiB" in text
        assert not any(word in text for word in ("grown", "reclaimed", "on average"))

    def test_leaves_out_a_reason_that_is_at_its_host(self) -> None:
        assert "no space left on device" not in summary(FAILED)
        of_a_path = replace(FAILED, reason="no space left on device, at /db/nba")
        assert "no space left on device" not in summary(of_a_path)
        assert "disk alarm" in summary(replace(FAILED, reason="disk alarm"))

    def test_of_a_recovered_job_names_the_recovery_and_offers_none(self) -> None:
        text = summary(FAILED, recovered_as=[9])
        assert "was run again as job 9" in text
        assert "r runs it again" not in text

    def test_steps_of_finished_hosts_are_not_to_be_continued(self) -> None:
        finished, failed, _ = FAILED.tasks
        text = summary(replace(FAILED, tasks=(replace(finished, steps=StepPosition(49, 49)), failed)))
        assert "r runs it again, on h37" in text

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_breaks_between_facts(self, width: int) -> None:
        lines = summary_lines(FAILED, width, NOW)
        assert max(map(line_width, lines)) <= width
        assert "340 MiB reclaimed" in "\n".join(map(plain, lines))

    def test_running_job_shows_its_rate_and_no_partial_sizes(self) -> None:
        running = Job(8, "compact", "nba", NOW, Status.RUNNING, start=NOW, tasks=FAILED.tasks)
        text = summary(running, rate=88.0 * (1 << 20))
        assert "88 MiB/s" in text
        assert "→" not in text
        assert "s stops it" in text


class TestTasks:
    def test_counts_name_the_failed_hosts(self) -> None:
        assert plain(task_counts(FAILED)) == " 1 of 3 hosts finished, 1 failed: h37, 1 stopped: h2"

    def test_failed_tasks_come_first(self) -> None:
        assert [task.host for task in sort_tasks(FAILED, TaskSort.STATUS)] == ["h37", "h2", "h1"]
        assert [task.host for task in sort_tasks(FAILED, TaskSort.HOST)] == ["h1", "h2", "h37"]
        assert [task.host for task in sort_tasks(FAILED, TaskSort.TOOK)] == ["h37", "h1", "h2"]
        assert sort_tasks(FAILED, TaskSort.RECLAIMED)[0].host == "h1"

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_ended_task_has_no_bar(self, width: int) -> None:
        found = task_lines(FAILED, {}, width, NOW)
        assert "▇" not in "\n".join(map(plain, found.lines))
        assert [number for number, _, _ in found.positions] == [1, 2, 0]
        assert found.positions[-1][2] == len(found.lines) - 1

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_reason_of_a_delayed_task_is_shown_in_full(self, width: int) -> None:
        detail = "storage at 10.0.0.5:9779 did not answer within 10 s, and neither did its port for metrics"
        deferred = Task(0, "h1", deferred=Deferral("host h1 is down", NOW, detail))
        paused = Task(1, "h2", Status.RUNNING, start=NOW, waiting=f"3.1 GiB free, reserve 5 GiB, {detail}")
        job = replace(FAILED, status=Status.RUNNING, stop=None, tasks=(deferred, paused))
        lines = [plain(line) for line in task_lines(job, {}, width, NOW).lines]
        assert max(map(len, lines)) <= width
        assert " ".join(" ".join(lines).split()).count(detail) == 2

    def test_waiting_task_names_the_job_that_its_host_works_on(self) -> None:
        tasks = (Task(0, "h1", Status.RUNNING, start=NOW), Task(1, "h2"), Task(2, "h3"))
        job = replace(FAILED, status=Status.RUNNING, stop=None, tasks=tasks)
        other = replace(job, id=2, tasks=(Task(0, "h2", Status.RUNNING, start=NOW), Task(1, "h3")))
        found = task_lines(job, {}, 80, NOW, TaskSort.HOST, [job, other])
        assert [plain(line).partition("waits ")[2] for line in found.lines] == ["", "for job 2", "for its host"]

    def test_has_no_bar_if_there_is_no_room(self) -> None:
        running = Task(0, "local0", Status.RUNNING, start=NOW, progress=0.55, before=BEFORE)
        job = replace(FAILED, status=Status.RUNNING, stop=None, tasks=(running,))
        (line,) = task_lines(job, {}, 44, NOW).lines
        assert "▶    55%  " in plain(line)


def test_storage_shows_totals_above_a_row_per_host() -> None:
    lines = [plain(line) for line in size_table(FAILED.tasks[:2], {"h1": StatsResult(AFTER)}, 90)]
    assert lines[0].split() == ["Host", "Before", "After", "Change", "Now", "Memtable", "L0", "Before"]
    assert lines[1].split()[:9] == ["all", "2", "hosts", "1.25", "GiB", "–", "-340", "MiB", "300"]
    assert lines[2].split()[:7] == ["h1", "640", "MiB", "300", "MiB", "-340", "MiB"]
    assert lines[3].split()[:5] == ["h37", "640", "MiB", "–", "–"]


def test_wider_terminal_shows_more_of_the_storage() -> None:
    lines = [plain(line) for line in storage_lines(FAILED, {"h1": StatsResult(AFTER)}, 170)]
    assert [line.split()[-4:] for line in lines[1:3]] == [["8", "–", "2", "1,000"], ["4", "0", "2", "1,000"]]
    assert [line.count("before") for line in lines if "before" in line] == [2]


class TestWorkOfAHost:
    busy = replace(AFTER, compactions=1, flushes=2, directories=(200 << 20, 100 << 20))

    def test_storage_tab_shows_it_by_data_directory(self) -> None:
        text = "\n".join(
            plain(line) for line in host_block("h1", [("before", BEFORE), ("now", self.busy)], "", 100)
        )
        rows = [line.split() for line in text.splitlines()]
        assert ["data", "dir", "1", "–", "200", "MiB"] in rows
        assert ["data", "dir", "2", "–", "100", "MiB"] in rows
        assert ["compacting", "–", "1"] in rows
        assert ["flushing", "–", "2"] in rows

    def test_ongoing_work_is_shown_for_some_hours(self) -> None:
        detached = replace(FAILED, tasks=(replace(FAILED.tasks[0], detached=True), *FAILED.tasks[1:]))
        of_cluster = replace(FAILED, origin=ClusterRef("prod", "nba", 7))
        looks = {task.host: StatsResult(self.busy) for task in FAILED.tasks}
        assert FAILED.stop is not None
        for job, count in ((FAILED, 0), (detached, 1), (of_cluster, 2)):
            lines = lingering_lines(job, looks, 100, FAILED.stop)
            assert len(lines) == count
            assert not lingering_lines(job, looks, 100, FAILED.stop + timedelta(hours=7))
        behind = replace(of_cluster, stop=FAILED.stop - timedelta(hours=9), submitted=FAILED.stop)
        assert (
            len(lingering_lines(behind, looks, 100, FAILED.stop)) == 2
        )  # by the cluster's clock it ended then
        (line,) = lingering_lines(detached, looks, 100, FAILED.stop)
        host = FAILED.tasks[0].host
        assert plain(line) == f" the host {host} is still compacting (1 compaction, 2 flushes)"
        quiet = {task.host: StatsResult(AFTER) for task in FAILED.tasks}
        assert lingering_lines(detached, quiet, 100, FAILED.stop) == []

    def test_detail_polls_the_host_until_it_finishes(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"nba": HOSTS})
        storage.now = self.busy

        async def run() -> None:
            async with dashboard_bench(tmp_path, storage=storage, size=(110, 40)) as shown:
                await shown.execute("ADMIN COMPACT nba ON local0")
                operation = await asyncio.to_thread(storage.operation, "nba", "local0")
                await shown.execute("STOP JOB 1")
                operation.detach()
                await shown.shows("the host local0 is still compacting (1 compaction, 2 flushes)")
                storage.now = AFTER
                await shown.until(lambda: "still compacting" not in shown.detail)

        asyncio.run(run())


def test_cursor_moves_from_failure_to_failure(tmp_path: Path) -> None:
    hosts = [f"h{number}" for number in range(12)]

    def under_cursor(shown: DashboardBench) -> str:
        body = shown.dashboard.jobs.detail.body
        return plain(body.lines[body.highlighted.start]) if body.highlighted else ""

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": hosts}, size=(100, 24)) as shown:
            await shown.execute("ADMIN COMPACT nba")
            for host in hosts:
                operation = shown.bench.storage.operation("nba", host)
                if host in ("h4", "h9"):
                    operation.fail(detail="disk gone")
                else:
                    operation.finish(BEFORE, AFTER)
            await shown.shows("✖ 1")
            await shown.until(lambda: "10 of 12 hosts finished, 2 failed: h4, h9" in shown.detail)
            await shown.press("tab")
            await shown.until(lambda: "h4" in under_cursor(shown))
            await shown.press("n")
            await shown.until(lambda: "h9" in under_cursor(shown))
            await shown.press("n")
            await shown.until(lambda: "h4" in under_cursor(shown))
            await shown.press("greater_than_sign")
            await shown.until(lambda: "by host" in shown.detail and "h4" in under_cursor(shown))
            await shown.press("end", "down")
            await shown.press("tab")
            await shown.until(lambda: under_cursor(shown) == "")

    asyncio.run(run())


def test_cursor_moves_by_pages_and_nothing_scrolls_back_to_it(tmp_path: Path) -> None:
    hosts = [f"h{number:02}" for number in range(50)]

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": hosts}, size=(80, 24)) as shown:
            await shown.execute("ADMIN COMPACT nba")
            shown.bench.storage.operation("nba", "h07").fail(detail="the disk failed " * 20)
            await shown.until(lambda: "1 failed: h07" in shown.detail)
            await shown.press("enter")
            body = shown.dashboard.jobs.detail.body
            # the reason is longer than the body was below the table, but the head is still shown
            await shown.until(lambda: body.size.height > 15 and len(body.highlighted) > 5)
            await shown.shows("▶ running · submitted")
            for key, host in (("end", "h49"), ("pageup", "h30"), ("pagedown", "h49"), ("home", "h07")):
                await shown.press(key)
                await shown.until(lambda host=host: host in plain(body.lines[body.highlighted.start]))
            assert body.scroll_offset.y == 0
            # with the wheel, the cursor goes out of sight
            body.scroll_to(y=20, animate=False)
            await shown.until(lambda: body.scroll_offset.y == 20)
            shown.bench.clock.advance(1)
            shown.dashboard.tick()
            await shown.pilot.pause()
            assert body.scroll_offset.y == 20

    asyncio.run(run())


def test_only_unfinished_tasks_are_rerun_if_chosen(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(110, 30)) as shown:
            shown.bench.execute("ADMIN COMPACT nba")
            for host in HOSTS:
                operation = shown.bench.storage.operation("nba", host)
                if host == "local1":
                    operation.fail(detail="disk gone")
                else:
                    operation.finish(BEFORE, AFTER)
            await shown.shows("✖ 1")
            await shown.until(lambda: "r runs it again, on local1" in shown.detail)
            await shown.press("r")
            await shown.shows(
                "Run job 1 again?",
                "It did not finish on local1",
                "only on the host that did not finish  ",
                "on all 3 hosts",
            )
            await shown.press("f")
            await shown.until(lambda: shown.bench.engine.job(2) is not None)
            assert [task.host for task in shown.bench.job(2).tasks] == ["local1"]
            await shown.shows("↻ 2")

    asyncio.run(run())
