"""The head, the timeline and the events of a job, and the title over them."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from jobtui.formatting import DateOrder
from jobtui.model import ClusterRef, EventKind, Job, JobEvent, Status, Task
from jobtui.tui.tabs.summary import summary_lines, task_counts
from jobtui.tui.tabs.tasks import task_lines
from jobtui.tui.tabs.timeline import add_timeline, event_lines, timeline_lines
from jobtui.tui.text.spans import plain, width_of
from jobtui.tui.widgets.tab_strip import Caption, Tab, TabStrip

NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)


def test_wide_head_has_progress_and_time_left() -> None:
    task = Task(0, "h1", Status.RUNNING, start=NOW, progress=0.6)
    job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=NOW, tasks=(task,))

    def head(width: int, left: float | None) -> str:
        return "\n".join(plain(line) for line in summary_lines(job, width, NOW, left=left))

    assert " · 60%, 64 s left · s stops it" in head(120, 64.0)
    assert " · 60% · s stops it" in head(120, None)
    assert "60%" not in head(80, 64.0)


def test_paused_job_ran_until_its_last_step_ended() -> None:
    later = NOW + timedelta(minutes=2)
    for status, said in ((Status.RUNNING, "runs"), (Status.QUEUE, "ran")):
        task = Task(0, "h1", status, start=NOW)
        job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=NOW, paused=True, tasks=(task,))
        head = plain(summary_lines(job, 100, later)[0])
        assert ("runs for" in head) == (said == "runs")
        whole = plain(timeline_lines(job, 100, later, DateOrder.MONTH_FIRST)[1])
        assert f"  {said} 2:00" in whole


def test_every_kind_of_event_is_named() -> None:
    for kind in EventKind:
        job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=NOW, events=(JobEvent(NOW, kind),))
        *_, line = event_lines(job, (), 80, NOW, DateOrder.MONTH_FIRST)
        assert plain(line).strip().endswith("note") == (kind is EventKind.NOTE)


def test_events_of_another_day_are_below_its_date() -> None:
    evening = datetime(2019, 12, 17, 23, 59).astimezone()
    events = tuple(
        JobEvent(evening + timedelta(minutes=after), kind)
        for after, kind in ((0, EventKind.SUBMITTED), (0, EventKind.STARTED), (2, EventKind.STOP_ASKED))
    )
    job = Job(1, "compact", "nba", evening, Status.RUNNING, start=evening, events=events)
    shown = [plain(line).strip() for line in event_lines(job, (), 80, evening, DateOrder.MONTH_FIRST)]
    assert shown[0] == "23:59:00.000  submitted"
    assert shown[2:] == ["12/18/19", "00:01:00.000  stop requested"]
    later = evening + timedelta(days=1)
    first, *_ = event_lines(job, (), 80, later, DateOrder.MONTH_FIRST)
    assert plain(first) == " submitted 12/17/19 23:59"


class TestTimeline:
    def test_failed_hosts_are_first_and_marked(self) -> None:
        statuses = {"h1": Status.FINISHED, "h37": Status.FAILED, "h2": Status.STOPPED}
        tasks = tuple(
            Task(number, host, status, start=NOW, stop=NOW)
            for number, (host, status) in enumerate(statuses.items())
        )
        job = Job(1, "compact", "nba", NOW, Status.FAILED, start=NOW, stop=NOW, took=40.0, tasks=tasks)
        lines = [plain(line) for line in timeline_lines(job, 80, NOW, DateOrder.MONTH_FIRST)]
        assert [line[: line.find("▇")].strip() for line in lines[1:5]] == ["✖ job", "✖ h37", "■ h2", "✔ h1"]
        assert not any("waited" in line for line in lines)

    def test_running_and_paused_are_marked(self) -> None:
        tasks = (
            Task(0, "h1", Status.RUNNING, start=NOW),
            Task(1, "h2", Status.FINISHED, start=NOW, stop=NOW),
            Task(2, "h3", Status.QUEUE),
        )
        job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=NOW, tasks=tasks)
        later = NOW + timedelta(seconds=40)

        def glyphs(job: Job) -> list[str]:
            lines = timeline_lines(job, 80, later, DateOrder.MONTH_FIRST)
            assert all(width_of(plain(line)) <= 80 for line in lines)
            return [plain(line)[:4].rstrip() for line in lines[1:5]]

        assert glyphs(job) == ["▶ jo", "▶ h1", "◷ h3", "✔ h2"]
        paused = msgspec.structs.replace(job, paused=True)
        assert glyphs(paused) == ["‖ jo", "‖ h1", "◷ h3", "✔ h2"]

    def test_times_are_whole_if_the_bars_leave_room(self) -> None:
        start, now = NOW + timedelta(hours=1, minutes=12), NOW + timedelta(hours=3, minutes=25)
        job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=start, tasks=(Task(0, "h1", start=start),))
        lines = [plain(line) for line in timeline_lines(job, 80, now, DateOrder.MONTH_FIRST)]
        assert lines[1].endswith("waited 1:12:00 · runs 2:13:00")
        assert len(lines[1]) <= 80

    def test_what_goes_on_is_in_the_present_tense(self) -> None:
        tasks = (
            Task(0, "h1", Status.RUNNING, start=NOW),
            Task(1, "h2", Status.QUEUE),
            Task(2, "h3", Status.FINISHED, start=NOW, stop=NOW + timedelta(seconds=9), took=9.0),
        )
        job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=NOW, tasks=tasks)
        now = NOW + timedelta(seconds=60)
        assert self.notes(job, now) == ["runs 1:00", "runs 1:00", "waits 1:00", "ran 9.0 s"]

    @pytest.mark.parametrize(("hours", "note"), [(-9, "runs 1:05"), (0, "runs 1:05"), (9, "runs 0.0 s")])
    def test_running_time_does_not_depend_on_the_clock_of_a_cluster(self, hours: int, note: str) -> None:
        there = NOW + timedelta(hours=hours)
        task = Task(0, "h1", Status.RUNNING, start=there)
        origin = ClusterRef("prod", "nba", 41)
        job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=there, origin=origin, tasks=(task,))
        assert self.notes(job, NOW + timedelta(seconds=65)) == [note, note]

    @staticmethod
    def notes(job: Job, now: datetime) -> list[str]:
        """Return the texts to the right of the job and its tasks."""
        lines = timeline_lines(job, 80, now, DateOrder.MONTH_FIRST)[1:-2]
        return [plain(line).rstrip().rpartition("  ")[2] for line in lines]


@pytest.mark.parametrize(
    ("width", "title"),
    [
        (44, "─ jobs › job 7 · compact nba ─[Tasks]─ [ ] ─"),
        (56, " job 7 · compact …─[Tasks] Timeline Chart Storage Events"),
        (60, " job 7 · compact nba ─[Tasks] Timeline Chart Storage Events─"),
        (80, "─ job 7 · compact nba ─[Tasks]─ Timeline ─ Chart"),
        (100, "─ jobs › job 7 · compact nba ─[Tasks]─ Timeline"),
    ],
)
def test_title_names_the_space_before_the_way(width: int, title: str) -> None:
    strip = TabStrip()
    strip.show(Caption("job 7 · compact nba", full=True, keys="[ ]"), Tab.TASKS)
    line = plain(strip.line(width))
    assert line.startswith(title)
    assert "[ ]" in line or width < 70
    assert width_of(line) == width


def test_title_of_a_job_below_the_table_is_a_rule() -> None:
    strip = TabStrip()
    strip.show(Caption("job 17 · compact nba", keys="[ ]"), Tab.TASKS)
    assert plain(strip.line(60)) == "─ job 17 ─[Tasks]─ Timeline ─ Chart ─ Storage ─ Events ─────"


def test_long_name_is_not_cut_for_the_way() -> None:
    strip = TabStrip()
    strip.show(Caption("job 17 · compact recommendation_features_v2", full=True, keys="[ ]"), Tab.CHART)
    assert plain(strip.line(80)).startswith(" job 17 · compact recommendation_f")
    assert plain(strip.line(100)).startswith("─ job 17 · compact recommendation_features_v2 ─")


def test_lineage_is_named_once_among_the_events() -> None:
    event = JobEvent(NOW, EventKind.SUBMITTED, reason="recovered from job 5")
    origin = ClusterRef("prod", "nba", 41)
    job = Job(6, "compact", "nba", NOW, recovered_from=5, origin=origin, events=(event,))
    lines = [plain(line).strip() for line in event_lines(job, (), 80, NOW, DateOrder.MONTH_FIRST)]
    assert lines[-1] == "job 41 of space nba on cluster prod"
    assert sum("recovered from job 5" in line for line in lines) == 1
    unknown = replace(job, events=())
    assert "recovered from job 5" in plain(event_lines(unknown, (), 80, NOW, DateOrder.MONTH_FIRST)[1])


class TestBesideTheTasks:
    def lines(self, count: int, width: int) -> tuple[str, list[str]]:
        """Return the line above the tasks, and their lines."""
        tasks = tuple(
            Task(
                number,
                f"h{number}",
                Status.FINISHED,
                start=NOW + timedelta(seconds=5 * (number - 1)),
                stop=NOW + timedelta(seconds=20 * number),
            )
            for number in range(1, count + 1)
        )
        stop = NOW + timedelta(seconds=20 * count)
        job = Job(1, "compact", "nba", NOW, Status.FINISHED, start=NOW, stop=stop, tasks=tasks)
        shown = task_lines(job, {}, width, stop)
        head, shown = add_timeline(task_counts(job), shown, job, width, stop, DateOrder.MONTH_FIRST)
        return plain(head), [plain(line) for line in shown.lines]

    def test_bars_of_all_tasks_are_on_one_axis(self) -> None:
        head, lines = self.lines(3, 120)
        left = head.index(f"{NOW.astimezone():%H:%M:%S}")
        waits, works = [line.count("╌") for line in lines], [line.count("▄") for line in lines]
        end = head.rindex("+1:00") + len("+1:00")
        assert [left + wait for wait in waits] == [line.index("▄") for line in lines]
        assert waits[2] == pytest.approx((end - left) / 6, abs=1)
        assert works[0] == pytest.approx((end - left) / 3, abs=1)
        assert left + waits[2] + works[2] == end
        assert [line[end:].strip() for line in lines] == ["", "waited 5.0 s", "waited 0:10"]
        assert max(map(width_of, (head, *lines))) <= 120

    def test_equal_bars_are_left_out(self) -> None:
        stop = NOW + timedelta(minutes=1)
        tasks = tuple(
            Task(number, f"h{number}", Status.FINISHED, start=NOW, stop=stop, took=60) for number in (1, 2)
        )
        job = Job(1, "compact", "nba", NOW, Status.FINISHED, start=NOW, stop=stop, tasks=tasks)
        head, shown = task_counts(job), task_lines(job, {}, 200, stop)
        assert add_timeline(head, shown, job, 200, stop, DateOrder.MONTH_FIRST) == (head, shown)

    def test_nothing_is_added_without_room_or_for_one_task(self) -> None:
        for count, width in ((3, 60), (1, 200)):
            head, lines = self.lines(count, width)
            assert "▄" not in "".join(lines)
            assert "+" not in head
