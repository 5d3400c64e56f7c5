"""Jobs as rows of a table: pages of a query, updated with the client's snapshots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from jobtui.engine.client import Client
from jobtui.engine.job_log import describe_request, last_pause
from jobtui.formatting import (
    DateOrder,
    format_bytes,
    format_change,
    format_duration,
    format_recent_time,
    to_local,
)
from jobtui.history import QueryResult, StoreError
from jobtui.model import ClusterRef, Job, Status
from jobtui.tui.data.search import FIRST_PAGE
from jobtui.tui.tabs.summary import elapsed, format_stop_details, hosts_done_line
from jobtui.tui.tabs.tasks import MIN_PROGRESS, continues_steps, estimate_task_seconds, is_progress_unknown
from jobtui.tui.text.spans import (
    AGAIN,
    MARKED,
    MAX_TREND,
    WATCHED,
    Line,
    TextRole,
    cause_of,
    deferral_of,
    line_width,
    progress_line,
    running_line,
    status_span,
    step_count,
    width_of,
)
from jobtui.tui.widgets.table_layout import GAP, Column, PlacedColumn

_NEVER = datetime.fromtimestamp(0, UTC)
_BLOCK = 16
"""Jobs that are read together."""
_MAX_BLOCKS = 128

JOB_COLUMNS: tuple[Column, ...] = (
    Column("id", "Job", 5, 9, right=True, sorts=True),
    Column("command", "Command", 12, 40, sorts=True, keeps_end=True),
    Column("status", "Status", 10, 20, sorts=True),
    Column("progress", "Progress", 9, 15, hide_order=3, sorts=True, usual_width=15),
    Column("took", "Took", 6, 12, hide_order=1, right=True, sorts=True),
    Column("start", "Start", 8, 16, hide_order=2, sorts=True),
    Column("stop", "Stop", 8, 16, hide_order=7, sorts=True),
    Column("space", "Space", 6, 30, hide_order=10, sorts=True),
    Column("hosts", "Hosts", 5, 5, hide_order=8, right=True, sorts=True),
    Column("reclaimed", "Reclaimed", 9, 10, hide_order=6, right=True, sorts=True),
    Column("origin", "From", 8, 24, hide_order=5, sorts=True, usual_width=14),
    Column("requester", "Requested By", 10, 40, hide_order=9, sorts=True, usual_width=24),
    Column("because", "Why", 10, 60, hide_order=4, sorts=True, usual_width=24),
    Column("reason", "Details", 18, 200, usual_width=44, fills=True, sorts=True),
)
DEFAULT_COLUMNS = ("id", "command", "status", "took", "start", "stop", "hosts", "reclaimed", "reason")
# other users submit jobs to a cluster, too: where each came from is shown by default
CLUSTER_COLUMNS = (*DEFAULT_COLUMNS, "origin")
# columns that the details may cover if they need the room: of a failed job the reason matters most
_COVERED = {
    Status.FAILED: frozenset(
        {"progress", "took", "start", "stop", "space", "hosts", "reclaimed", "origin", "requester"}
    ),
    Status.RUNNING: frozenset({"start", "stop", "hosts", "reclaimed"}),
    Status.STOPPED: frozenset({"start", "stop", "hosts", "reclaimed"}),
}
_SHORTENED = frozenset({Status.FINISHED, Status.STOPPED})
_WITH_REASON = frozenset({Status.FAILED, Status.STOPPED})
_BLANK_IN_QUEUE = frozenset({"start", "stop", "reclaimed"})
_WAIT_CELLS = 56
"""The cells that the reason of a queued job's wait and its time need, in nearly all rows."""


# shown in place of a job that cannot be read, or not yet
_PENDING = Job(id=0, command="…", space="", submitted=_NEVER, status=Status.QUEUE)


def _archived_row(job_id: int) -> Job:
    # the job was archived after the query: this row stands in for it until the next query
    return Job(id=job_id, command="–", space="", submitted=_NEVER, status=Status.FINISHED)


def default_columns(client: Client) -> tuple[str, ...]:
    """Return the keys of the columns that are shown if the user has chosen none."""
    return DEFAULT_COLUMNS if client.connection is None else CLUSTER_COLUMNS


def chosen_columns(keys: Iterable[str], client: Client) -> tuple[Column, ...]:
    """Return the columns of these keys in the table's order; the default ones if none is."""
    wanted = set(keys)
    found = tuple(column for column in JOB_COLUMNS if column.key in wanted)
    return found or tuple(column for column in JOB_COLUMNS if column.key in default_columns(client))


Rates = dict[tuple[int, int], float | None]


class JobRows:
    """The rows of the jobs' table.

    Attributes:
        marks: The jobs that the user marked.
        watched: The jobs whose end the user wants to be notified of.
        rates: Bytes a second, by job and task, of what runs.
        trends: The last rates of each running job, one a second.
        waits: What each queued job waits for, by its id.
        recoveries: Returns the newest job that ran each of these again.
        date_order: The order of day, month and year.
        problem: Why some job could not be read, "" if all could.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        watched: Collection[int],
        recoveries: Callable[[Collection[int]], Mapping[int, int]] = lambda ids: {},
        date_order: DateOrder = DateOrder.MONTH_FIRST,
    ) -> None:
        self.marks = MarkedJobs()
        self.watched = watched
        self.rates: Rates = {}
        self.trends: dict[int, list[float]] = {}
        self.waits: Mapping[int, str] = {}
        self.recoveries = recoveries
        self.date_order = date_order
        self._now = now
        self._trend_end: datetime | None = None
        self._view: QueryResult | None = None
        self._count = 0
        self._whole = True
        self._blocks: dict[int, Sequence[Job]] = {}
        self._newest: dict[int, Job] = {}
        self._fresh: set[int] = set()
        self._again: dict[int, int] = {}
        self.problem = ""

    def __len__(self) -> int:
        return self._count

    @property
    def view(self) -> QueryResult | None:
        """The query's result that is shown, None before the first one."""
        return self._view

    def show(self, view: QueryResult, whole: bool = True) -> None:
        """Show another result. Snapshots that arrived while the query ran take precedence over it.

        Args:
            view: The result.
            whole: Whether all of it can be read, or only its first page.
        """
        self._view, self._count, self._whole = view, len(view), whole
        self._blocks.clear()
        self._again.clear()
        self._newest = {
            job_id: job for job_id, job in self._newest.items() if job_id in self._fresh or not job.status.ended
        }

    def begin_query(self) -> None:
        """Record that a query begins: snapshots that arrive from now on are newer than its result."""
        self._fresh.clear()

    def update(self, jobs: Mapping[int, Job]) -> None:
        """Show newer snapshots of some jobs."""
        self._newest.update(jobs)
        self._fresh.update(jobs)
        for job in jobs.values():
            if job.recovered_from is not None:
                self._again[job.recovered_from] = job.id

    def running(self) -> list[int]:
        """Return the ids of running jobs, whose elapsed time changes."""
        return [job.id for job in self._newest.values() if job.status is Status.RUNNING]

    def job_at(self, index: int) -> Job:
        """Return the job of a row."""
        number, rest = divmod(index, _BLOCK)
        block = self._blocks.get(number)
        if block is None:
            block = self._read(number)
        job = block[rest]
        return self._newest.get(job.id, job)

    def _read(self, number: int) -> Sequence[Job]:
        if self._view is None:
            raise IndexError(number)
        while len(self._blocks) >= _MAX_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        start = number * _BLOCK
        if not self._whole and start + _BLOCK > FIRST_PAGE:
            return [_PENDING] * _BLOCK
        try:
            ids = self._view.ids(start, start + _BLOCK)
            found = {job.id: job for job in self._view.page(start, _BLOCK)}
        except (OSError, StoreError) as error:
            self.problem = str(error)
            return [_PENDING] * _BLOCK
        self._again.update(self.recoveries({job.id for job in found.values() if job.status.ended}))
        # a damaged history may have fewer jobs than it counts
        short = [_PENDING] * max(0, min(_BLOCK, self._count - start) - len(ids))
        block = self._blocks[number] = [*(found.get(job_id) or _archived_row(job_id) for job_id in ids), *short]
        return block

    def key_at(self, index: int) -> int:
        """Return the id of the job of a row."""
        return self.job_at(index).id

    def index_of(self, key: Hashable) -> int | None:
        """Return the row of a job; None if it has none, or if that is not known yet."""
        if self._view is None or not self._whole or not isinstance(key, int):
            return None
        try:
            return self._view.index_of(key)
        except (OSError, StoreError) as error:
            self.problem = str(error)
            return None

    def gutter(self, key: Hashable) -> Line:
        """Return the sign at the left of a row: whether the job is marked or watched."""
        if isinstance(key, int) and key in self.marks:
            return ((MARKED, TextRole.MARK),)
        return ((WATCHED, TextRole.ACCENT),) if key in self.watched else ((" ", TextRole.PLAIN),)

    def token(self, index: int) -> object:
        """Return the values that a row is painted from; equal tokens mean equal rows."""
        job = self.job_at(index)
        now = self._now()
        varies: object = to_local(now).date()  # a time of today loses its date
        if job.status is Status.RUNNING:
            trend = self.trends.get(job.id, ())
            varies = now.replace(microsecond=0), self._rate(job), tuple(trend)
        elif job.status is Status.QUEUE:
            varies = to_local(now).date(), self.waits.get(job.id)
        return job, job.id in self.marks, job.id in self.watched, self._again.get(job.id), varies

    def cells(self, index: int, shown: Sequence[PlacedColumn]) -> list[Line | None]:
        """Return the cells of a row, one for each shown column; None if the next cell covers it."""
        job = self.job_at(index)
        now = self._now()
        cells: list[Line | None] = [self._cell(job, placed.column.key, now, placed.width) for placed in shown]
        if shown and shown[-1].column.key == "reason":
            self._cover(job, shown, cells)
        return cells

    def _cover(self, job: Job, shown: Sequence[PlacedColumn], cells: list[Line | None]) -> None:
        """Extend the details over the columns before them that are blank or less important."""
        width = shown[-1].width
        details = self._details(job, _UNLIMITED)
        if job.status in _SHORTENED and line_width(self._details(job, width)) <= width:
            details = self._details(job, width)  # shorter, and below the details of other rows
        # the reasons of all queued jobs begin in the same column, even if this row does not need the room
        is_queued = job.status is Status.QUEUE and width < _WAIT_CELLS
        # what holds a job up matters as much as what ended it
        coverable = _COVERED.get(Status.FAILED if job.paused else job.status, frozenset())
        index = len(shown) - 2
        while index >= 0:
            covered, key = cells[index], shown[index].column.key
            is_blank = covered is not None and not any(text.strip() for text, _ in covered)
            if line_width(details) <= width and not (is_queued and key in _BLANK_IN_QUEUE):
                break
            if not is_blank and key not in coverable:
                break
            cells[index] = None
            width += shown[index].width + GAP
            index -= 1
        status = cells[index] if index >= 0 and shown[index].column.key == "status" else None
        if job.status in _WITH_REASON and status is not None and line_width(details) > width:
            # the column is as wide as the longest status of any row
            gap: Line = ((" " * GAP, TextRole.PLAIN),)
            room = width + shown[index].width - line_width(status)
            if line_width(details) > room:
                room += line_width(status[1:])
                status = status[:1]  # the reason matters more than the job that ran this one again
            cells[index], cells[-1] = None, (*status, *gap, *self._details(job, room))
        else:
            cells[-1] = self._details(job, width)

    def _cell(self, job: Job, column: str, now: datetime, width: int) -> Line:
        match column:
            case "start" | "stop":
                moment = job.start if column == "start" else job.stop
                return ((format_recent_time(moment, now, self.date_order, width), TextRole.PLAIN),)
            case "status":
                again = self._again.get(job.id)
                mark: Line = ((f" {AGAIN} {again}", TextRole.MUTED),) if again is not None else ()
                text, role = status_span(job)
                glyph, word, *steps = text.split(" ")
                # separate spans: a narrow column omits the steps, which the details show as well
                return ((f"{glyph} {word}", role), *((f" {count}", role) for count in steps), *mark)
            case "reason":
                return self._details(job, width)
            case _:
                return job_cell(job, column, now, width)

    def _details(self, job: Job, width: int) -> Line:
        """Return the text for a job's status: the reason, what it waits for, or its rate."""
        now = self._now()
        match job.status:
            case Status.QUEUE if job is _PENDING:
                return ()
            case Status.QUEUE | Status.RUNNING if request := describe_request(last_pause(job)):
                # the status says that the job is paused
                steps = f"  {step_count(job)}".rstrip()
                return ((request.lstrip(": "), TextRole.WARNING), (steps, TextRole.MUTED))
            case Status.QUEUE:
                since = f"since {format_recent_time(job.submitted, now, self.date_order)}"
                waits = job.reason or self.waits.get(job.id)
                text = f"{waits}, {since}" if waits else since
                if width_of(text) > width and waits:
                    text = waits
                return ((text, TextRole.MUTED),)
            case Status.RUNNING:
                waiting = next((task.waiting for task in job.tasks if task.waiting), "")
                if waiting:
                    return ((f"paused: {waiting}", TextRole.WARNING),)
                if held := deferral_of(job) or job.reason:
                    return ((held, TextRole.WARNING),)
                if is_progress_unknown(job, now):
                    return hosts_done_line(job, self._rate(job))
                steps = step_count(job)
                room = width if width < _UNLIMITED else _RUNNING_CELLS + len(steps)
                left = estimate_job_seconds(job, self.rates, now)
                trend = self.trends.get(job.id, ()) if width < _UNLIMITED else ()
                return running_line(job.progress, self._rate(job), left, room, steps, trend)
            case Status.FINISHED if not job.reason:
                return ((_sizes(job, width), TextRole.MUTED),)
            case Status.FAILED:
                return ((cause_of(job), TextRole.FAILED),)
            case Status.STOPPED if not job.reason:
                return ((format_stop_details(job, width), TextRole.MUTED),)
            case _:
                return ((cause_of(job), TextRole.MUTED),)

    def extend_trends(self) -> None:
        """Add the rates of this second to the trends of running jobs; drop those of others."""
        now = self._now().replace(microsecond=0)
        if now == self._trend_end:
            return
        self._trend_end = now
        self.trends = {
            job.id: [*self.trends.get(job.id, ()), self._rate(job) or 0.0][-MAX_TREND:]
            for job in self._newest.values()
            if job.status is Status.RUNNING
        }

    def _rate(self, job: Job) -> float | None:
        known = [self.rates.get((job.id, task.number)) for task in job.tasks if task.status is Status.RUNNING]
        rates = [rate for rate in known if rate is not None]
        return sum(rates) if rates else None


_UNLIMITED = 10_000
# cells of a percentage, a rate and the time that is left
_RUNNING_CELLS = 29


def estimate_job_seconds(job: Job, rates: Rates, now: datetime) -> float | None:
    """Return an estimate of the seconds that a running job will still take, or None.

    A job ends with its last host. While some hosts have not begun, the estimate is based on the time in which
    hosts have worked, and on the waits between them.
    """
    running = [task for task in job.tasks if task.status is Status.RUNNING]
    if job.paused:
        return None
    if all(task.status is not Status.QUEUE for task in job.tasks):
        known = [estimate_task_seconds(job, task, rates.get((job.id, task.number)), now) for task in running]
        return None if None in known or not known else max(seconds for seconds in known if seconds is not None)
    done = job.progress
    if done is None or done < MIN_PROGRESS or job.start is None:
        return None
    if any(continues_steps(job, task) for task in job.tasks):
        return None
    worked = elapsed(job, now)
    waits = job.options.wait * sum(task.status is Status.QUEUE for task in job.tasks)
    return None if worked is None else worked * (1 - done) / done + waits


def _sizes(job: Job, width: int) -> str:
    """Return the size of the files before and after a job, "" if a host's is not known.

    The figures are aligned with those of other rows if `width` cells are enough.
    """
    before = [task.before.bytes for task in job.tasks if task.before is not None]
    after = [task.after.bytes for task in job.tasks if task.after is not None]
    if not job.tasks or not len(before) == len(after) == len(job.tasks):
        return ""
    return format_change(sum(before), sum(after), width)


def job_cell(job: Job, column: str, now: datetime, width: int) -> Line:
    """Return a job's cell in a column of this width."""
    if column == "progress":
        # a full bar next to the word "finished" adds nothing, and draws the most attention in the row
        return progress_line(job.progress, job.status, width - 5) if job.status is Status.RUNNING else ()
    return _CELLS[column](job, now)


def _origin(job: Job, now: datetime) -> Line:
    if job.origin is not None:
        return ((_there(job.origin, ended=job.status.ended), TextRole.MUTED),)
    return ((f"job {job.recovered_from}" if job.recovered_from is not None else "", TextRole.MUTED),)


def _there(origin: ClusterRef, *, ended: bool) -> str:
    # the id first: a narrow column cuts the end
    if origin.id:
        return f"{origin.id} on {origin.cluster}"
    return "" if ended else f"sent to {origin.cluster}"


def _reclaimed(job: Job, now: datetime) -> Line:
    if not job.status.ended:
        return ()  # the figure of only some hosts would be misleading
    return ((format_bytes(job.reclaimed_by_compaction), TextRole.PLAIN),)


_CELLS: Mapping[str, Callable[[Job, datetime], Line]] = {
    "id": lambda job, now: ((str(job.id), TextRole.STRONG),),
    "command": lambda job, now: ((job.command, TextRole.PLAIN), (f" {job.space}", TextRole.PLAIN)),
    "took": lambda job, now: ((format_duration(elapsed(job, now)), TextRole.PLAIN),),
    "space": lambda job, now: ((job.space, TextRole.PLAIN),),
    "hosts": lambda job, now: ((str(len(job.tasks)), TextRole.MUTED),),
    "reclaimed": _reclaimed,
    "origin": _origin,
    "requester": lambda job, now: ((job.requester, TextRole.MUTED),),
    "because": lambda job, now: ((job.options.because, TextRole.PLAIN),),
}


class MarkedJobs:
    """A set of job ids, of one byte each: ids rise from 1, and a million may be marked."""

    def __init__(self) -> None:
        self._flags = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, job_id: int) -> bool:
        return job_id < len(self._flags) and self._flags[job_id] == 1

    def __iter__(self) -> Iterator[int]:
        """Yield the marked ids in rising order."""
        job_id = self._flags.find(1)
        while job_id >= 0:
            yield job_id
            job_id = self._flags.find(1, job_id + 1)

    def toggle(self, job_id: int) -> None:
        """Invert the mark of a job."""
        self._set(job_id, job_id not in self)

    def add(self, job_ids: Iterable[int]) -> None:
        """Mark jobs."""
        for job_id in job_ids:
            self._set(job_id, True)

    def drop(self, job_ids: Iterable[int]) -> None:
        """Remove the marks of jobs."""
        for job_id in job_ids:
            self._set(job_id, False)

    def invert(self, job_ids: Iterable[int]) -> None:
        """Invert the marks of jobs."""
        for job_id in job_ids:
            self._set(job_id, job_id not in self)

    def clear(self) -> None:
        """Remove all marks."""
        self._flags = bytearray()
        self._count = 0

    def _set(self, job_id: int, on: bool) -> None:
        if job_id >= len(self._flags):
            if not on:
                return
            self._flags.extend(bytes(job_id + 1 - len(self._flags) + 256))
        if self._flags[job_id] != on:
            self._flags[job_id] = on
            self._count += 1 if on else -1
