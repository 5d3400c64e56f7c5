"""The Chart tab: its curves, axes and hosts, from samples that are given and in a running dashboard."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from math import nan
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.engine.samples import Figures, JobSamples, SampleBuffer
from jobtui.model import ClusterRef, Job, Status, Task
from jobtui.storage.base import HostGauges
from jobtui.tui.tabs.chart import NO_RECORD, NO_SAMPLES_OF_CLUSTER, NOT_YET, NOTHING_RECORDED, chart_lines
from jobtui.tui.terminal import _PLAIN_BY_CODE
from jobtui.tui.text.spans import line_width, plain, running_line, sparkline
from tests.support.dashboards import DashboardBench, dashboard_bench
from tests.support.scripted import ScriptedStorage

WAIT = 20.0
MIB = 1 << 20
BRAILLE = re.compile("[\u2801-\u28ff]")


def compaction(status: Status = Status.RUNNING, hosts: int = 2, origin: ClusterRef | None = None) -> Job:
    tasks = tuple(Task(number, f"host{number}", status) for number in range(hosts))
    return Job(7, "compact", "nba", datetime(2019, 12, 17, tzinfo=UTC), status, tasks=tasks, origin=origin)


def rising(hosts: int = 2, moments: int = 60) -> JobSamples:
    """A minute in which the rate of each host rises to 60 MiB/s and the files of level 0 fall to 0."""
    buffer = SampleBuffer(7, [f"host{number}" for number in range(hosts)])
    for moment in range(1, moments + 1):
        one: Figures = (moment * MIB, moment * MIB / 2, float(moments - moment), 1e11 - moment * MIB)
        total = (one[0] * hosts, one[1] * hosts, one[2] * hosts, one[3])
        buffer.add(float(moment), dict.fromkeys(range(hosts), one), total)
    return buffer.samples()


def text_of(samples: JobSamples | None, width: int = 118, height: int = 40, host: int | None = None) -> str:
    return "\n".join(plain(line) for line in chart_lines(compaction(), samples, width, height, host))


class TestLines:
    def test_axes_are_labeled(self) -> None:
        text = text_of(rising(), height=60)
        for title in (
            "Read  120 MiB/s",
            "Written  60 MiB/s",
            "L0 files  0, at most 118",
            "Free disk  93.1 GiB",
        ):
            assert title in text
        for label in ("150 MiB/s┤", "75 MiB/s┤", "0 B/s┤", "118┤", "0:00", "1:00"):
            assert label in text

    @pytest.mark.parametrize(
        ("moments", "width", "labels"),
        [
            (3, 118, ["0.0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s", "2.5 s", "3.0 s"]),
            (60, 60, ["0:00", "0:15", "0:30", "0:45", "1:00"]),
            (60, 30, ["0:00", "1:00"]),
        ],
    )
    def test_times_are_round_and_each_is_shown_once(self, moments: int, width: int, labels: list[str]) -> None:
        rows = text_of(rising(moments=moments), width, 60).split("\n")
        index = next(number for number, row in enumerate(rows) if "└" in row)
        found = re.findall(r"[\d:.]+(?: s)?", rows[index + 1])
        assert found == labels
        # a mark at each label but the last, which ends with the axis
        marks = [cell for cell, sign in enumerate(rows[index]) if sign == "┬"]
        assert [rows[index + 1].index(label) for label in labels[:-1]] == marks

    def test_ended_job_has_the_mean_of_its_rates(self) -> None:
        text = "\n".join(map(plain, chart_lines(compaction(Status.FINISHED), rising(), 118, 40)))
        assert "Read  61 MiB/s on average, at most 120 MiB/s" in text
        assert "L0 files  0, at most 118" in text

    def test_area_under_rates_is_filled(self) -> None:
        lines = [line for line in text_of(rising(), 60).split("\n") if re.match(" .{9}[│┤]", line)]
        read, files = lines[: len(lines) // 4], lines[len(lines) // 2 : 3 * len(lines) // 4]
        assert sum(line.count("⣿") for line in read) > 20
        assert sum(line.count("⣿") for line in files) == 0

    def test_one_host_of_several(self) -> None:
        text = text_of(rising(), host=1)
        assert text.startswith(" host1 ")
        assert "Read  60 MiB/s" in text

    def test_curve_rises(self) -> None:
        rows = [line for line in text_of(rising(), 60).split("\n") if re.match(" .{9}[│┤]", line)]
        read = rows[: len(rows) // 4]
        begins = [found.start() for row in read if (found := BRAILLE.search(row)) is not None]
        assert begins == sorted(begins, reverse=True)
        assert begins[-1] < 15 < 40 < begins[0]

    @pytest.mark.parametrize("width", [20, 40, 58, 78, 118, 168, 298])
    @pytest.mark.parametrize("height", [1, 5, 9, 20, 60])
    def test_no_line_is_wider_than_the_room(self, width: int, height: int) -> None:
        lines = chart_lines(compaction(), rising(), width, height)
        assert max(map(line_width, lines)) <= width
        assert sum("Free disk" in plain(line) for line in lines) == 1

    @pytest.mark.parametrize("width", range(70, 120, 7))
    def test_panels_are_aligned(self, width: int) -> None:
        job, samples = compaction(Status.FINISHED), rising()
        lines = [plain(line) for line in chart_lines(job, samples, width, 16) if "┤" in plain(line)]
        assert {line.rindex("┤") for line in lines if line.count("┤") == 2} == {lines[0].rindex("┤")}
        titles = [plain(line) for line in chart_lines(job, samples, width, 16) if "Written" in plain(line)]
        assert "Written  30.5 MiB/s on average" in titles[0]

    @pytest.mark.parametrize(
        ("width", "height", "count"), [(118, 31, 2), (118, 41, 1), (78, 19, 2), (58, 11, 1)]
    )
    def test_panels_are_rather_narrow_than_low(self, width: int, height: int, count: int) -> None:
        titles = [line for line in text_of(rising(), width, height).split("\n") if line.startswith(" Read ")]
        assert ["Written" in title for title in titles] == [count > 1]

    def test_figures_of_hosts_are_below_their_heads(self) -> None:
        buffer = SampleBuffer(7, ["h1", "h2"])
        for moment in (1.0, 2.0):
            buffer.add(moment, dict.fromkeys(range(2), (1.0, 1.0, 6.0, 1e11)), (2.0, 2.0, 12.0, 1e11))
        head, *rows = [line for line in text_of(buffer.samples()).split("\n") if line][-3:]
        ends = [head.index(name) + len(name) for name in ("Mean", "L0", "Free")]
        for row in rows:
            assert [row[:end].split()[-1] for end in ends] == ["B/s", "6", "GiB"]
            assert len(row) == ends[-1]

    def test_each_host_has_a_row(self) -> None:
        rows = text_of(rising(hosts=12)).split("\n")[-12:]
        assert [row.split()[0] for row in rows] == [f"host{number}" for number in range(12)]
        assert all("45.8 MiB/s" in row for row in rows)

    def test_what_was_not_measured(self) -> None:
        buffer = SampleBuffer(7, ["h1"])
        for moment in range(5):
            buffer.add(float(moment), {0: (1.0, 1.0, nan, nan)}, (1.0, 1.0, nan, nan))
        assert text_of(buffer.samples()).count("not measured") == 2

    def test_pause_interrupts_the_curve(self) -> None:
        buffer = SampleBuffer(7, ["h1"])
        for moment in range(100):
            rate = nan if 30 <= moment < 70 else float(MIB)
            buffer.add(float(moment), {0: (rate, rate, 1.0, 1e9)}, (rate, rate, 1.0, 1e9))
        line = next(line for line in text_of(buffer.samples(), 60).split("\n") if line.startswith("   1 MiB/s"))
        assert re.search("[\u2801-\u28ff] {15,}[\u2801-\u28ff]", line)

    @pytest.mark.parametrize(
        ("job", "is_known", "reason"),
        [
            (compaction(), True, NOT_YET),
            (compaction(Status.FAILED), True, NOTHING_RECORDED),
            (replace(compaction(Status.FAILED), took=300.0), True, NO_RECORD),
            (compaction(Status.FINISHED), False, "…"),
            (compaction(Status.FINISHED, origin=ClusterRef("c", "nba", 4)), True, NO_SAMPLES_OF_CLUSTER),
        ],
    )
    def test_reason_for_no_chart(self, job: Job, is_known: bool, reason: str) -> None:
        (line,) = chart_lines(job, None, 100, 20, is_known=is_known)
        assert plain(line).strip() == reason

    def test_reason_is_wrapped_in_a_narrow_terminal(self) -> None:
        lines = chart_lines(replace(compaction(Status.FAILED), took=300.0), None, 58, 14)
        assert " ".join(plain(line).strip() for line in lines) == NO_RECORD
        assert max(map(line_width, lines)) <= 58

    def test_ascii(self) -> None:
        text = text_of(rising()).replace("↑ ↓", "").translate(_PLAIN_BY_CODE)
        assert text.isascii()
        assert re.search("['.:]{5}", text)


class TestSparkline:
    def test_bars(self) -> None:
        assert sparkline([0.0, 1.0, 4.0, 8.0], 4) == "▁▁▄▇"
        assert sparkline([8.0, nan], 4) == "▇▇  "
        assert sparkline([0.0, 0.0], 2) == "▁▁"
        assert sparkline([4.0, 4.0], 2, most=8.0) == "▄▄"
        assert sparkline([1.0, 3.0, 8.0, 8.0], 2) == "▂▇"


class TestRunningRow:
    TREND = tuple(float(rate) for rate in range(24))

    @pytest.mark.parametrize(("width", "cells"), [(40, 0), (47, 0), (48, 8), (51, 11), (56, 12), (90, 24)])
    def test_curve_of_rates_if_there_is_room(self, width: int, cells: int) -> None:
        line = running_line(0.54, 88.0 * MIB, 40.0, width, trend=self.TREND)
        assert line_width(line) <= width
        assert sum(character in "▁▂▃▄▅▆▇" for character in plain(line[-1:])) == cells
        if not cells:
            assert line == running_line(0.54, 88.0 * MIB, 40.0, width)

    def test_newest_rates_are_kept(self) -> None:
        assert plain(running_line(0.5, 1.0, 4.0, 52, trend=[9.0] * 20 + [0.0] * 10)).endswith("▁▁▁▁▁▁▁▁")

    @pytest.mark.parametrize(
        ("width", "shown"),
        [(20, "24/51    60 s left"), (18, "▇▇▇▇░░  60%  24/51"), (10, "24/51")],
    )
    def test_percentage_if_there_is_no_room_for_the_time(self, width: int, shown: str) -> None:
        assert plain(running_line(0.6, None, 60.0, width, "24/51")).strip() == shown

    def test_row_of_a_running_job(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["h1"]}, size=(160, 30)) as shown:
                await shown.execute("ADMIN COMPACT nba")
                operation = await asyncio.to_thread(shown.bench.storage.operation, "nba", "h1")
                for rate in (1, 2, 4, 8):
                    await asyncio.to_thread(operation.progress, 0.1, rate * MIB)
                    await shown.shows(f"{rate} MiB/s")
                    shown.bench.clock.advance(1)
                    shown.dashboard.jobs.list.tick()
                await shown.shows("▁▂▄▇")

        asyncio.run(run())


async def sample(shown: DashboardBench, **read: int) -> None:
    """Let a second pass, after which these hosts have read this many MiB in all, and the detail be drawn."""
    bench = shown.bench
    bench.clock.advance(1)
    for host, mebibytes in read.items():
        gauges = HostGauges(mebibytes * MIB, mebibytes * MIB, 3, 10**9)
        operation = await asyncio.to_thread(bench.storage.operation, "nba", host)
        await asyncio.to_thread(operation.progress, 0.5, gauges=gauges)

    async def tick() -> None:
        bench.engine.engine.sampler.tick()

    await asyncio.wrap_future(bench.engine.call(tick()))
    shown.dashboard.jobs.detail.tick()


async def open_chart(shown: DashboardBench) -> None:
    await shown.press("tab", "right_square_bracket", "right_square_bracket")
    await shown.until(lambda: shown.dashboard.jobs.detail.tab.value == "chart")


class TestDashboard:
    async def _run(self, root: Path) -> None:
        storage = ScriptedStorage({"nba": ["h1", "h2"]})
        async with dashboard_bench(root, storage=storage, size=(120, 36)) as shown:
            await shown.execute("ADMIN COMPACT nba")
            await open_chart(shown)
            await shown.shows(NOT_YET)
            for second in range(4):
                await sample(shown, h1=second * 10, h2=second * 20)
            await shown.shows("all 2 hosts", "Read  30 MiB/s", "30 MiB/s┤")
            await shown.press("down", "down")
            await shown.shows(" h2 ", "Read  20 MiB/s")
            await shown.press("up", "up", "up")
            await shown.shows("all 2 hosts")
            for host in ("h1", "h2"):
                storage.operation("nba", host).finish()
            await shown.shows("✔ finished", "all 2 hosts")
            await shown.press("left_square_bracket")
            await shown.shows("waits", "works")

    def test_running_job_and_its_hosts(self, tmp_path: Path) -> None:
        asyncio.run(self._run(tmp_path))

    def test_short_job_has_none(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["h1"]}, auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba")
                await shown.shows("✔ finished")
                await open_chart(shown)
                await shown.shows("less than two seconds")

        asyncio.run(run())
