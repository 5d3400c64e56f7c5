"""The rows of the jobs' table: what each status shows, at every width."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from rich.style import Style

from jobtui.formatting import DateOrder, format_recent_time
from jobtui.history import Sort
from jobtui.model import ClusterRef, EventKind, Job, JobEvent, Level, SpaceStats, Status, StepPosition, Task
from jobtui.tui.data.job_rows import DEFAULT_COLUMNS, JOB_COLUMNS, JobRows, job_cell
from jobtui.tui.keymap import load_keymap
from jobtui.tui.tabs.summary import summary_lines
from jobtui.tui.tabs.tasks import task_lines
from jobtui.tui.text.spans import plain, waiting_reasons
from jobtui.tui.widgets.job_table import JobList
from jobtui.tui.widgets.table_layout import GUTTER, Column, PlacedColumn, RowPainter, place_columns

NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
REASON = "cold0: no space left on device (needs 1.1 GiB, 240 MiB free)"
MIB = 1 << 20
WIDTHS = (60, 80, 100, 120, 170, 300)


def stats(size: int) -> SpaceStats:
    return SpaceStats(levels=(Level(1, size),))


def job(status: Status, **fields: object) -> Job:
    task = Task(0, "cold0", status=status, start=NOW, before=stats(100 * MIB))
    if status is Status.QUEUE:
        # fields by name
        return Job(2, "compact", "test2", NOW, status, tasks=(task,), **fields)  # type: ignore[arg-type]
    start = NOW - timedelta(seconds=40)
    events = (JobEvent(start, EventKind.TASK_STARTED, 0),)
    # fields by name
    return Job(2, "compact", "test2", NOW, status, start=start, tasks=(task,), events=events, **fields)  # type: ignore[arg-type]


class FixedView:
    """The result of a query that found these jobs."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def ids(self, start: int, stop: int) -> list[int]:
        return [job.id for job in self._jobs[start:stop]]

    def page(self, start: int, count: int) -> Sequence[Job]:
        return self._jobs[start : start + count]


def rows_of(*jobs: Job) -> JobRows:
    rows = JobRows(lambda: NOW, ())
    rows.show(FixedView(jobs))  # type: ignore[arg-type]  # a double of a result
    return rows


def text_of(rows: JobRows, width: int, index: int = 0) -> str:
    columns = [column for column in JOB_COLUMNS if column.key in DEFAULT_COLUMNS]
    wanted = [
        max(column.usual_width, 15 if column.key == "status" else len(column.label)) for column in columns
    ]
    placed = place_columns(columns, wanted, width - GUTTER - 2)
    painter = RowPainter(lambda _role: Style())
    return painter.row((), rows.cells(index, placed), placed, width, Style()).text.strip()


@pytest.mark.parametrize("column", JOB_COLUMNS, ids=lambda column: column.key)
def test_every_column_of_the_table_can_be_sorted_by(column: Column) -> None:
    assert column.sorts
    assert Sort(column.key)


class TestFailed:
    @pytest.mark.parametrize("width", [102, 120, 170, 300])
    def test_reason_is_whole_if_the_terminal_has_room(self, width: int) -> None:
        assert text_of(rows_of(job(Status.FAILED, reason=REASON)), width).endswith(REASON)

    @pytest.mark.parametrize("width", [60, 70, 80, 90])
    def test_reason_gets_all_cells_after_the_status(self, width: int) -> None:
        text = text_of(rows_of(job(Status.FAILED, reason=REASON * 3)), width)
        status, reason = text.split("failed")
        assert "cold0" in reason
        assert len(status) + len("failed") + len(reason) >= width - GUTTER - 6
        assert "17:2" not in reason
        # right after the status, whose column other rows have made wider
        assert reason.startswith("  cold0")

    def test_directory_does_not_hide_the_cause(self) -> None:
        reason = "cold0: /srv/disks/of/this/machine/cold0/test2: another program has it open"
        assert text_of(rows_of(job(Status.FAILED, reason=reason)), 80).endswith(
            "cold0: another program has it open"
        )

    def test_short_reason_leaves_the_times(self) -> None:
        text = text_of(rows_of(job(Status.FAILED, reason="locked", took=2.0)), 80)
        assert "2.0 s" in text
        assert "17:20:50" in text
        assert text.endswith("locked")


class TestStopped:
    def test_row_says_how_far_the_job_came(self) -> None:
        base = job(Status.STOPPED)
        tasks = (replace(base.tasks[0], progress=0.4), Task(1, "cold1", Status.FINISHED, progress=1.0))
        shown = replace(base, tasks=tasks)
        assert text_of(rows_of(shown), 100).endswith("at 70%, 1 of 2 hosts done")
        assert text_of(rows_of(replace(shown, tasks=tasks[:1])), 100).endswith("at 40%")
        assert text_of(rows_of(replace(shown, reason="too slow")), 100).endswith("too slow")
        assert text_of(rows_of(replace(shown, start=None)), 100).endswith("not begun")

    def test_row_says_why_and_by_whom_if_there_is_room(self) -> None:
        event = JobEvent(NOW, EventKind.STOP_ASKED, requested_by="anna@db1, script")
        shown = replace(job(Status.STOPPED), start=None, events=(event,))
        assert text_of(rows_of(shown), 170).endswith("not begun, by anna@db1 (script)")
        assert text_of(rows_of(shown), 60).endswith("not begun")
        shown = replace(shown, events=(replace(event, reason="wrong space"),))
        assert text_of(rows_of(shown), 170).endswith("wrong space; not begun, by anna@db1 (script)")
        # the times give way to the reason
        assert text_of(rows_of(shown), 80).endswith("wrong space; not begun, by anna@db1 (script)")


class TestRunning:
    def running(self) -> JobRows:
        base = job(Status.RUNNING)
        rows = rows_of(replace(base, tasks=(replace(base.tasks[0], progress=0.5),)))
        rows.rates[2, 0] = 10.0 * MIB
        return rows

    @pytest.mark.parametrize("width", [80, 100, 120, 170, 300])
    def test_shows_progress_rate_and_time_left(self, width: int) -> None:
        text = text_of(self.running(), width)
        assert "50%" in text
        assert "10 MiB/s" in text
        assert "5 s left" in text
        assert "0:40" in text

    def test_narrow_terminal_keeps_the_time_left(self) -> None:
        text = text_of(self.running(), 60)
        assert "50%" in text
        assert "5 s left" in text

    def test_ended_job_has_no_bar(self) -> None:
        for status in (Status.FINISHED, Status.FAILED, Status.STOPPED):
            for width in WIDTHS:
                text = text_of(rows_of(job(status)), width)
                assert "▇" not in text
                assert "%" not in text


class TestUnknownProgress:
    """A cluster reports no percentage, and neither does a flush."""

    def on_cluster(self, *statuses: Status) -> Job:
        tasks = tuple(
            Task(number, f"h{number}", status, start=NOW, progress=1.0 if status is Status.FINISHED else None)
            for number, status in enumerate(statuses)
        )
        return replace(job(Status.RUNNING), tasks=tasks, origin=ClusterRef("prod", "test2", 41))

    @pytest.mark.parametrize("width", WIDTHS)
    def test_row_counts_the_hosts_that_are_done(self, width: int) -> None:
        working = self.on_cluster(Status.FINISHED, Status.RUNNING, Status.QUEUE)
        text = text_of(rows_of(working), width)
        assert "1 of 3 hosts done" in text
        assert not any(sign in text for sign in "▒░▇%")

    def test_single_host_has_neither_bar_nor_percentage(self) -> None:
        assert text_of(rows_of(self.on_cluster(Status.RUNNING)), 100).endswith("progress not known")

    def test_rate_is_shown_if_it_is_known(self) -> None:
        rows = rows_of(self.on_cluster(Status.RUNNING, Status.RUNNING))
        rows.rates[2, 0] = 10.0 * MIB
        assert text_of(rows, 100).endswith("0 of 2 hosts done  10 MiB/s")

    def test_host_of_ours_has_some_seconds_to_report(self) -> None:
        base = job(Status.RUNNING)
        for seconds, shown in ((1, "…"), (10, "progress not known")):
            begun = NOW - timedelta(seconds=seconds)
            task = replace(base.tasks[0], start=begun)
            events = (JobEvent(begun, EventKind.TASK_STARTED, 0),)
            assert shown in text_of(rows_of(replace(base, tasks=(task,), events=events)), 100)

    def test_hosts_of_the_detail_have_no_bars(self) -> None:
        working = self.on_cluster(Status.FINISHED, Status.RUNNING, Status.RUNNING)
        lines = [plain(line) for line in task_lines(working, {}, 100, NOW).lines]
        assert len(lines) == 3
        assert not any(sign in line for line in lines for sign in "▒░▇%…")
        assert not any("%" in plain(line) for line in summary_lines(working, 120, NOW, left=5.0))


class TestQueued:
    def test_shows_since_when_and_what_it_waits_for(self) -> None:
        rows = rows_of(job(Status.QUEUE))
        rows.waits = {2: "waits for job 1"}
        for width in WIDTHS:
            assert "waits for job 1" in text_of(rows, width)
            assert ("since 17:21:30" in text_of(rows, width)) is (width >= 80)

    @pytest.mark.parametrize("width", [100, 120, 170])
    def test_begin_in_one_column(self, width: int) -> None:
        queued = job(Status.QUEUE)
        rows = rows_of(queued, replace(queued, id=3), replace(queued, id=4))
        rows.waits = {2: "waits for job 1", 3: "waits for job 1 and 12 more"}
        first, second, third = (text_of(rows, width, index) for index in range(3))
        assert first.index("waits for") == second.index("waits for") == third.index("since")

    def test_waiting_row_shows_only_since_when(self) -> None:
        assert "since 17:21:30" in text_of(rows_of(job(Status.QUEUE)), 60)

    def test_reasons_name_the_job_ahead_or_the_busy_hosts(self) -> None:
        running = Job(1, "compact", "nba", NOW, Status.RUNNING, tasks=(Task(0, "h1", Status.RUNNING),))
        same_space = Job(2, "flush", "nba", NOW, tasks=(Task(0, "h1"),))
        third = Job(3, "flush", "nba", NOW, tasks=(Task(0, "h1"),))
        same_host = Job(4, "flush", "geo", NOW, tasks=(Task(0, "h1"),))
        free = Job(5, "flush", "map", NOW, tasks=(Task(0, "h1"), Task(1, "h2")))
        assert waiting_reasons([free, same_host, third, same_space, running]) == {
            2: "waits for job 1",
            3: "waits for job 1 and 1 more",
            4: "waits for job 1 on the same host",
        }

    def test_reasons_name_a_paused_job_that_keeps_its_space(self) -> None:
        held = Job(1, "compact", "nba", NOW, Status.RUNNING, paused=True, tasks=(Task(0, "h1"),))
        in_queue = Job(2, "flush", "nba", NOW, paused=True, tasks=(Task(0, "h1"),))
        others = [Job(number, "flush", "nba", NOW, tasks=(Task(0, "h1"),)) for number in (3, 4)]
        assert waiting_reasons([held, in_queue, *others]) == {
            3: "waits for job 1, which is paused",
            4: "waits for job 1, which is paused",
        }
        # a paused job in the queue lets the others pass
        assert waiting_reasons([in_queue, *others]) == {4: "waits for job 3"}


@pytest.mark.parametrize(("cells", "shown"), [(10, "‖ paused"), (14, "‖ paused 6/17")])
def test_narrow_status_has_no_steps(cells: int, shown: str) -> None:
    task = Task(0, "cold0", steps=StepPosition(6, 17))
    rows = rows_of(replace(job(Status.RUNNING), paused=True, tasks=(task,)))
    (column,) = [column for column in JOB_COLUMNS if column.key == "status"]
    placed = (PlacedColumn(column, 0, 0, cells),)
    painter = RowPainter(lambda _role: Style())
    assert painter.row((), rows.cells(0, placed), placed, cells + GUTTER, Style()).text.strip() == shown


@pytest.mark.parametrize(
    ("command", "space", "shown"),
    [
        ("compact", "nba", "compact nba"),
        ("compact", "recommendation_features_v2", "compact recommenda…"),
        ("rebuild tag index", "test2", "rebuild tag … test2"),
        ("rebuild tag index", "recommendation_features_v2", "rebuild tag index"),
    ],
)
def test_long_space_is_cut_rather_than_left_out(command: str, space: str, shown: str) -> None:
    rows = rows_of(replace(job(Status.RUNNING), command=command, space=space))
    (column,) = [column for column in JOB_COLUMNS if column.key == "command"]
    placed = (PlacedColumn(column, 0, 0, 19),)
    painter = RowPainter(lambda _role: Style())
    assert painter.row((), rows.cells(0, placed), placed, 19 + GUTTER, Style()).text.strip() == shown


@pytest.mark.parametrize(
    ("status", "shown"),
    [(Status.FAILED, "✖ failed"), (Status.STOPPED, "■ stopped"), (Status.FINISHED, "✔ finished")],
)
def test_recovered_job_shows_its_newest_recovery(status: Status, shown: str) -> None:
    rows = JobRows(lambda: NOW, (), lambda ids: {2: 16} if 2 in ids else {})
    # a double of a result
    rows.show(FixedView([job(status, reason="locked")]))  # type: ignore[arg-type]
    assert f"{shown} ↻ 16" in text_of(rows, 120)
    before = rows.token(0)
    rows.update({17: replace(job(Status.QUEUE), id=17, recovered_from=2)})
    assert "↻ 17" in text_of(rows, 120)
    assert rows.token(0) != before


@pytest.mark.parametrize("status", [Status.FAILED, Status.STOPPED])
@pytest.mark.parametrize("width", [80, 100])
def test_reason_has_precedence_over_the_recovery(status: Status, width: int) -> None:
    rows = JobRows(lambda: NOW, (), lambda ids: {2: 16})
    shown = set()
    for length in range(10, width):
        reason = "x" * length
        # a double of a result
        rows.show(FixedView([job(status, reason=reason)]))  # type: ignore[arg-type]
        text = text_of(rows, width)
        shown.add((text.endswith(reason), "↻ 16" in text))
    # whole with the recovery, then whole without it, then cut without it
    assert shown == {(True, True), (True, False), (False, False)}


def test_recoveries_are_read_from_the_history_after_a_takeover() -> None:
    def client(recovery: int) -> SimpleNamespace:
        history = SimpleNamespace(known_recoveries=lambda ids: dict.fromkeys(ids, recovery))
        return SimpleNamespace(history=history, connection=None)

    context = SimpleNamespace(
        now=lambda: NOW,
        watched=set(),
        settings=SimpleNamespace(date_order=DateOrder.MONTH_FIRST),
        saved=SimpleNamespace(columns=()),
        keymap=load_keymap({}),
        client=client(16),
    )
    # a double of a context
    jobs = JobList(context)  # type: ignore[arg-type]
    assert jobs.rows.recoveries({2}) == {2: 16}
    context.client = client(17)
    assert jobs.rows.recoveries({2}) == {2: 17}


@pytest.mark.parametrize(("command", "shown"), [("compact", "-20 MiB"), ("flush", "")])
def test_only_a_compaction_reclaims(command: str, shown: str) -> None:
    task = Task(0, "cold0", Status.FINISHED, before=stats(100 * MIB), after=stats(120 * MIB))
    ended = replace(job(Status.FINISHED), command=command, tasks=(task,))
    assert "".join(text for text, _ in job_cell(ended, "reclaimed", NOW, 10)) == shown


def test_wider_terminal_shows_more() -> None:
    columns = [column for column in JOB_COLUMNS if column.key in DEFAULT_COLUMNS]
    wanted = [column.usual_width for column in columns]
    shown = [len(place_columns(columns, wanted, width - GUTTER - 2)) for width in WIDTHS]
    assert shown == sorted(shown)
    assert shown[WIDTHS.index(170)] > shown[WIDTHS.index(120)] > shown[WIDTHS.index(80)]


@pytest.mark.parametrize(
    ("moment", "order", "width", "expected"),
    [
        (NOW, DateOrder.MONTH_FIRST, 17, "17:21:30"),
        (NOW - timedelta(days=1), DateOrder.MONTH_FIRST, 17, "12/16/19 17:21"),
        (NOW - timedelta(days=1), DateOrder.DAY_FIRST, 17, "16.12.19 17:21"),
        (NOW - timedelta(days=1), DateOrder.YEAR_FIRST, 17, "2019-12-16 17:21"),
        (NOW - timedelta(days=1), DateOrder.MONTH_FIRST, 8, "12/16/19"),
        (None, DateOrder.MONTH_FIRST, 17, ""),
    ],
)
def test_time_of_today_has_no_date(
    monkeypatch: pytest.MonkeyPatch, moment: datetime | None, order: DateOrder, width: int, expected: str
) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert format_recent_time(moment, NOW, order, width) == expected
