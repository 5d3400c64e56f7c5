"""The few statements that jobtui says to graphd, as text. Pure.

Every statement names its space with a USE before it, in the same text: a session's chosen space is never
relied on. A space's name always stands between back-quotes, in which graphd reads a backslash as an escape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Status, Task
from jobtui.storage.base import ClusterJob, Host, Space

SHOW_SPACES = "SHOW SPACES"
SHOW_HOSTS = "SHOW HOSTS"
PING = "YIELD 1"
COMMANDS = {"flush": "FLUSH", "compact": "COMPACT"}

_NO_NAME = re.compile("[\x00\ud800-\udfff]")
_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "`": "\\`",
        ".": "\\.",
        "\n": "\\n",
        "\t": "\\t",
        "\r": "\\r",
        "\b": "\\b",
        "\f": "\\f",
    }
)


def quoted(name: str) -> str:
    """The name between back-quotes, so that graphd reads this name and nothing else.

    Raises StorageError (missing) for what no space can be called: a NUL would end the name there, and half
    a surrogate pair is no text.
    """
    if _NO_NAME.search(name):
        raise StorageError(ErrorCode.MISSING, "", name, "no space can have such a name")
    return f"`{name.translate(_ESCAPES)}`"


def show_jobs(space: str) -> str:
    """All jobs of a space."""
    return f"USE {quoted(space)}; SHOW JOBS"


def show_job(space: str, job: int) -> str:
    """One job of a space, with its tasks."""
    return f"USE {quoted(space)}; SHOW JOB {job:d}"


def submit(command: str, space: str) -> str:
    """A new job. Raises KeyError for a command that can't be submitted."""
    return f"USE {quoted(space)}; SUBMIT JOB {COMMANDS[command]}"


def stop(space: str, job: int) -> str:
    """The end of a job."""
    return f"USE {quoted(space)}; STOP JOB {job:d}"


def recover(space: str, jobs: Iterable[int]) -> str:
    """The failed and stopped jobs of a space again: those named, or all."""
    ids = ", ".join(f"{job:d}" for job in jobs)
    return f"USE {quoted(space)}; RECOVER JOB {ids}".rstrip()


# ---- merged from jobtui.storage.nebula.table: ----
# What graphd answers, as plain data: the border between the wire and everything that reasons about it.
Cell = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class NgqlTable:
    """Columns and rows. Times are aware and in UTC; None is a cell that graphd left empty."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """What graphd said instead: the name of its error code, like E_SEMANTIC_ERROR, and its words."""

    code: str
    words: str


Reply = NgqlTable | ErrorReply


# ---- merged from jobtui.storage.nebula.translate: ----
# From graphd's tables to jobtui's model. Pure: the only place that knows how the cluster words things.
#
# What is known of 3.0 to 3.8: words are in upper case; a status can be any word; the last row of SHOW JOB is
# a count in strings (`Total:3`); a data balance has another header, task names and words of its own.
#
LEFT_BEHIND = "its job ended without it; the host may go on"
NO_STATUS = "the cluster tells no status of it"
NO_REASON = frozenset({"", "SUCCEEDED", "E_JOB_SUBMITTED"})
_STATUSES = {status.name: status for status in Status} | {
    "SUCCEEDED": Status.FINISHED,  # a data balance's own words
    "IN_PROGRESS": Status.RUNNING,
}
_LEADER_CHANGED = re.compile(r"leader ?changed", re.IGNORECASE)
_METAD_LOST = re.compile(r"rpc failure", re.IGNORECASE)


def status_of(word: str) -> tuple[Status, str]:
    """Our status for the cluster's word, and its reason: an unknown word is failed, with its name for one."""
    known = _STATUSES.get(word.upper())
    return (Status.FAILED, word or NO_STATUS) if known is None else (known, "")


def command_of(word: str) -> str:
    """A command as we show it: `REBUILD_TAG_INDEX` is `rebuild tag index`."""
    return word.lower().replace("_", " ")


def jobs(table: NgqlTable, since: int = 0) -> tuple[ClusterJob, ...]:
    """SHOW JOBS: the jobs with ids above `since`, newest first, without tasks."""
    place = _places(table, "Job Id", "Command", "Status", "Start Time", "Stop Time")
    listed = []
    for row in table.rows:
        job_id, command, word, start, stop = (row[at] for at in place)
        if not isinstance(job_id, int):
            raise _unknown_form(table)
        if job_id > since:
            listed.append(_outline(job_id, command, word, start, stop))
    return tuple(sorted(listed, key=lambda job: -job.id))


def job(table: NgqlTable) -> ClusterJob:
    """SHOW JOB: its first row is the job, the others are its tasks, but for the last, which counts them."""
    # a data balance's header is `Job Id(spaceId:partId)`, `Command(src->dst)`; 3.0 has no error code
    place = _places(table, "Job Id", "Command", "Status", "Start Time", "Stop Time")
    code = _place(table, "Error Code")
    rows_in_order = [(*(row[at] for at in place), None if code is None else row[code]) for row in table.rows]
    if not rows_in_order or not isinstance(rows_in_order[0][0], int):
        raise _unknown_form(table)
    first, *others = rows_in_order
    told = _outline(*first[:5])
    rows = sorted((row for row in others if not _is_total(row)), key=_in_order)
    # while a job waits to run again, its tasks are still those of the run before
    tasks = () if told.status is Status.QUEUE else tuple(_task(number, row) for number, row in enumerate(rows))
    if told.status.ended:
        tasks = tuple(task if task.status.ended else _left_behind(task) for task in tasks)
    return replace(told, reason=told.reason or _why(told.status, first), tasks=tasks)


def new_job_id(table: NgqlTable) -> int:
    """SUBMIT JOB: the job's id on the cluster."""
    return _number(table, "New Job Id")


def recovered(table: NgqlTable) -> int:
    """RECOVER JOB: how many jobs run again."""
    return _number(table, "Recovered job num")


def spaces(names: NgqlTable, hosts_table: NgqlTable) -> tuple[Space, ...]:
    """SHOW SPACES and SHOW HOSTS: each space with the hosts that hold a part of it, in name order."""
    (at,) = _places(names, "Name")
    found: dict[str, list[str]] = {str(row[at]): [] for row in names.rows}
    for host, row, distribution in _storage_hosts(hosts_table):
        for space in _held(str(row[distribution] or ""), found):
            if space in found:
                found[space].append(host)
    return tuple(Space(name, tuple(hosts)) for name, hosts in sorted(found.items()))


def hosts(table: NgqlTable) -> tuple[Host, ...]:
    """SHOW HOSTS: the storage hosts and whether metad hears of them."""
    (state,) = _places(table, "Status")
    listed = []
    for name, row, distribution in _storage_hosts(table):
        up = str(row[state]).upper() == "ONLINE"
        detail = "" if up else f"{str(row[state]).lower()}, says the cluster"
        listed.append(Host(name, up, detail, spaces=len(_held(str(row[distribution] or ""), ()))))
    return tuple(listed)


def refused(refusal: ErrorReply, space: str, *, order: bool = False) -> StorageError:
    """A refusal as an error in the cluster's own words.

    For an `order`, an answer that metad could not be reached or lost its leadership leaves open whether
    the order was carried out.
    """
    words = refusal.words or refusal.code
    if is_leader_change(refusal) or _METAD_LOST.search(words):
        return StorageError(ErrorCode.UNREACHABLE, "", space, words, outcome_unknown=order)
    if refusal.code == "E_BAD_PERMISSION":
        return StorageError(ErrorCode.ACCESS, "", space, words)
    if words.startswith("SpaceNotFound"):
        return StorageError(ErrorCode.MISSING, "", space, words)
    return StorageError(ErrorCode.REJECTED, "", space, words)


def is_leader_change(refusal: ErrorReply) -> bool:
    """Whether metad's leader moved just then: asking again soon will do."""
    return refusal.code == "E_LEADER_CHANGED" or bool(_LEADER_CHANGED.search(refusal.words))


def _outline(job_id: Cell, command: Cell, word: Cell, start: Cell, stop: Cell) -> ClusterJob:
    status, reason = status_of(str(word or ""))
    return ClusterJob(
        id=int(str(job_id)),
        command=command_of(str(command)),
        status=status,
        # a job that runs again keeps the times of its run before until it has new ones
        start=None if status is Status.QUEUE else _time(start),
        stop=_time(stop) if status.ended else None,
        reason=reason,
    )


def _task(number: int, row: Sequence[Cell]) -> Task:
    status, reason = status_of(str(row[2] or ""))
    reason = reason or _why(status, row)
    start, stop = _time(row[3]), _time(row[4]) if status.ended else None
    return Task(
        number=number,
        host=str(row[1]),
        status=status,
        progress=1.0 if status is Status.FINISHED else None,
        start=start,
        stop=stop,
        took=max((stop - start).total_seconds(), 0.0) if start and stop else None,
        reason=reason,
        code=ErrorCode.REJECTED if status is Status.FAILED else "",
    )


def _left_behind(task: Task) -> Task:
    """A task of a job that the cluster has ended without it: by a stop, or by another task's failure."""
    return msgspec.structs.replace(task, status=Status.STOPPED, reason=LEFT_BEHIND, detached=True)


def _why(status: Status, row: Sequence[Cell]) -> str:
    code = str(row[5] or "")
    return code if status is Status.FAILED and code not in NO_REASON else ""


def _is_total(row: Sequence[Cell]) -> bool:
    return isinstance(row[0], str) and row[0].upper().startswith("TOTAL:")


def _in_order(row: Sequence[Cell]) -> tuple[int, str]:
    return (row[0], "") if isinstance(row[0], int) else (0, str(row[0]))


def _time(cell: Cell) -> datetime | None:
    return cell if isinstance(cell, datetime) else None


def _storage_hosts(table: NgqlTable) -> list[tuple[str, Sequence[Cell], int]]:
    """Each host's name, its row, and where in a row its parts are told; the last row only adds them up."""
    host, port, distribution = _places(table, "Host", "Port", "Partition distribution")
    rows = [row for row in table.rows if isinstance(row[port], int)]
    times = Counter(row[host] for row in rows)
    # several storageds on one machine are told apart by their ports
    return [
        (str(row[host]) if times[row[host]] == 1 else _with_port(str(row[host]), row[port]), row, distribution)
        for row in rows
    ]


def _with_port(host: str, port: Cell) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _held(distribution: str, known: Sequence[str] | dict[str, list[str]]) -> list[str]:
    """The spaces of `nba:10, test2:5`; a known name is taken whole, whatever colons and commas are in it."""
    found = []
    names = sorted(known, key=len, reverse=True)
    at = 0
    while at < len(distribution):
        for name in names:
            match = _PARTS.match(distribution, at + len(name)) if distribution.startswith(name, at) else None
            if match is not None:
                break
        else:
            match = _ANY_SPACE.match(distribution, at)
            if match is None:
                break
            name = match[1]
        found.append(name)
        at = match.end()
    return found


_PARTS = re.compile(r":\d+(?:, |$)")
_ANY_SPACE = re.compile(r"(.+?):\d+(?:, |$)", re.DOTALL)


def _number(table: NgqlTable, column: str) -> int:
    (at,) = _places(table, column)
    if len(table.rows) == 1 and isinstance(number := table.rows[0][at], int):
        return number
    raise _unknown_form(table)


def _places(table: NgqlTable, *columns: str) -> tuple[int, ...]:
    """Where in a row these columns are: versions may differ in their order, and have others beside them."""
    places = [_place(table, column) for column in columns]
    found = tuple(place for place in places if place is not None)
    if len(found) < len(columns):
        raise _unknown_form(table)
    return found


def _place(table: NgqlTable, column: str) -> int | None:
    """Where that column is; what a header adds in brackets is not part of its name."""
    names = [name.partition("(")[0].strip().casefold() for name in table.columns]
    return names.index(column.casefold()) if column.casefold() in names else None


def _unknown_form(table: NgqlTable) -> StorageError:
    columns = ", ".join(table.columns) or "none"
    text = f"graphd answered in a form that jobtui does not know: {len(table.rows)} rows, columns {columns}"
    return StorageError(ErrorCode.UNSUPPORTED, "", "", text)
