"""The table of jobs with its filter, order and marks; the history gives it the pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from typing_extensions import override

from jobtui.history import QueryResult, StoreError
from jobtui.model import Job
from jobtui.tui.context import Context
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.job_rows import JobRows, chosen_columns
from jobtui.tui.data.search import (
    Filter,
    LatestOnlyWorker,
    SearchResult,
    WorkerReply,
    complete_filter,
    is_quick_query,
    load_in_steps,
    parse_filter,
    query_jobs,
)
from jobtui.tui.keymap import cursor_moves
from jobtui.tui.text.spans import Line, waiting_reasons
from jobtui.tui.widgets.filter_bar import FilterBar, FilterCounts
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import Sorting

# seconds between two searches while jobs keep changing: a search of a million jobs takes about as long
_PAUSE_SECONDS = 0.05
# with more active jobs than this, the reasons why jobs wait are updated once a second, not after each change
_MANY_ACTIVE = 500
_MAX_FILTERS = 50


NEWEST_FIRST = Sorting("id", True)


class JobList(Vertical):
    """The filter line and the table.

    The cursor stays on its job, whatever is added, removed or sorted.
    """

    BLANK = True

    class CurrentChanged(Message):
        """The job under the cursor changed, or another job is under it."""

        def __init__(self, job: Job | None) -> None:
            super().__init__()
            self.job = job

    class JobOpened(Message):
        """The user opened a job."""

        def __init__(self, job: Job) -> None:
            super().__init__()
            self.job = job

    class Unfollowed(Message):
        """The cursor left the newest job, and no longer follows it."""

    class JobHidden(Message):
        """The job that `seek` looks for does not pass the filter."""

        def __init__(self, job_id: int) -> None:
            super().__init__()
            self.job_id = job_id

    class SearchFailed(Message):
        """The history could not be searched."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    class _Searched(Message):
        def __init__(self, reply: WorkerReply[SearchResult]) -> None:
            super().__init__()
            self.reply = reply

    def __init__(self, context: Context, *, archived: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.context = context
        self._archived = archived
        self.rows = JobRows(
            context.now,
            context.watched,
            lambda ids: context.client.history.known_recoveries(ids),  # another history after a takeover
            context.settings.date_order,
        )
        self.table = Table(chosen_columns(context.saved.columns, context.client), self.rows)
        self.table.moves = cursor_moves(context.keymap)
        self.filter_bar = FilterBar(
            self._apply_typed_filter, self._focus_table, self._complete_filter, lambda: context.saved.filters
        )
        self.filter_text = ""
        self._was_following = False
        self.sorting = NEWEST_FIRST
        self._filter = Filter()
        self._worker: LatestOnlyWorker[SearchResult] = LatestOnlyWorker(
            lambda reply: self.post_message(self._Searched(reply))
        )
        self._pending_search = 0
        self._is_outdated = False
        self._total = 0
        self._sought: int | None = None

    @override
    def compose(self) -> ComposeResult:
        yield self.filter_bar
        yield self.table

    def on_mount(self) -> None:
        """Show the active jobs and the first page."""
        if not self._archived:
            self.rows.update({job.id: job for job in self.context.client.active_jobs()})
            self._update_waits()
        self.table.sorting = self.sorting
        self.search()

    def on_unmount(self) -> None:
        """End the search."""
        self._worker.close()

    # -- content ------------------------------------------------------------------------------------

    @property
    def job(self) -> Job | None:
        """The job under the cursor; None if there is none, or a long sort has not found it yet."""
        if not len(self.rows) or not self.table.is_cursor_known:
            return None
        job = self.rows.job_at(self.table.cursor)
        return job if job.id == self.table.cursor_key else None

    @property
    def view(self) -> QueryResult | None:
        """The jobs that pass the filter, in order."""
        return self.rows.view

    @property
    def is_searching(self) -> bool:
        """Whether a search is running."""
        return bool(self._pending_search) or self._is_outdated

    @property
    def filter(self) -> Filter:
        """The filter."""
        return self._filter

    @property
    def total(self) -> int:
        """The number of jobs without the filter."""
        return self._total

    def set_filter(self, text: str) -> None:
        """Replace the filter; an empty text shows all jobs."""
        self.filter_text = text
        self._filter = parse_filter(text, self.context.now())
        self.search()

    def sort(self, sorting: Sorting) -> None:
        """Replace the order."""
        self.sorting = self.table.sorting = sorting
        if self.is_following and sorting != NEWEST_FIRST:
            self._unfollow()
        self.table.refresh()
        self.search()

    @property
    def is_following(self) -> bool:
        """Whether the cursor stays on the newest job; moving it to another job ends this."""
        return self.table.is_following

    @is_following.setter
    def is_following(self, is_following: bool) -> None:
        self.table.is_following = self._was_following = is_following

    def _unfollow(self) -> None:
        self.is_following = False
        self.post_message(self.Unfollowed())

    def sort_by(self, column: str) -> None:
        """Sort by a column; if the jobs are sorted by it, reverse the order."""
        self.sort(self.sorting.by(column, descending=column == "id"))

    def seek(self, job_id: int) -> None:
        """Move the cursor to a job as soon as it is among the rows."""
        self._sought = job_id
        self.search(automatic=True)

    def _find_sought(self) -> None:
        job_id, self._sought = self._sought, None
        if job_id is None or self.table.go_to_key(job_id):
            return
        if self._is_outdated or self.context.client.job(job_id) is None:
            self._sought = job_id  # the rows, or this process's copy of the jobs, are older than the job
        elif not self._filter.is_empty:
            self.post_message(self.JobHidden(job_id))

    def set_columns(self, keys: Iterable[str]) -> None:
        """Replace the columns."""
        self.table.columns = chosen_columns(keys, self.context.client)

    def set_empty(self, lines: Iterable[Line]) -> None:
        """Set the text that is shown when there is no job."""
        self.table.set_empty(tuple(lines))

    def on_batch(self, batch: Batch) -> None:
        """Update the jobs that changed."""
        self.rows.update(batch.jobs)
        batch.update_rates(self.rows.rates)
        self._unmark_gone(batch)
        if batch.statuses_changed:
            self._update_waits(_MANY_ACTIVE)
            self.search(automatic=True)
        if not batch.statuses_changed or not self._is_quick:
            self.table.repaint_rows(batch.jobs.keys())
        job_id = self.table.cursor_key
        if job_id in batch.jobs:
            self.post_message(self.CurrentChanged(self.job))

    def tick(self) -> None:
        """Update the durations of running jobs."""
        if self.rows.problem:
            self.post_message(self.SearchFailed(self.rows.problem))
            self.rows.problem = ""
        running = self.rows.running()
        self.rows.extend_trends()
        if running:
            self.table.repaint_rows(set(running))
        before = self.rows.waits
        self._update_waits()
        if self.rows.waits != before:
            self.table.refresh()

    def _update_waits(self, most: int | None = None) -> None:
        """Update why jobs are queued; leave it to the next tick if more than `most` are active."""
        if self._archived:
            return
        active = self.context.client.active_jobs()
        if most is None or len(active) <= most:
            self.rows.waits = waiting_reasons(active)

    # -- searching ----------------------------------------------------------------------------------

    @property
    def _is_quick(self) -> bool:
        return is_quick_query(self._filter, self.sorting.key)

    def search(self, automatic: bool = False) -> None:
        """Search again for the jobs that pass the filter.

        Args:
            automatic: Whether jobs changed and the user did nothing: a running search is not replaced then.
        """
        if automatic and self._pending_search:
            self._is_outdated = True
            return
        if self._filter.since or self._filter.until:
            self._filter = parse_filter(self.filter_text, self.context.now())
        self.rows.begin_query()
        client, wanted, sorting, archived = self.context.client, self._filter, self.sorting, self._archived
        self._is_outdated = False
        if self._is_quick and (automatic or self.rows.view is None) and not self._pending_search:
            try:
                self._show_result(
                    SearchResult(
                        query_jobs(client, wanted, sorting.key, sorting.descending, archived), whole=True
                    )
                )
            except StoreError as error:
                self.post_message(self.SearchFailed(str(error)))
            return
        if not automatic:
            self._show_counts(None)

        def run_search() -> Iterator[SearchResult]:
            return load_in_steps(
                query_jobs(client, wanted, sorting.key, sorting.descending, archived), not automatic
            )

        self._pending_search = self._worker.submit(run_search)

    def on_job_list__searched(self, message: _Searched) -> None:
        """Show the result of the search."""
        message.stop()
        reply = message.reply
        if reply.request != self._pending_search:
            return
        if reply.answer is not None:
            try:
                self._show_result(reply.answer)
            except StoreError as error:
                self.post_message(self.SearchFailed(str(error)))
            if not reply.answer.whole:
                return
        elif reply.error is not None:
            self.post_message(self.SearchFailed(str(reply.error)))
        self._pending_search = 0
        if self._is_outdated:
            self.set_timer(_PAUSE_SECONDS, self._search_again)

    def _search_again(self) -> None:
        if self._is_outdated:
            self.search(automatic=True)

    def _show_result(self, found: SearchResult) -> None:
        before = self.table.cursor_key
        self.rows.show(found.view, found.whole)
        self._total = self._count_all()
        self._show_counts(len(self.rows))
        if not found.whole:
            self.table.show_first_rows()
            return
        self.table.reload_rows()
        self._find_sought()
        if self.table.cursor_key == before:
            self.post_message(self.CurrentChanged(self.job))

    def _count_all(self) -> int:
        if self._is_quick and self.rows.view is not None:
            return len(self.rows.view)
        if self._archived:
            plain = query_jobs(self.context.client, Filter(), "id", True, True)
            return len(plain)
        return sum(self.context.client.history.counts().values())

    def _show_counts(self, shown: int | None) -> None:
        self.filter_bar.show(
            FilterCounts(
                self.filter_text,
                shown,
                self._total,
                len(self.rows.marks),
                self._filter.problems[0] if self._filter.problems else "",
            )
        )

    # -- marks --------------------------------------------------------------------------------------

    def marked(self) -> list[int]:
        """Return the marked jobs; if there are none, the one under the cursor."""
        if self.rows.marks:
            return list(self.rows.marks)
        job = self.job
        return [job.id] if job is not None else []

    def count_unseen(self, ids: Sequence[int]) -> int:
        """Return how many of these jobs the filter hides; 0 for the job under the cursor."""
        view = self.view
        if not self.rows.marks or view is None or self._filter.is_empty:
            return 0
        return len(set(ids).difference(view.ids(0, len(view))))

    def _unmark_gone(self, batch: Batch) -> None:
        """Unmark jobs that were archived: a command would still act on them."""
        marks = self.rows.marks
        if self._archived or not marks or not batch.statuses_changed:
            return
        before = len(marks)
        if not self.context.client.writable:
            # another process archived them, and does not report which ones
            is_archived = self.context.client.history.is_archived
            try:
                marks.drop([job_id for job_id in marks if is_archived(job_id)])
            except StoreError as error:
                self.post_message(self.SearchFailed(str(error)))
        marks.drop(batch.archived)
        if len(marks) != before:
            self.marks_changed()

    def marks_changed(self) -> None:
        """Show the marks and their number."""
        self.table.refresh()
        counts = self.filter_bar.counts
        self.filter_bar.show(replace(counts, marked=len(self.rows.marks)))
        self.post_message(self.CurrentChanged(self.job))

    # -- messages -----------------------------------------------------------------------------------

    def on_table_moved(self, message: Table.Moved) -> None:
        """Publish the job under the cursor."""
        message.stop()
        if self._was_following and not self.is_following:
            self._unfollow()
        self.post_message(self.CurrentChanged(self.job))

    def on_table_opened(self, message: Table.Opened) -> None:
        """Publish the job that was opened."""
        message.stop()
        if message.key != self.table.cursor_key and not self.table.go_to_key(message.key):
            return  # it is gone; the cursor is on another job now
        if self.is_following:
            self._unfollow()  # the user has chosen this job: its detail must not change to a newer one's
        job = self.job
        if job is not None:
            self.post_message(self.JobOpened(job))

    def on_table_sort_requested(self, message: Table.SortRequested) -> None:
        """Sort by the column, or reverse the order."""
        message.stop()
        self.sort_by(message.column)

    def on_filter_bar_edited(self, message: FilterBar.Edited) -> None:
        """Filter while the user types."""
        message.stop()
        text = self.filter_bar.text
        if text is not None and text != self.filter_text:
            self.set_filter(text)

    def _apply_typed_filter(self, text: str) -> None:
        """Filter by the text that remains when typing ends."""
        if text != self.filter_text:
            self.set_filter(text)
        filters = self.context.saved.filters
        if text:
            self.context.saved.filters = [*(other for other in filters if other != text), text][-_MAX_FILTERS:]

    def _complete_filter(self, text: str) -> str | None:
        client = self.context.client
        return complete_filter(text, {"space": client.history.spaces(), "host": client.host_names()})

    def _focus_table(self) -> None:
        self.screen.set_focus(self.table)
