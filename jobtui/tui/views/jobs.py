"""The view of the jobs (key `1`) and of the archive (key `4`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget
from typing_extensions import override

from jobtui.background import run_in_thread
from jobtui.config.settings import Confirm
from jobtui.history import StoreError
from jobtui.model import Job, Status
from jobtui.tui.commands import KeyCommand, KeyScope, bindings
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.search import Filter, Neighbor, expand_names, neighbor_in, query_jobs
from jobtui.tui.text.notices import describe_nothing_failed, first_steps, nothing_found
from jobtui.tui.views.base import DashboardView
from jobtui.tui.widgets.job_detail import JobDetail
from jobtui.tui.widgets.job_table import NEWEST_FIRST, JobList
from jobtui.tui.widgets.table_layout import Sorting, next_sort_key

# from this width on the detail is at the right of the table, which keeps more than a narrower terminal shows
SIDE_BY_SIDE_COLUMNS = 220
_MIN_TABLE = 150
_DETAIL_SECONDS = 1 / 60
# seconds in which a y after an unconfirmed recover is taken for an answer: users expect a question
_HABIT_SECONDS = 2.0
_MIN_SPLIT, _MAX_SPLIT = 20, 80


class JobsView(DashboardView):
    """The jobs view. Its keys change the view; the dashboard runs the actions on jobs."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.JOBS)]
    archived = False
    """Whether the view shows the archive."""

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id)
        self.list = JobList(context, archived=self.archived)
        self.detail = JobDetail(context)
        self._full = False
        self._detail_timer: asyncio.TimerHandle | None = None
        self._recover_pressed_at: datetime | None = None
        # the counts with which a search found no failed job but the one under the cursor
        self._all_recovered: dict[Status, int] = {}
        # the filter that was set by coming here: esc leads back instead of dropping it
        self.entry_filter = ""

    @override
    def compose(self) -> ComposeResult:
        yield self.list
        yield self.detail

    def on_mount(self) -> None:
        """Restore whether the cursor follows the newest job, and set the text for an empty table."""
        if not self.archived:
            self.list.is_following = self.context.saved.follow
        self._update_hint()

    # -- changes ------------------------------------------------------------------------------------

    @property
    @override
    def focus_target(self) -> Widget:
        return self.list.filter_bar.field or (self.detail.body if self._full else self.list.table)

    @property
    @override
    def can_look(self) -> bool:
        return self.detail.needs_request

    @property
    @override
    def is_typing(self) -> bool:
        return self.list.filter_bar.is_typing

    @override
    def cancel_edit(self) -> None:
        self.list.filter_bar.drop()

    @override
    def on_batch(self, batch: Batch) -> None:
        if self.archived and not batch.archived:
            return
        self.detail.on_batch(batch)
        self.list.on_batch(batch)

    @override
    def tick(self) -> None:
        self.list.tick()
        self.detail.tick()

    @override
    def on_overview(self) -> None:
        self._update_hint()  # there may be spaces now

    @override
    def space_in_view(self) -> str | None:
        # the space of the filter, else of the job under the cursor, else the chosen one
        filtered = expand_names(self.list.filter, self.context.client).spaces
        if len(filtered) == 1:
            return next(iter(filtered))
        job = self.list.job
        return job.space if job is not None else self.context.space

    @override
    def go_back(self) -> bool:
        if self._full:
            self._set_full(False)
        elif self.detail.body.has_focus:
            self.screen.set_focus(self.list.table)
        elif self.list.rows.marks:
            self.action_unmark()
        elif self.list.filter_text and self.list.filter_text != self.entry_filter:
            self.list.set_filter("")
        else:
            return False
        return True

    @property
    @override
    def back_title(self) -> str:
        # in the order of `go_back`
        if self._full or self.detail.body.has_focus:
            return "back"
        if self.list.rows.marks:
            return "unmark"
        has_filter = self.list.filter_text and self.list.filter_text != self.entry_filter
        return "drop filter" if has_filter else ""

    @property
    @override
    def main_keys(self) -> Sequence[str]:
        actions = ("recover", "archive") if self.archived else ("look", "stop", "recover")
        return (*actions, "next_failure", "next_tab") if self.back_title == "back" else actions

    @override
    def footer_title(self, command: KeyCommand) -> str | None:
        match command.id:
            case "stop" | "recover" | "archive" | "hold":
                count = self._count_targets(command.id)
                title = "resume" if command.id == "hold" and self._has_paused_job() else command.title
                title = "restore" if command.id == "archive" and self.archived else title
                if self.list.rows.marks and not self._full:
                    title = f"{title.removesuffix(' job')} {count:,} marked"
                return title if count else None
            case "next_failure":
                job = self.detail.job
                # the cursor is on the only host of a job
                failed = job is not None and any(task.status is Status.FAILED for task in job.tasks)
                return command.title if failed and job is not None and len(job.tasks) > 1 else None
            case "next_match":
                counts = self.context.client.history.counts()
                failed = bool(counts[Status.FAILED]) and counts != self._all_recovered
                # in the detail the key goes to the next host
                is_idle = self.list.filter_text or self.archived or self.detail.body.has_focus
                return command.title if failed and not is_idle else None
            case "open" | "next_tab":
                return command.title if self.list.job is not None else None
            case "filter":
                return command.title if self.list.total or self.list.filter_text else None
            case _:
                return command.title

    @override
    def why_unavailable(self, command: KeyCommand) -> str:
        return "archived jobs have ended" if self.archived else super().why_unavailable(command)

    def _has_paused_job(self) -> bool:
        """Return whether the one job that a key acts on is paused."""
        job = self.detail.job if self._full else self.list.job
        return job is not None and job.paused and not self.list.rows.marks

    def _count_targets(self, action: str) -> int:
        """Return on how many jobs an action has an effect, without reading each marked job."""
        marks = self.list.rows.marks
        if self._full or not marks:
            job = self.detail.job if self._full else self.list.job
            if job is None or not job.id or (action == "hold" and job.origin is not None):
                return 0  # a cluster cannot pause a job
            acts_on_ended = action not in ("stop", "hold")
            return int(job.status.ended if acts_on_ended else not job.status.ended and not job.stopping)
        active = [job for job in self.context.client.active_jobs() if job.id in marks]
        if action in ("stop", "hold"):
            return sum(not job.stopping for job in active if action == "stop" or job.origin is None)
        return len(marks) - len(active)

    def _update_hint(self) -> None:
        text = self.list.filter_text
        self.set_class(not len(self.list.rows) and not self._full, "-empty")
        steps = first_steps(self.context, self.archived, self.size.width, self.size.height - 2)
        self.list.set_empty(nothing_found(text) if text else steps)

    def _set_full(self, full: bool) -> None:
        self._full = full
        self.set_class(full, "-full")
        self._split()
        self.detail.set_full(full)
        # at once: a later call would take the focus from where the next key has put it
        self.screen.set_focus(self.detail.body if full else self.list.table)

    # -- messages -----------------------------------------------------------------------------------

    def on_job_list_current_changed(self, message: JobList.CurrentChanged) -> None:
        """Show the detail of the job under the cursor, in the next frame."""
        message.stop()
        if self._detail_timer is None:
            # the cursor moves first; the detail is painted once for a run of moves.
            # Not a timer of Textual's: it skips a late one, and the detail would stay as it is
            loop = asyncio.get_running_loop()
            self._detail_timer = loop.call_later(_DETAIL_SECONDS, self.call_later, self._show_detail)

    def _show_detail(self) -> None:
        self._detail_timer = None
        self.detail.show_job(self.list.job)
        self._update_hint()
        self._host.show_keys()

    def on_job_list_unfollowed(self, message: JobList.Unfollowed) -> None:
        """Remove the flag from the header."""
        message.stop()
        self.post_message(self.StatusChanged())

    def on_job_list_job_hidden(self, message: JobList.JobHidden) -> None:
        """Report that the filter hides a job that was just submitted."""
        message.stop()
        self._host.show_toast(f"job {message.job_id} does not pass the filter")

    def on_job_list_search_failed(self, message: JobList.SearchFailed) -> None:
        """Report that the search failed."""
        message.stop()
        self._host.show_toast(message.reason, "error")

    def on_job_list_job_opened(self, message: JobList.JobOpened) -> None:
        """Show the detail on the whole screen."""
        message.stop()
        self._set_full(True)

    def on_job_detail_zoomed(self, message: JobDetail.Zoomed) -> None:
        """Toggle the full detail."""
        message.stop()
        self._set_full(not self._full)

    def on_job_detail_no_failure_found(self, message: JobDetail.NoFailureFound) -> None:
        """Report that no task failed."""
        message.stop()
        self._host.show_toast("No host of this job failed")

    def on_job_detail_tab_chosen(self, message: JobDetail.TabChosen) -> None:
        """Keep the tab for the next start."""
        message.stop()
        self.context.saved.tab = message.tab.value
        self.post_message(self.StatusChanged())

    def on_resize(self, event: events.Resize) -> None:
        """Put the detail at the right of the table if there is room, else below it."""
        self.set_class(event.size.width >= SIDE_BY_SIDE_COLUMNS, "-beside")
        self._split()
        self._update_hint()

    def _split(self) -> None:
        kept = self.context.saved
        if self._full:
            self.detail.styles.width, self.detail.styles.height = "100%", "100%"
            self.detail.styles.max_width = None
        elif self.has_class("-beside"):
            self.detail.styles.width, self.detail.styles.height = f"{kept.split_beside}%", "100%"
            self.detail.styles.max_width = self.size.width - _MIN_TABLE
        else:
            self.detail.styles.width, self.detail.styles.height = "100%", f"{kept.split_below}%"
            self.detail.styles.max_width = None

    # -- actions on jobs --------------------------------------------------------------------------------

    def _run_action(self, action: str) -> None:
        # not a message: a key that arrives together with this one is meant for the question that follows
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
        """Stop the marked jobs, or the one under the cursor."""
        self._run_action("stop")

    def action_hold(self) -> None:
        """Pause the marked jobs, or the one under the cursor, or let them continue."""
        self._run_action("hold")

    def action_recover(self) -> None:
        """Run the jobs again; archived ones return for that."""
        if self.context.settings.confirm is Confirm.BULK:
            self._recover_pressed_at = self.context.now()
        self._run_action("recover")

    def action_archive(self) -> None:
        """Archive the jobs; in the archive, bring them back."""
        self._run_action("restore" if self.archived else "archive")

    def action_flush(self) -> None:
        """Flush the space in view."""
        self._run_action("flush")

    def action_compact(self) -> None:
        """Compact the space in view."""
        self._run_action("compact")

    def action_copy(self) -> None:
        """Copy a part of the current job; ignore a y that was meant as an answer to recover."""
        ran, self._recover_pressed_at = self._recover_pressed_at, None
        if ran is not None and (self.context.now() - ran).total_seconds() < _HABIT_SECONDS:
            self._host.show_toast("r does not ask for confirmation; press y again to copy")
        else:
            self._run_action("copy")

    def action_export(self) -> None:
        """Export the jobs in view to a file."""
        self._run_action("export")

    def action_columns(self) -> None:
        """Choose the columns."""
        self._run_action("columns")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the actions that are not possible in the archive or for a reader.

        While a filter is edited nothing is available: its keys belong to the field.
        """
        if self.is_typing:
            return False
        if action in ("stop", "hold", "archive", "recover", "flush", "compact"):
            return self.context.client.writable and not (self.archived and action in ("stop", "hold"))
        if action in ("follow", "watch"):
            return not self.archived
        return True

    # -- actions on the view -----------------------------------------------------------------------------

    async def action_filter(self) -> None:
        """Edit the filter, which is above the table: leave the full detail."""
        if self._full:
            self._set_full(False)
        await self.list.filter_bar.open(self.list.filter_text)

    def action_mark(self) -> None:
        """Mark or unmark the job under the cursor, and move to the next."""
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
        """Mark every job in view."""
        self.list.rows.marks.add(self._ids_in_view())
        self.list.marks_changed()

    def action_invert(self) -> None:
        """Invert the marks in view."""
        self.list.rows.marks.invert(self._ids_in_view())
        self.list.marks_changed()

    def _ids_in_view(self) -> list[int]:
        view = self.list.view
        try:
            return view.ids(0, len(view)) if view is not None else []
        except StoreError as error:
            self._host.show_toast(str(error), "error")
            return []

    def action_unmark(self) -> None:
        """Remove all marks."""
        self.list.rows.marks.clear()
        self.list.marks_changed()

    def action_sort_by(self, by: int) -> None:
        """Sort by the next sortable column."""
        key = next_sort_key(self.list.table.shown, self.list.sorting.key, by)
        if key is not None:
            self.list.sort(Sorting(key, self.list.sorting.descending))

    def action_sort_column(self, column: str) -> None:
        """Sort by a column, shown or not; if it is the current one, reverse the order."""
        self.list.sort_by(column)

    def action_next_match(self, by: int) -> None:
        """Move to the next job that passes the filter; without a filter, to the next that failed."""
        if self.list.filter_text:
            self.list.table.action_move(by)
        else:
            self._host.start_action(self._go_to_failed(by))

    async def _go_to_failed(self, by: int) -> None:
        lists = self.list
        view, job = lists.view, lists.job
        if view is None or job is None:
            return
        sorting, client, archived = lists.sorting, self.context.client, self.archived
        # a failed job that was run again needs no more attention; the archive does not know which were
        failed = Filter(statuses=frozenset({Status.FAILED}), unrecovered=None if archived else True)

        def find() -> Neighbor:
            found = query_jobs(client, failed, sorting.key, sorting.descending, archived)
            return neighbor_in(found, view, job.id, by)

        neighbor = await run_in_thread(find)
        if neighbor.job_id is None:
            if neighbor.is_none_found and not archived:
                self._all_recovered = client.history.counts()
                self._host.show_keys()
            self._host.show_toast(describe_nothing_failed(job, archived))
        elif lists.view is not None:
            if neighbor.is_wrapped:
                text = "after this one: back to the first" if by > 0 else "before this one: on to the last"
                self._host.show_toast(f"No failed job {text}")
            lists.table.go_to_key(neighbor.job_id)

    def action_sort_reverse(self) -> None:
        """Reverse the order."""
        self.list.sort_by(self.list.sorting.key)

    def action_follow(self) -> None:
        """Keep the cursor on the newest job, or stop doing so."""
        self.list.is_following = not self.list.is_following
        if self.list.is_following:
            self.list.sort(NEWEST_FIRST)
            self.list.table.action_first()
        self.post_message(self.StatusChanged())

    def action_watch(self) -> None:
        """Notify the user when the job under the cursor ends, or no longer."""
        job: Job | None = self.list.job
        if job is not None and job.status.ended:
            self._host.show_toast(f"job {job.id} has already ended: there is nothing to watch")
        elif job is not None:
            self.context.watched.symmetric_difference_update({job.id})
            self.list.table.refresh()

    def action_turn_tab(self, by: int) -> None:
        """Show another tab of the detail."""
        self.detail.turn(by)

    def action_other_pane(self) -> None:
        """Move the focus between table and detail."""
        if not self._full:
            is_in_detail = self.screen.focused is self.detail.body
            self.screen.set_focus(self.list.table if is_in_detail else self.detail.body)

    def action_split(self, by: int) -> None:
        """Make the detail larger or smaller; in the detail, change the job's write limit."""
        if self._full or self.detail.body.has_focus:
            self._host.run_job_action("faster" if by > 0 else "slower", self._target_jobs()[:1])
            return
        kept = self.context.saved
        if self.has_class("-beside"):
            kept.split_beside = max(_MIN_SPLIT, min(_MAX_SPLIT, kept.split_beside + 5 * by))
        else:
            kept.split_below = max(_MIN_SPLIT, min(_MAX_SPLIT, kept.split_below + 5 * by))
        self._split()

    def action_look(self) -> None:
        """Fetch the stats of an adopted space."""
        self.detail.fetch_stats()


class ArchiveView(JobsView):
    """The view of the archived jobs."""

    title = "archive"
    archived = True
