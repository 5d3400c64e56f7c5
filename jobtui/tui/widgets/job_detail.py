"""The detail of one job: its name, the tabs, and the chosen tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from typing_extensions import override

from jobtui.formatting import to_local
from jobtui.history import StoreError
from jobtui.model import Job, Status
from jobtui.tui.commands import BY_ID, KeyScope, bindings
from jobtui.tui.context import Context
from jobtui.tui.data.caches import SamplesCache, StatsCache, StatsResult, UsualTimes
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.job_rows import estimate_job_seconds
from jobtui.tui.tabs.storage import lingering_lines, lingering_tasks
from jobtui.tui.tabs.summary import summary_lines, task_counts
from jobtui.tui.tabs.tasks import TaskSort, task_lines
from jobtui.tui.text.spans import Line, TextRole, cut
from jobtui.tui.widgets.base import LinesView
from jobtui.tui.widgets.tab_strip import Caption, Tab, TabStrip, caption_of

_MIN_HEIGHT_OF_HEAD = 6
"""The lines of a body that shows the whole head of a job; a lower one shows its first line."""
_MIN_HEIGHT_OF_SECTIONS = 24
"""The lines of a body that has room for the timeline and the events below the tasks."""
_MIN_WIDTH_OF_BARS = 100
"""The cells of a line that may have room for the bars of the timeline next to the tasks."""

_ALL_ROWS = 1_000_000
"""More rows than any job has tasks: to the first or the last one."""


class DetailBody(LinesView, can_focus=True):
    """The lines of the chosen tab."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.DETAIL)]

    class TabTurned(Message):
        """The user changed the tab by a key: by 1 to the right, by -1 to the left."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class ZoomRequested(Message):
        """The user asked for the detail on the whole screen, or for its usual size."""

    class Resized(Message):
        """The width changed."""

    class NextFailureRequested(Message):
        """The user asked for another failed task."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class TaskSortRequested(Message):
        """The user asked for another order of the tasks."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    # moves the cursor of the tab; returns False if it has none
    move: Callable[[int], bool] = staticmethod(lambda by: False)
    # whether the tab has rows with a cursor
    has_rows: Callable[[], bool] = staticmethod(lambda: False)

    @override
    def watch_has_focus(self, _has_focus: bool) -> None:
        super().watch_has_focus(_has_focus)
        if _has_focus:
            self.move(0)
        else:
            self.highlighted = range(0)

    def action_line(self, by: int) -> None:
        """Move the cursor by rows, or scroll by lines if the tab has none."""
        if not self.move(by):
            self.scroll_relative(y=by, animate=False)

    def _move_far(self, by: int) -> bool:
        return self.has_rows() and self.move(by)

    @override
    def action_page_up(self) -> None:
        if not self._move_far(-max(1, self.size.height - 1)):
            super().action_page_up()

    @override
    def action_page_down(self) -> None:
        if not self._move_far(max(1, self.size.height - 1)):
            super().action_page_down()

    @override
    def action_scroll_home(self) -> None:
        self._move_far(-_ALL_ROWS)
        self.scroll_home(animate=False)

    @override
    def action_scroll_end(self) -> None:
        if not self._move_far(_ALL_ROWS):
            self.scroll_end(animate=False)

    def action_next_failure(self, by: int) -> None:
        """Move the cursor to another failed task."""
        self.post_message(self.NextFailureRequested(by))

    def action_sort_tasks(self, by: int) -> None:
        """Sort the tasks by the next criterion, or by the one before."""
        self.post_message(self.TaskSortRequested(by))

    def action_turn(self, by: int) -> None:
        """Change the tab."""
        self.post_message(self.TabTurned(by))

    def action_zoom(self) -> None:
        """Fill the screen, or go back."""
        self.post_message(self.ZoomRequested())

    def on_resize(self) -> None:
        """Have the lines laid out for the new width."""
        self.post_message(self.Resized())


class Detail(Vertical):
    """The strip and the body below it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.strip = TabStrip()
        self.body = DetailBody()

    @override
    def compose(self) -> ComposeResult:
        yield self.strip
        yield self.body

    def show(self, caption: Caption, tab: Tab, lines: Sequence[Line]) -> None:
        """Show the lines of a job's tab."""
        self.strip.show(caption, tab)
        self.body.show(lines)


class JobDetail(Detail):
    """The detail of one job; the chosen tab stays when the job changes."""

    class Zoomed(Message):
        """The user asked for the detail on the whole screen, or for its usual size."""

    class NoFailureFound(Message):
        """The user asked for another failed task, and no task failed."""

    class TabChosen(Message):
        """The user chose another tab."""

        def __init__(self, tab: Tab) -> None:
            super().__init__()
            self.tab = tab

    class DataFetched(Message):
        """A host's stats, a job's samples or its usual time have come; posted from another thread."""

        @override
        def can_replace(self, message: Message) -> bool:
            return isinstance(message, JobDetail.DataFetched)

    def __init__(self, context: Context, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.context = context
        self._job: Job | None = None
        self._rates: dict[tuple[int, int], float | None] = {}
        self._stats_cache = StatsCache(context.client, lambda: self.post_message(self.DataFetched()))
        self._samples = SamplesCache(context.client, lambda: self.post_message(self.DataFetched()))
        self._charted_host: int | None = None  # its position, None for all hosts together
        self._usual = UsualTimes(context.client, lambda: self.post_message(self.DataFetched()))
        self._full = False
        self._painted_on: date | None = None  # a time of today has no date
        self._task_sort = TaskSort.STATUS
        self._task_number: int | None = None  # under the cursor; None: the first
        self._positions: tuple[tuple[int, int, int], ...] = ()
        self.body.move = self._move_cursor
        self.body.has_rows = lambda: self.tab is Tab.TASKS and bool(self._positions)
        keys = context.keymap
        self._tab_keys = f"{keys.shown(BY_ID['previous_tab'])} {keys.shown(BY_ID['next_tab'])}"
        kept = context.saved.tab
        self.tab = Tab(kept) if kept in set(Tab) else Tab.TASKS

    @property
    def job(self) -> Job | None:
        """The job that is shown."""
        return self._job

    def show_job(self, job: Job | None) -> None:
        """Show a job, or a newer snapshot of it."""
        if job is None or self._job is None or job.id != self._job.id:
            self.body.scroll_home(animate=False)
            self._stats_cache.clear()
            self._task_number = self._charted_host = None
        self._job = job
        self.repaint_tab()
        self._fetch_stats()

    def on_batch(self, batch: Batch) -> None:
        """Store the rates of the tasks; the job itself comes by `show_job`."""
        batch.update_rates(self._rates)

    def tick(self) -> None:
        """Update what changes by the second."""
        job = self._job
        if job is None or not self.display:
            return
        if self.tab is Tab.TASKS:
            # not when the cursor moves: it may pass by many jobs
            self._usual.request(job)
        is_new_day = self._painted_on != to_local(self.context.now()).date()
        if not job.status.ended or is_new_day or self.tab is Tab.STORAGE or self._shows_lingering_hosts(job):
            self.repaint_tab()
            self._fetch_stats(tick=True)

    def turn(self, by: int) -> None:
        """Change to the tab `by` positions to the right."""
        self.choose(self.tab.neighbor(by))

    def choose(self, tab: Tab) -> None:
        """Change to a tab."""
        if tab is not self.tab:
            self.tab = tab
            self.body.highlighted = range(0)
            self.body.scroll_home(animate=False)
            self.post_message(self.TabChosen(tab))
        self.repaint_tab()
        self._fetch_stats()

    def set_full(self, full: bool) -> None:
        """Set whether the detail fills the screen."""
        self._full = full
        self.repaint_tab()

    def repaint_tab(self) -> None:
        """Show the current data.

        Do nothing while the detail is hidden: its width changes when it is shown.
        """
        if not self.body.size.width:
            return
        self._painted_on = to_local(self.context.now()).date()
        try:
            lines = self._lines(self.body.inner_width)
        except StoreError as error:
            lines = [((f" {error}", TextRole.FAILED),)]
        row, top = self.body.highlighted.start, self.body.scroll_offset.y
        is_in_sight = top <= row < top + self.body.size.height
        self.show(caption_of(self._job, self._full, self._tab_keys), self.tab, lines)
        if self.body.highlighted:
            # the user may have scrolled away from it
            self._show_cursor(follow=is_in_sight)

    def fetch_stats(self) -> None:
        """Fetch the stats of the space, even if it is adopted: the user asked for it."""
        self._fetch_stats(include_adopted=True)

    # -- content ------------------------------------------------------------------------------------

    def _lines(self, width: int) -> list[Line]:
        job = self._job
        if job is None:
            return [((" No job is selected.", TextRole.MUTED),)]
        now, order = self.context.now(), self.context.settings.date_order
        match self.tab:
            case Tab.TASKS:
                return self._task_tab(job, width, now)
            case Tab.TIMELINE:
                from jobtui.tui.tabs.timeline import timeline_lines

                return timeline_lines(job, width, now, order)
            case Tab.CHART:
                # late: a start does without the library that draws the curves
                from jobtui.tui.tabs.chart import chart_lines

                samples, is_known = self._samples.get(job.id), self._samples.is_known(job.id)
                height = self.body.size.height
                return chart_lines(job, samples, width, height, self._charted_host, is_known=is_known)
            case Tab.STORAGE:
                from jobtui.tui.tabs.storage import storage_lines

                look_key = self.context.keymap.shown(BY_ID["look"]) if self._needs_request(job) else ""
                return storage_lines(job, self._stats_results(job), width, look_key)
            case Tab.EVENTS:
                from jobtui.tui.tabs.timeline import event_lines

                recovered = self.context.client.history.recovered_as(job.id)
                return event_lines(job, recovered, width, now, order)

    def _task_tab(self, job: Job, width: int, now: datetime) -> list[Line]:
        context = self.context
        is_queued = job.status is Status.QUEUE
        recoveries = context.client.history.known_recoveries({job.id}) if job.status.ended else {}
        rates = [self._rates.get((job.id, task.number)) for task in job.tasks]
        known = [rate for rate in rates if rate is not None]
        keys = context.keymap
        lines = summary_lines(
            job,
            width,
            now,
            rate=sum(known) if known and job.status is Status.RUNNING else None,
            active=context.client.active_jobs() if is_queued else (),
            recovered_as=[*recoveries.values()],
            keys=(keys.shown(BY_ID["stop"]), keys.shown(BY_ID["recover"]), keys.shown(BY_ID["hold"]))
            if context.client.writable
            else None,
            with_reason=self._task_sort is not TaskSort.STATUS,
            order=context.settings.date_order,
            usual=self._usual.get(job.id),
            left=estimate_job_seconds(job, self._rates, now) if job.status is Status.RUNNING else None,
        )
        if self._shows_lingering_hosts(job):
            lines += lingering_lines(job, self._stats_results(job), width, now)
        if self.body.size.height < _MIN_HEIGHT_OF_HEAD:
            lines = [cut(lines[0], width)]
        if len(job.tasks) > 1 and self.body.size.height >= _MIN_HEIGHT_OF_HEAD - 1:
            sort = f"  by {self._task_sort.value}" if self._task_sort is not TaskSort.STATUS else ""
            lines.append((*task_counts(job), (sort, TextRole.MUTED)))
        active = context.client.active_jobs() if job.status is Status.RUNNING else ()
        tasks = task_lines(job, self._rates, width, now, self._task_sort, active)
        above = len(lines)
        self._positions = tuple(
            (number, above + first, above + last) for number, first, last in tasks.positions
        )
        is_high = self.body.size.height >= _MIN_HEIGHT_OF_SECTIONS
        sections = self._sections_below(job, width, now, above + len(tasks.lines)) if is_high else []
        if not sections and width >= _MIN_WIDTH_OF_BARS:
            from jobtui.tui.tabs.timeline import add_timeline  # late, as below

            lines[-1], tasks = add_timeline(lines[-1], tasks, job, width, now, context.settings.date_order)
        return [*lines, *tasks.lines, *sections]

    def _sections_below(self, job: Job, width: int, now: datetime, above: int) -> list[Line]:
        """Return the timeline and the events if they fit whole below the tasks."""
        # late: a usual terminal has no room for them, and a start does without
        from jobtui.tui.tabs.timeline import event_lines, timeline_lines

        found: list[Line] = []
        recovered = self.context.client.history.recovered_as(job.id)
        order = self.context.settings.date_order
        for title, lines in (
            ("Timeline", timeline_lines(job, width, now, order)),
            ("Events", event_lines(job, recovered, width, now, order)),
        ):
            if above + len(found) + len(lines) + 2 <= self.body.size.height:
                found += [(), ((f" {title}", TextRole.TITLE),), *lines]
        return found

    # -- the cursor of the tasks --------------------------------------------------------------------

    def _move_cursor(self, by: int) -> bool:
        """Move the cursor by `by` tasks, 0 to show it; return whether there are any."""
        if self.tab is Tab.CHART:
            return self._move_charted_host(by)
        if self.tab is not Tab.TASKS or not self._positions:
            return False
        index = max(0, min(self._cursor_index() + by, len(self._positions) - 1))
        at_edge = by and index == self._cursor_index()
        self._task_number = self._positions[index][0]
        self._show_cursor()
        # above the first task, the tab has lines to scroll to
        return not (at_edge and by < 0)

    def _move_charted_host(self, by: int) -> bool:
        """Show another host's chart; all hosts together come before the first."""
        samples = None if self._job is None else self._samples.get(self._job.id)
        count = 0 if samples is None else len(samples.hosts)
        if count < 2:
            return False
        index = max(-1, min((-1 if self._charted_host is None else self._charted_host) + by, count - 1))
        self._charted_host = None if index < 0 else index
        self.repaint_tab()
        return True

    def _cursor_index(self) -> int:
        return next(
            (index for index, (number, _, _) in enumerate(self._positions) if number == self._task_number), 0
        )

    def _show_cursor(self, *, follow: bool = True) -> None:
        if self.tab is not Tab.TASKS or not self._positions or not self.body.has_focus:
            self.body.highlighted = range(0)
            return
        _, first, last = self._positions[self._cursor_index()]
        self.body.highlighted = range(first, last + 1)
        top, height = self.body.scroll_offset.y, self.body.size.height
        if not follow:
            return
        if first < top:
            self.body.scroll_to(y=first, animate=False)
        elif last >= top + height:
            self.body.scroll_to(y=min(first, last - height + 1), animate=False)

    def on_detail_body_next_failure_requested(self, message: DetailBody.NextFailureRequested) -> None:
        """Move the cursor to the next or the previous failed task, wrapping around at the end."""
        message.stop()
        job = self._job
        if job is None:
            return
        if self.tab is not Tab.TASKS:
            self.choose(Tab.TASKS)
        failed = {task.number for task in job.tasks if task.status is Status.FAILED}
        here, count = self._cursor_index(), len(self._positions)
        for step in range(1, count + 1):
            number = self._positions[(here + message.by * step) % count][0]
            if number in failed:
                self._task_number = number
                self._show_cursor()
                return
        self.post_message(self.NoFailureFound())

    def on_detail_body_task_sort_requested(self, message: DetailBody.TaskSortRequested) -> None:
        """Sort the tasks by the next criterion."""
        message.stop()
        if self.tab is Tab.TASKS:
            self._task_sort = self._task_sort.neighbor(message.by)
            self.repaint_tab()
            self._show_cursor()

    @property
    def needs_request(self) -> bool:
        """Whether the tab would show stats that are fetched only on request."""
        job = self._job
        return job is not None and self.tab is Tab.STORAGE and self._needs_request(job)

    # -- stats --------------------------------------------------------------------------------------

    def _needs_request(self, job: Job) -> bool:
        if job.origin is not None:
            return False
        adopted = self.context.overview_cache.adopted(job.space)
        return adopted is None or adopted

    def _stats_results(self, job: Job) -> dict[str, StatsResult]:
        return {task.host: self._stats_cache.get(job.space, task.host) for task in job.tasks}

    def _shows_lingering_hosts(self, job: Job) -> bool:
        """Return whether the tab shows which hosts still work on tasks that have ended for jobtui."""
        if self.tab is not Tab.TASKS or not lingering_tasks(job, self.context.now()):
            return False
        return not self._needs_request(job)

    def _fetch_stats(self, include_adopted: bool = False, tick: bool = False) -> None:
        job = self._job
        if job is not None and self.tab is Tab.CHART:
            self._samples.request(job, again=tick)
        if job is None or not job.has_distinct_hosts:
            return
        if self._shows_lingering_hosts(job):
            for task in lingering_tasks(job, self.context.now()):
                self._stats_cache.request(job.space, task.host)
        if self.tab is Tab.STORAGE and (include_adopted or not self._needs_request(job)):
            for task in job.tasks:
                self._stats_cache.request(job.space, task.host)

    def on_job_detail_data_fetched(self, message: DataFetched) -> None:
        """Show the stats, the chart or the usual time."""
        message.stop()
        if self.tab in (Tab.TASKS, Tab.STORAGE, Tab.CHART):
            self.repaint_tab()
        if self.tab is Tab.CHART:
            self._fetch_stats()  # another job may have been chosen meanwhile

    # -- messages -----------------------------------------------------------------------------------

    def on_tab_strip_chosen(self, message: TabStrip.Chosen) -> None:
        """Change to the tab that was clicked."""
        message.stop()
        self.choose(message.tab)

    def on_detail_body_tab_turned(self, message: DetailBody.TabTurned) -> None:
        """Change the tab by a key."""
        message.stop()
        self.turn(message.by)

    def on_detail_body_zoom_requested(self, message: DetailBody.ZoomRequested) -> None:
        """Ask the view for the whole screen, or back."""
        message.stop()
        self.post_message(self.Zoomed())

    def on_detail_body_resized(self, message: DetailBody.Resized) -> None:
        """Lay the lines out for the new size."""
        message.stop()
        self.repaint_tab()
        if self.body.highlighted and self.body.highlighted.stop <= self.body.size.height:
            self.body.scroll_home(animate=False)  # a lower body had no room for the head as well
