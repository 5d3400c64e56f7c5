"""The view of the schedules (key `6`), with the runs and the week of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from textual.binding import BindingType
from typing_extensions import override

from jobtui.engine.advice import Verdict, statement_for
from jobtui.engine.client import Session
from jobtui.engine.job_log import describe_requester
from jobtui.formatting import DateOrder, format_duration, format_recent_time, to_local
from jobtui.language import quote_name
from jobtui.tui.commands import BY_ID, KeyCommand, KeyScope, bindings
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.caches import StatementAnswered, StatementQuery
from jobtui.tui.data.feed import Batch
from jobtui.tui.text.spans import Line, TextRole, wrapped
from jobtui.tui.views.base import TableView
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import Column

SCHEDULE_COLUMNS = (
    Column("name", "Schedule", 8, 30),
    Column("next", "Next", 18, 38),
    Column("state", "State", 7, 7, hide_order=1),
    Column("at", "At", 8, 30, hide_order=6),
    Column("until", "Until", 5, 5, hide_order=7),
    Column("statement", "Statement", 24, 80, hide_order=5),
    Column("result", "Last Result", 16, 60, fills=True, usual_width=40),
)
_ASK_EVERY = 5  # seconds: what changes without a job is a time that comes closer
_ANSWERED_A_SECOND = 50  # schedules: the owner does nothing else while it answers
_RUNS_SHOWN = 6
_DAYS_AROUND = 3
_CELLS = 48
_RESULTS = {"skipped": TextRole.WARNING, "failed": TextRole.FAILED}
ScheduleRow = Mapping[str, Any]
"""A row of SHOW SCHEDULES with its full values."""


class SchedulesView(TableView):
    """The view of the schedules."""

    scope = KeyScope.SCHEDULES
    title = "schedules"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.SCHEDULES)]
    COLUMNS = SCHEDULE_COLUMNS
    ROW_COMMANDS = frozenset(("schedule_pause", "schedule_run", "schedule_drop", "open"))
    MAIN_KEYS = ("schedule_new", "schedule_run")
    WRITING_ACTIONS = frozenset(("new", "drop", "run", "pause_or_resume"))

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id)
        self._query = StatementQuery(context.client, "SHOW SCHEDULES", self.post_message)
        self._schedules: dict[str, ScheduleRow] | None = None
        self._notice = ""
        self._ticks = 0

    def on_mount(self) -> None:
        """Ask for the schedules."""
        self._query.request()
        self.fill()

    @override
    def on_batch(self, batch: Batch) -> None:
        if batch.statuses_changed and self.display:
            self._query.request()

    @override
    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % max(_ASK_EVERY, len(self._schedules or ()) // _ANSWERED_A_SECOND) == 0:
            self._query.request()
        else:
            self.fill()  # the time until the next run

    def on_statement_answered(self, message: StatementAnswered) -> None:
        """Show the answer."""
        message.stop()
        self.set_problem(message.problem)
        if message.result is not None and not message.problem:
            (shown,) = message.result.results
            self._notice = shown.notice
            self._schedules = {str(row.values["Schedule"]): row.values for row in shown.rows}
        self.fill()
        self.post_message(self.StatusChanged())

    def _key_of_new(self) -> str:
        return self.context.keymap.shown(BY_ID["schedule_new"])

    @override
    def fill(self) -> None:
        now = self.context.now()
        rows = [(name, _cells(each, now)) for name, each in (self._schedules or {}).items()]
        if self._problem:
            self.show_rows(rows, self._problem, TextRole.FAILED)
        elif self._schedules is None:
            self.show_rows(rows, "Loading …")
        else:
            self.show_rows(rows, f"There is no schedule yet: {self._key_of_new()} writes one")
        self.show_detail()

    @property
    def _schedule(self) -> ScheduleRow:
        """The schedule under the cursor, empty if there is none."""
        return (self._schedules or {}).get(self.current or "", {})

    @override
    def show_detail(self) -> None:
        name = self.current
        self.title_line.show(f"schedule {name}" if name is not None else "no schedule")
        width = self.body.inner_width - 1
        lines: list[Line] = []
        if self._notice:
            lines += [*wrapped(((self._notice, TextRole.WARNING),), width), ()]
        if self._schedule:
            order = self.context.settings.date_order
            lines += detail_lines(self._schedule, self.context.now(), width, order)
        self.body.show([((" ", TextRole.PLAIN), *line) for line in lines])

    @override
    def footer_title(self, command: KeyCommand) -> str | None:
        title = super().footer_title(command)
        if title is not None and command.id == "schedule_pause":
            return "resume" if self._schedule.get("State") == "paused" else "pause"
        return title

    # -- messages and keys --------------------------------------------------------------------------

    def on_table_opened(self, message: Table.Opened) -> None:
        """Show the job of the last run."""
        message.stop()
        job = self._schedule.get("job")
        if isinstance(job, int):
            self._host.start_action(self._host.jump_to_job(job))
        elif self.current is not None:
            self._host.show_toast("This schedule has started no job yet")

    def action_new(self) -> None:
        """Fill in a form, which writes a CREATE SCHEDULE into the command bar."""
        self._host.start_action(self._fill_in_form())

    async def _fill_in_form(self) -> None:
        from jobtui.tui.screens.schedule_form import ScheduleForm  # not needed at start

        space = self.context.space or next(iter(sorted(self.context.client.space_names())), "")
        job = statement_for(Verdict.COMPACT, space) or "ADMIN COMPACT "
        statement = await self._host.ask(ScheduleForm(job, self.context.now))
        if statement is not None:
            await self._host.focus_bar(statement)

    def action_pause_or_resume(self) -> None:
        """Pause the schedule under the cursor, or resume it."""
        self._run("RESUME" if self._schedule.get("State") == "paused" else "PAUSE")

    def action_run(self) -> None:
        """Run the schedule under the cursor now."""
        self._run("RUN")

    def action_drop(self) -> None:
        """Drop the schedule under the cursor, after a question."""
        name = self.current
        if name is not None:
            self._host.start_action(self._drop(name))
        else:
            self._show_no_schedule()

    async def _drop(self, name: str) -> None:
        text = str((self._schedules or {}).get(name, {}).get("Statement", ""))
        if await self._host.confirm(f"Drop schedule {name}?", lambda: [((text, TextRole.MUTED),)], "Drop"):
            self._run("DROP", name)

    def _run(self, verb: str, name: str | None = None) -> None:
        name = name or self.current
        if name is not None:
            self._host.start_action(self._execute(f"{verb} SCHEDULE {quote_name(name)}"))
        else:
            self._show_no_schedule()

    def _show_no_schedule(self) -> None:
        self._host.show_toast(f"There is no schedule: {self._key_of_new()} writes one", "warning")

    async def _execute(self, text: str) -> None:
        result = await self.context.execute(text, Session(kind="dashboard"))
        self._host.log_statement(text, result)
        if result.failure is not None:
            self._host.show_toast(result.failure.message, "error")
        else:
            self._host.watch_jobs(result.jobs)
            notices = "; ".join(each.notice for each in result.results if each.notice)
            self._host.show_toast(notices or text)
        self._query.request()


# -- content


def _cells(schedule: ScheduleRow, now: datetime) -> Mapping[str, Line]:
    runs = schedule["runs"]
    role = _RESULTS.get(runs[-1]["outcome"], TextRole.PLAIN) if runs else TextRole.MUTED
    if runs and runs[-1]["status"] == "failed":
        role = TextRole.FAILED
    paused = schedule["State"] == "paused"
    zone = f" {schedule['timezone']}" if schedule["timezone"] else ""
    return {
        "name": ((schedule["Schedule"], TextRole.STRONG),),
        "next": _next_cell(next_words(_moment(schedule["Next"]), now), paused),
        # without the note on the coming times, which the detail has
        "result": ((runs[-1]["result"] if runs else "no run yet", role),),
        "state": ((schedule["State"], TextRole.WARNING if paused else TextRole.FINISHED),),
        "at": ((f"{schedule['At']}{zone}", TextRole.PLAIN),),
        "until": ((schedule["Until"] or "", TextRole.PLAIN),),
        "statement": ((schedule["Statement"], TextRole.ACCENT),),
    }


def _next_cell(words: str, paused: bool) -> Line:
    role = TextRole.MUTED if paused else TextRole.PLAIN
    moment, comma, left = words.partition(", ")
    # two spans: a narrow column leaves the second one out
    return ((moment, role), (f"  {left}", TextRole.MUTED)) if comma else ((moment, role),)


def next_words(moment: datetime | None, now: datetime) -> str:
    """Return `tomorrow 02:30, in 9h 08min`, "" for None."""
    if moment is None:
        return ""
    local, days = to_local(moment), (to_local(moment).date() - to_local(now).date()).days
    day = {0: "today", 1: "tomorrow"}.get(days) or local.strftime("%a" if days < 7 else "%a %m/%d/%y")
    left = max(0.0, (moment - now).total_seconds())
    return f"{day} {local:%H:%M}, in {format_duration(left)}"


def detail_lines(schedule: ScheduleRow, now: datetime, width: int, order: DateOrder) -> list[Line]:
    """Return the statement, the newest runs and the week of a schedule."""
    zone = f" {schedule['timezone']}" if schedule["timezone"] else ""
    until = f" until {schedule['Until']}" if schedule["Until"] else ""
    when = (f"at {schedule['At']}{until}{zone}", TextRole.PLAIN)
    requester = (f"  by {describe_requester(schedule['requested_by'])}", TextRole.MUTED)
    lines: list[Line] = [
        *wrapped(((schedule["Statement"], TextRole.ACCENT),), width, hang=2),
        *wrapped((when, requester), width, hang=2),
        *(wrapped(((schedule["note"], TextRole.WARNING),), width, hang=2) if schedule.get("note") else ()),
        (),
        *week_lines(schedule, now, width),
        (),
    ]
    for run in reversed(schedule["runs"][-_RUNS_SHOWN:]):
        at = format_recent_time(_moment(run["at"]), now, order)
        hand = " by hand" if run["by_hand"] else ""
        role = _RESULTS.get(run["outcome"], TextRole.PLAIN)
        lines += wrapped(((f"{at}{hand}  ", TextRole.MUTED), (run["result"], role)), width, hang=2)
    return lines


def week_lines(schedule: ScheduleRow, now: datetime, width: int) -> list[Line]:
    """Return a strip for each day around today: coming windows, past and skipped runs."""
    cells = next((cells for cells in (2 * _CELLS, _CELLS) if width >= cells + 7), _CELLS // 2)
    per_cell = timedelta(days=1) / cells
    first = to_local(now).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=_DAYS_AROUND)
    marks: dict[int, tuple[str, TextRole]] = {}

    def mark(start: datetime | None, end: datetime | None, sign: str, role: TextRole) -> None:
        if start is None:
            return
        # by the wall clock: a day with 23 or 25 hours has as many cells as others
        begin = int((_wall(start) - _wall(first)) / per_cell)
        last = begin if end is None else max(begin, -(-(_wall(end) - _wall(first)) // per_cell) - 1)
        marks.update((cell, (sign, role)) for cell in range(max(begin, 0), min(last + 1, 7 * cells)))

    for start, end in schedule["upcoming"]:
        mark(_moment(start), _moment(end), "░", TextRole.QUEUE)
    for run in schedule["runs"]:
        if run["outcome"] in _RESULTS:
            mark(_moment(run["at"]), _moment(run["last"]), "×", _RESULTS[run["outcome"]])
        else:
            start, stop = _moment(run["start"]) or _moment(run["at"]), _moment(run["stop"])
            ends = [each for each in (stop or now, _moment(run["until"])) if each is not None]
            role = TextRole.FAILED if run["status"] == "failed" else TextRole.FINISHED
            mark(max(start, _moment(run["at"]) or start) if start else None, min(ends), "█", role)
    ruler = "".join(f"{hour:<{cells // 8}}" for hour in ("00", "03", "06", "09", "12", "15", "18", "21"))
    lines: list[Line] = [((f"       {ruler}", TextRole.MUTED),)]
    for day in range(7):
        date = first + timedelta(days=day)
        today = day == _DAYS_AROUND
        spans = [marks.get(day * cells + cell, ("·", TextRole.MUTED)) for cell in range(cells)]
        name = (f"{date:%a %d}".ljust(7), TextRole.STRONG if today else TextRole.MUTED)
        lines.append((name, *_merged(spans)))
    until = _moment(schedule.get("upcoming_until"))
    shown = f" until {to_local(until):%a %H:%M}" if until and until < first + timedelta(days=7) else ""
    return [*lines, ((f"       ░ to come{shown}   █ ran   × skipped or failed", TextRole.MUTED),)]


def _merged(spans: Sequence[tuple[str, TextRole]]) -> Line:
    """Return the spans with neighbors of one role joined."""
    found: list[tuple[str, TextRole]] = []
    for text, role in spans:
        if found and found[-1][1] is role:
            found[-1] = found[-1][0] + text, role
        else:
            found.append((text, role))
    return tuple(found)


def _wall(moment: datetime) -> datetime:
    return to_local(moment).replace(tzinfo=None)


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
