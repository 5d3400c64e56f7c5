"""Rows of the dashboard's tables: jobs, spaces and hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from jobtui.engine.client import Client, SpaceOverview
from jobtui.formatting import format_bytes, format_duration, format_local_time
from jobtui.history import QueryResult, StoreError
from jobtui.model import ClusterRef, Job, Status
from jobtui.storage.base import Host
from jobtui.tui.data.search import FIRST_PAGE
from jobtui.tui.text.spans import GLYPH, MARKED, STATUS_INK, WATCHED, Line, TextRole, progress_line, status_span
from jobtui.tui.widgets.table_layout import Column, Placed

SPACE_COLUMNS = (
    Column("name", "Name", 8, 40, sorts=True),
    Column("hosts", "Hosts", 6, 6, right=True, gives=2, sorts=True),
    Column("size", "Size", 9, 10, right=True, sorts=True),
    Column("memory", "In Memory", 10, 10, right=True, gives=3, sorts=True),
    Column("pending", "To Compact", 11, 11, right=True, gives=1, sorts=True),
    Column("jobs", "Jobs", 12, 40, gives=4, fills=True, sorts=True),
)
HOST_COLUMNS = (
    Column("name", "Host", 8, 120, sorts=True, host=True),
    Column("status", "Status", 10, 10, sorts=True),
    Column("spaces", "Spaces", 7, 7, right=True, gives=1, sorts=True),
    Column("size", "Size", 9, 10, right=True, gives=2, sorts=True),
    Column("free", "Free", 9, 10, right=True, sorts=True),
)
# where some host has something to say: it is no use to know a host's whole name and not what ails it
HOST_COLUMNS_WITH_DETAIL = (
    Column("name", "Host", 8, 40, sorts=True, host=True),
    *HOST_COLUMNS[1:],
    Column("detail", "", 12, 80, gives=3, fills=True),
)
Counts = Mapping[Status, int]


class InventoryRows:
    """Rows under a key, in an order; `gutter` marks the one that is chosen."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._cells: dict[str, Mapping[str, Line]] = {}
        self.chosen: str | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def show(self, rows: Sequence[tuple[str, Mapping[str, Line]]]) -> None:
        """Show these, in this order."""
        self._keys = [key for key, _ in rows]
        self._cells = dict(rows)

    def key_at(self, index: int) -> str:
        """The name at a place."""
        return self._keys[index]

    def place_of(self, key: Hashable) -> int | None:
        """Where the name is now."""
        return self._keys.index(key) if isinstance(key, str) and key in self._cells else None

    def cells(self, index: int, shown: Sequence[Placed]) -> list[Line]:
        """A line for each shown column."""
        row = self._cells[self._keys[index]]
        return [row[placed.column.key] for placed in shown]

    def token(self, index: int) -> object:
        """What the row's look depends on."""
        key = self._keys[index]
        return self._cells[key], key == self.chosen

    def gutter(self, key: Hashable) -> Line:
        """Whether it is the chosen one."""
        return (("▸", TextRole.ACCENT),) if key == self.chosen else ((" ", TextRole.PLAIN),)


def space_rows(
    looks: Sequence[SpaceOverview], counts: Callable[[str], Counts], sort: str, descending: bool
) -> list[tuple[str, Mapping[str, Line]]]:
    """A row a space, in order."""
    values: Mapping[str, Callable[[SpaceOverview], object]] = {
        "name": lambda look: look.space.name,
        "hosts": lambda look: len(look.space.hosts),
        "size": lambda look: -1 if look.size is None else look.size,
        "memory": lambda look: -1 if look.memory is None else look.memory,
        "pending": lambda look: -1 if look.pending is None else look.pending,
        "jobs": lambda look: sum(counts(look.space.name).values()),
    }
    ordered = sorted(looks, key=values[sort], reverse=descending)  # type: ignore[arg-type]
    return [(look.space.name, _space(look, counts(look.space.name))) for look in ordered]


def host_rows(hosts: Sequence[Host], sort: str, descending: bool) -> list[tuple[str, Mapping[str, Line]]]:
    """A row a host, in order."""
    values: Mapping[str, Callable[[Host], object]] = {
        "name": lambda host: host.name,
        "status": lambda host: host.up,
        "spaces": lambda host: host.spaces,
        "size": lambda host: -1 if host.size is None else host.size,
        "free": lambda host: -1 if host.free is None else host.free,
    }
    ordered = sorted(hosts, key=values[sort], reverse=descending)  # type: ignore[arg-type]
    return [(host.name, _host(host)) for host in ordered]


def _space(look: SpaceOverview, counts: Counts) -> Mapping[str, Line]:
    name = ((look.space.name, TextRole.STRONG),)
    return {
        "name": (*name, ("  adopted", TextRole.MUTED)) if look.space.adopted else name,
        "hosts": ((str(len(look.space.hosts)), TextRole.PLAIN),),
        "size": ((format_bytes(look.size, unknown="–"), TextRole.PLAIN),),
        "memory": ((format_bytes(look.memory, unknown="–"), TextRole.PLAIN),),
        "pending": ((format_bytes(look.pending, unknown="–"), TextRole.PLAIN),),
        "jobs": job_counts(counts),
    }


def job_counts(counts: Counts) -> Line:
    """`▶ 1  ◷ 2  ✖ 3`: the jobs that matter, by status; those of which there are none are left out."""
    shown = [
        (f"{GLYPH[status]} {counts[status]:,}  ", STATUS_INK[status])
        for status in (Status.RUNNING, Status.QUEUE, Status.FINISHED, Status.FAILED, Status.STOPPED)
        if counts.get(status)
    ]
    return tuple(shown) or (("", TextRole.PLAIN),)


def _host(host: Host) -> Mapping[str, Line]:
    state = ("✔ online", TextRole.FINISHED) if host.up else ("✖ offline", TextRole.FAILED)
    return {
        "name": ((host.name, TextRole.STRONG),),
        "status": (state,),
        "spaces": ((str(host.spaces), TextRole.PLAIN),),
        "size": ((format_bytes(host.size, unknown="–"), TextRole.PLAIN),),
        "free": ((format_bytes(host.free, unknown="–"), TextRole.PLAIN),),
        "detail": ((host.detail, TextRole.FAILED),),
    }


_NEVER = datetime.fromtimestamp(0, UTC)
_BLOCK = 16
_BLOCKS = 128

JOB_COLUMNS: tuple[Column, ...] = (
    Column("id", "Job Id", 7, 9, right=True, sorts=True),
    Column("command", "Command", 12, 40, sorts=True),
    Column("status", "Status", 14, 20, sorts=True),
    Column("progress", "Progress", 9, 15, gives=3, sorts=True, natural=15),
    Column("start", "Start Time", 17, 17, gives=4, sorts=True),
    Column("stop", "Stop Time", 17, 17, gives=7, sorts=True),
    Column("took", "Took", 5, 12, gives=2, right=True, sorts=True),
    Column("space", "Space", 6, 30, gives=10, sorts=True),
    Column("hosts", "Hosts", 5, 5, gives=9, right=True, sorts=True),
    Column("reclaimed", "Reclaimed", 9, 10, gives=8, right=True, sorts=True),
    Column("origin", "From", 8, 24, gives=6, sorts=True, natural=14),
    Column("reason", "Reason", 12, 60, gives=5, fills=True, sorts=True),
)
DEFAULT_COLUMNS = ("id", "command", "status", "progress", "start", "stop", "took", "reason")
# a cluster has jobs that others submitted: where each came from is told without being asked for
CLUSTER_COLUMNS = (*DEFAULT_COLUMNS, "origin")


# stands for a job that can't be read, or not yet
_PENDING = Job(id=0, command="…", space="", submitted=_NEVER, status=Status.QUEUE)


def _gone(job_id: int) -> Job:
    # archived since the view was made: shown until the view is made anew
    return Job(id=job_id, command="–", space="", submitted=_NEVER, status=Status.FINISHED)


def default_columns(desk: Client) -> tuple[str, ...]:
    """Return the keys of the columns that are shown if the user has chosen none."""
    return DEFAULT_COLUMNS if desk.connection is None else CLUSTER_COLUMNS


def chosen_columns(keys: Iterable[str], desk: Client) -> tuple[Column, ...]:
    """The columns of these keys, in the table's order; the usual ones where none of them is known."""
    wanted = set(keys)
    found = tuple(column for column in JOB_COLUMNS if column.key in wanted)
    return found or tuple(column for column in JOB_COLUMNS if column.key in default_columns(desk))


class JobRows:
    """See the module. `now` is the clock that a running job's time is counted by, `watched` what is watched.

    `trouble` says why some job could not be read, "" while all could.
    """

    def __init__(self, now: Callable[[], datetime], watched: Collection[int]) -> None:
        self.marks = MarkedJobs()
        self.watched = watched
        self._now = now
        self._view: QueryResult | None = None
        self._count = 0
        self._whole = True
        self._blocks: dict[int, Sequence[Job]] = {}
        self._newest: dict[int, Job] = {}
        self._fresh: set[int] = set()
        self.trouble = ""

    def __len__(self) -> int:
        return self._count

    @property
    def view(self) -> QueryResult | None:
        """The query's result that is shown."""
        return self._view

    def show(self, view: QueryResult, whole: bool = True) -> None:
        """Show another view. Snapshots that came while it was being made still go before it.

        Not `whole`: only its first page can be read yet.
        """
        self._view, self._count, self._whole = view, len(view), whole
        self._blocks.clear()
        self._newest = {
            job_id: job for job_id, job in self._newest.items() if job_id in self._fresh or not job.status.ended
        }

    def asking(self) -> None:
        """Another view is being made from here on: what comes from now on is newer than it."""
        self._fresh.clear()

    def update(self, jobs: Mapping[int, Job]) -> None:
        """Show newer snapshots of some jobs."""
        self._newest.update(jobs)
        self._fresh.update(jobs)

    def running(self) -> list[int]:
        """Ids of running jobs among the newest snapshots: their time goes on."""
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
        while len(self._blocks) >= _BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        start = number * _BLOCK
        if not self._whole and start + _BLOCK > FIRST_PAGE:
            return [_PENDING] * _BLOCK
        try:
            ids = self._view.ids(start, start + _BLOCK)
            found = {job.id: job for job in self._view.page(start, _BLOCK)}
        except (OSError, StoreError) as error:
            self.trouble = str(error)
            return [_PENDING] * _BLOCK
        # where the history is damaged there may be fewer than are counted
        short = [_PENDING] * max(0, min(_BLOCK, self._count - start) - len(ids))
        block = self._blocks[number] = [*(found.get(job_id) or _gone(job_id) for job_id in ids), *short]
        return block

    def key_at(self, index: int) -> int:
        """Return the id of the job of a row."""
        return self.job_at(index).id

    def place_of(self, key: Hashable) -> int | None:
        """Where the job is now; None too where that can't be told yet."""
        if self._view is None or not self._whole or not isinstance(key, int):
            return None
        try:
            return self._view.index_of(key)
        except (OSError, StoreError) as error:
            self.trouble = str(error)
            return None

    def gutter(self, key: Hashable) -> Line:
        """A mark, or that the job is watched."""
        if isinstance(key, int) and key in self.marks:
            return ((MARKED, TextRole.MARK),)
        return ((WATCHED, TextRole.ACCENT),) if key in self.watched else ((" ", TextRole.PLAIN),)

    def token(self, index: int) -> object:
        """What the row's look depends on."""
        job = self.job_at(index)
        now = self._now().replace(microsecond=0) if job.status is Status.RUNNING else None
        return job, job.id in self.marks, job.id in self.watched, now

    def cells(self, index: int, shown: Sequence[Placed]) -> list[Line]:
        """A line for each shown column."""
        job = self.job_at(index)
        now = self._now()
        return [job_cell(job, placed.column.key, now, placed.width) for placed in shown]


def job_cell(job: Job, column: str, now: datetime, width: int) -> Line:
    """What a column of that width says of a job."""
    if column == "progress":
        return progress_line(job.progress, job.status, width - 5)
    return _CELLS[column](job, now)


def elapsed(job: Job, now: datetime) -> float | None:
    """Seconds from start to stop, or to now; None for a job that has not begun, or whose end nobody timed."""
    if job.status.ended or job.start is None:
        return job.took
    return max(0.0, (now - job.start).total_seconds())


def _origin(job: Job, now: datetime) -> Line:
    if job.origin is not None:
        return ((_there(job.origin, ended=job.status.ended), TextRole.MUTED),)
    return ((f"job {job.recovered_from}" if job.recovered_from is not None else "", TextRole.MUTED),)


def _there(origin: ClusterRef, *, ended: bool) -> str:
    # the id first: it stays where the column is narrow
    if origin.id:
        return f"{origin.id} on {origin.cluster}"
    return "" if ended else f"asked of {origin.cluster}"


def _cause(job: Job) -> str:
    """The reason; without its host where that is a path, which would leave no room for what went wrong."""
    for task in job.tasks if job.reason else ():
        if "/" in task.host and job.reason.startswith(f"{task.host}: "):
            return job.reason[len(task.host) + 2 :]
    return job.reason


def _reclaimed(job: Job, now: datetime) -> Line:
    return ((format_bytes(job.reclaimed), TextRole.PLAIN),)


_CELLS: Mapping[str, Callable[[Job, datetime], Line]] = {
    "id": lambda job, now: ((str(job.id), TextRole.STRONG),),
    "command": lambda job, now: ((job.label, TextRole.PLAIN),),
    "status": lambda job, now: (status_span(job),),
    "start": lambda job, now: ((format_local_time(job.start), TextRole.PLAIN),),
    "stop": lambda job, now: ((format_local_time(job.stop), TextRole.PLAIN),),
    "took": lambda job, now: ((format_duration(elapsed(job, now)), TextRole.PLAIN),),
    "space": lambda job, now: ((job.space, TextRole.PLAIN),),
    "hosts": lambda job, now: ((str(len(job.tasks)), TextRole.MUTED),),
    "reclaimed": _reclaimed,
    "origin": _origin,
    "reason": lambda job, now: ((_cause(job), TextRole.MUTED),),
}


class MarkedJobs:
    """A set of job ids. Ids rise from 1, so a byte each is the smallest set there is once many are marked."""

    def __init__(self) -> None:
        self._flags = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, job_id: int) -> bool:
        return job_id < len(self._flags) and self._flags[job_id] == 1

    def __iter__(self) -> Iterator[int]:
        """The marked ids, rising."""
        place = self._flags.find(1)
        while place >= 0:
            yield place
            place = self._flags.find(1, place + 1)

    def toggle(self, job_id: int) -> None:
        """Mark it, or take its mark away."""
        self._set(job_id, job_id not in self)

    def add(self, job_ids: Iterable[int]) -> None:
        """Mark them."""
        for job_id in job_ids:
            self._set(job_id, True)

    def drop(self, job_ids: Iterable[int]) -> None:
        """Take their marks away."""
        for job_id in job_ids:
            self._set(job_id, False)

    def invert(self, job_ids: Iterable[int]) -> None:
        """Turn these round."""
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
