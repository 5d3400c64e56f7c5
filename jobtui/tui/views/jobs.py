"""The jobs: the table, and the detail of the job under the cursor beside it, below it or over it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from jobtui.config.settings import Confirm
from jobtui.model import Job
from jobtui.tui.commands import KeyScope, bindings
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.search import expand_names
from jobtui.tui.text.empty_table import first_steps, nothing_found
from jobtui.tui.views.base import DashboardView
from jobtui.tui.widgets.job_detail import JobDetail
from jobtui.tui.widgets.job_table import NEWEST_FIRST, JobList
from jobtui.tui.widgets.table_layout import Sorting, sorted_next

# from this width on the detail stands beside the table
BESIDE = 150
_DETAIL_SECONDS = 1 / 60
# how long after a deed that asks nothing a y is taken for an answer
_HABIT_SECONDS = 2.0
_LEAST_SPLIT, _MOST_SPLIT = 20, 80


class JobsView(DashboardView):
    """See the module. What a key does to jobs is asked of the dashboard; what to the view, done here."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.JOBS)]

    def __init__(
        self,
        context: Context,
        host: DashboardHost,
        *,
        archived: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._shared = context
        self._host = host
        self.archived = archived
        self.list = JobList(context, archived=archived)
        self.detail = JobDetail(context)
        self._full = False
        self._shown: asyncio.TimerHandle | None = None
        self._ran_again: datetime | None = None
        self.title = "archive" if archived else ""

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        yield self.list
        yield self.detail

    def on_mount(self) -> None:
        """Textual's hook: all jobs, the newest first."""
        if not self.archived:
            self.list.follow = self._shared.kept.follow
        self._say_empty()

    # -- what is told -------------------------------------------------------------------------------

    @property
    def focus_target(self) -> Widget:
        """The filter while it is being typed, else the table, or the detail if it fills the screen."""
        return self.list.filter_line.field or (self.detail.body if self._full else self.list.table)

    @property
    def can_look(self) -> bool:
        """Whether the detail would show an adopted space's storage."""
        return self.detail.must_ask

    @property
    def is_typing(self) -> bool:
        """Whether a filter is being typed."""
        return self.list.filter_line.typing

    def cancel_edit(self) -> None:
        """Type no filter; the one before stands."""
        self.list.filter_line.drop()

    def on_batch(self, batch: Batch) -> None:
        """Jobs changed."""
        if self.archived and not batch.archived:
            return
        self.detail.take(batch)
        self.list.take(batch)

    def tick(self) -> None:
        """A second passed."""
        self.list.tick()
        self.detail.tick()

    def on_overview(self) -> None:
        """Spaces may have come."""
        self._say_empty()

    def space_in_view(self) -> str | None:
        """The space that is filtered by, else that of the job under the cursor, else the chosen one."""
        filtered = expand_names(self.list.filter, self._shared.desk).spaces
        if len(filtered) == 1:
            return next(iter(filtered))
        job = self.list.job
        return job.space if job is not None else self._shared.space

    def go_back(self) -> bool:
        """From the full detail, then the detail, the marks, the filter."""
        if self._full:
            self._fill(False)
        elif self.detail.body.has_focus:
            self.screen.set_focus(self.list.table)
        elif self.list.rows.marks:
            self.action_unmark()
        elif self.list.filter_text:
            self.list.set_filter("")
        else:
            return False
        return True

    def _say_empty(self) -> None:
        lists = self.list
        self.set_class(not len(lists.rows) and not self._full, "-empty")
        if lists.filter_text:
            lists.set_empty(nothing_found(lists.filter_text, self._shared.keymap))
        else:
            lists.set_empty(first_steps(self._shared, self.archived, self.size.width))

    def _fill(self, full: bool) -> None:
        self._full = full
        self.set_class(full, "-full")
        self._split()
        self.detail.set_full(full)
        # at once: focus that comes later would be taken from where the next key led
        self.screen.set_focus(self.detail.body if full else self.list.table)

    # -- messages -----------------------------------------------------------------------------------

    def on_job_list_current(self, message: JobList.Current) -> None:
        """The cursor is on another job, or its job changed."""
        message.stop()
        if self._shown is None:
            # the cursor first: the detail is painted in the next frame, and once for a run of moves
            # (a timer of Textual's that is late is left out: the detail would stay as it is)
            loop = asyncio.get_running_loop()
            self._shown = loop.call_later(_DETAIL_SECONDS, self.call_later, self._show_detail)

    def _show_detail(self) -> None:
        self._shown = None
        self.detail.show_job(self.list.job)
        self._say_empty()

    def on_job_list_unfollowed(self, message: JobList.Unfollowed) -> None:
        """The newest job is followed no longer."""
        message.stop()
        self.post_message(self.StatusChanged())

    def on_job_list_hidden(self, message: JobList.Hidden) -> None:
        """A job that was just submitted is not in view."""
        message.stop()
        self.post_message(self.Notify(f"job {message.job_id} does not pass the filter", "information"))

    def on_job_list_failed(self, message: JobList.Failed) -> None:
        """The history could not be searched."""
        message.stop()
        self.post_message(self.Notify(message.reason, "error"))

    def on_job_list_opened(self, message: JobList.Opened) -> None:
        """Enter: the detail over the whole screen."""
        message.stop()
        self._fill(True)

    def on_job_detail_zoomed(self, message: JobDetail.Zoomed) -> None:
        """Enter in the detail."""
        message.stop()
        self._fill(not self._full)

    def on_job_detail_tab_chosen(self, message: JobDetail.TabChosen) -> None:
        """The tab is kept."""
        message.stop()
        self._shared.kept.tab = message.tab.value
        self.post_message(self.StatusChanged())

    def on_resize(self, event: events.Resize) -> None:
        """Textual's hook: beside or below."""
        self.set_class(event.size.width >= BESIDE, "-beside")
        self._split()
        self._say_empty()

    def _split(self) -> None:
        kept = self._shared.kept
        if self._full:
            self.detail.styles.width, self.detail.styles.height = "100%", "100%"
        elif self.has_class("-beside"):
            self.detail.styles.width, self.detail.styles.height = f"{kept.split_beside}%", "100%"
        else:
            self.detail.styles.width, self.detail.styles.height = "100%", f"{kept.split_below}%"

    # -- keys: deeds --------------------------------------------------------------------------------

    def _ask(self, action: str) -> None:
        # at once: a key that comes in the same go is meant for the question that comes of it
        self._host.run_job_action(action, self._target_jobs())

    def _target_jobs(self) -> tuple[int, ...]:
        """Return the jobs that a key acts on: the marked ones, or the one under the cursor.

        A detail that fills the screen hides marks and cursor: there it is the job that is shown.
        """
        if self._full:
            shown = self.detail.job
            return (shown.id,) if shown is not None else ()
        return tuple(self.list.marked())

    def action_stop(self) -> None:
        """Stop what is marked, or the job under the cursor."""
        self._ask("stop")

    def action_recover(self) -> None:
        """Run it again."""
        if self._shared.settings.confirm is Confirm.BULK:
            self._ran_again = self._shared.now()
        self._ask("recover")

    def action_archive(self) -> None:
        """Archive it."""
        self._ask("archive")

    def action_flush(self) -> None:
        """Flush the space in view."""
        self._ask("flush")

    def action_compact(self) -> None:
        """Compact the space in view."""
        self._ask("compact")

    def action_copy(self) -> None:
        """Copy something of the job under the cursor; but the y of one who thinks to be asked does nothing."""
        ran, self._ran_again = self._ran_again, None
        if ran is not None and (self._shared.now() - ran).total_seconds() < _HABIT_SECONDS:
            self.post_message(
                self.Notify("r asks nothing: there was no question. Another y copies", "information")
            )
        else:
            self._ask("copy")

    def action_export(self) -> None:
        """Write what is in view to a file."""
        self._ask("export")

    def action_columns(self) -> None:
        """Choose the columns."""
        self._ask("columns")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Textual's hook: what can't be done in the archive, or without a right to write, is not offered.

        Nothing is while a filter is typed: its keys are text, and those that are no text belong to the field.
        """
        if self.is_typing:
            return False
        if action in ("stop", "archive", "recover", "flush", "compact"):
            return self._shared.desk.writable and not (
                self.archived and action in ("stop", "archive", "recover")
            )
        if action in ("follow", "watch"):
            return not self.archived
        return True

    # -- keys: the view -----------------------------------------------------------------------------

    async def action_filter(self) -> None:
        """Type a filter; it stands over the table, so the table is shown."""
        if self._full:
            self._fill(False)
        await self.list.filter_line.open(self.list.filter_text)

    def action_mark(self) -> None:
        """Mark the job under the cursor and go on."""
        job = self.list.job
        if job is not None:
            self.list.rows.marks.toggle(job.id)
            self.list.marks_changed()
            self.list.table.action_move(1)

    def action_mark_range(self, by: int) -> None:
        """Mark the job under the cursor and the next one."""
        job = self.list.job
        if job is None:
            return
        self.list.rows.marks.add([job.id])
        self.list.table.action_move(by)
        after = self.list.job
        if after is not None:
            self.list.rows.marks.add([after.id])
        self.list.marks_changed()

    def action_mark_all(self) -> None:
        """Mark everything in view."""
        view = self.list.view
        if view is not None:
            self.list.rows.marks.add(view.ids(0, len(view)))
            self.list.marks_changed()

    def action_invert(self) -> None:
        """Turn the marks in view round."""
        view = self.list.view
        if view is not None:
            self.list.rows.marks.invert(view.ids(0, len(view)))
            self.list.marks_changed()

    def action_unmark(self) -> None:
        """Take all marks away."""
        self.list.rows.marks.clear()
        self.list.marks_changed()

    def action_sort_by(self, by: int) -> None:
        """Sort by the next column that can be sorted by."""
        key = sorted_next(self.list.table.shown, self.list.sorting.key, by)
        if key is not None:
            self.list.sort(Sorting(key, self.list.sorting.descending))

    def action_sort_reverse(self) -> None:
        """Turn the order round."""
        sorting = self.list.sorting
        self.list.sort(Sorting(sorting.key, not sorting.descending))

    def action_follow(self) -> None:
        """Keep the cursor on the newest job, or let it go."""
        self.list.follow = not self.list.follow
        if self.list.follow:
            self.list.sort(NEWEST_FIRST)
            self.list.table.action_first()
        self.post_message(self.StatusChanged())

    def action_watch(self) -> None:
        """Tell when the job under the cursor ends."""
        job: Job | None = self.list.job
        if job is not None and not job.status.ended:
            self._shared.watched.symmetric_difference_update({job.id})
            self.list.table.refresh()

    def action_turn_tab(self, by: int) -> None:
        """Another tab of the detail."""
        self.detail.turn(by)

    def action_other_pane(self) -> None:
        """Between the table and the detail."""
        if not self._full:
            self.screen.set_focus(
                self.list.table if self.screen.focused is self.detail.body else self.detail.body
            )

    def action_split(self, by: int) -> None:
        """More or less room for the detail."""
        kept = self._shared.kept
        if self.has_class("-beside"):
            kept.split_beside = max(_LEAST_SPLIT, min(_MOST_SPLIT, kept.split_beside + 5 * by))
        else:
            kept.split_below = max(_LEAST_SPLIT, min(_MOST_SPLIT, kept.split_below + 5 * by))
        self._split()

    def action_look(self) -> None:
        """Look into an adopted space."""
        self.detail.look()
