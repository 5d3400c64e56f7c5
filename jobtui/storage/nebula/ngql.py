"""The statements that jobtui sends to graphd, and its answers as jobtui's records.

This is the only module that knows the cluster's words. From 3.0 to 3.8, words are in upper case; a status can
be any word; the last row of SHOW JOB is a count in strings (`Total:3`); a data balance has another header, and
task names and words of its own.

Every statement names its space with a USE before it, in the same text, so that the space that a session has
chosen never matters. A space's name always stands between back-quotes, in which graphd reads a backslash as an
escape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Status, Task
from jobtui.storage.base import ClusterJob, Host, Space

Cell = str | int | float | bool | datetime | None
"""A cell of graphd's answer. Times are aware and in UTC; None is a cell that graphd left empty."""


class NgqlTable(msgspec.Struct, frozen=True):
    """A successful answer of graphd.

    `space`: the space that the session has chosen, "" if it has none. `digest`: a digest of the answer, "" if
    none was requested.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    space: str = ""
    digest: str = ""


class SameReply(msgspec.Struct, frozen=True):
    """An answer whose digest is the one that the caller knows; it was not decoded."""


class ErrorReply(msgspec.Struct, frozen=True):
    """A refusal of graphd.

    Attributes:
        code: The name of graphd's error code, for instance E_SEMANTIC_ERROR.
        message: Its text.
    """

    code: str
    message: str


Reply = NgqlTable | ErrorReply

SHOW_SPACES = "SHOW SPACES"
SHOW_HOSTS = "SHOW HOSTS"
PING = "YIELD 1"  # answered by graphd alone
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


def quote_space(name: str) -> str:
    """Return the name between back-quotes, so that graphd reads this name and nothing else.

    Raises StorageError (missing) for a name that no space can have: graphd ends a name at a NUL, and half a
    surrogate pair is not text.
    """
    if _NO_NAME.search(name):
        raise StorageError(ErrorCode.MISSING, "", name, "no space can have this name")
    return f"`{name.translate(_ESCAPES)}`"


def show_jobs_text(space: str) -> str:
    """Return the statement that lists all jobs of a space."""
    return f"USE {quote_space(space)}; SHOW JOBS"


def show_job_text(space: str, job: int) -> str:
    """Return the statement that shows one job of a space with its tasks."""
    return f"USE {quote_space(space)}; SHOW JOB {job:d}"


def submit_text(command: str, space: str) -> str:
    """Return the statement that submits a job.

    Raises KeyError for a command that cannot be submitted.
    """
    return f"USE {quote_space(space)}; SUBMIT JOB {COMMANDS[command]}"


def stop_text(space: str, job: int) -> str:
    """Return the statement that stops a job."""
    return f"USE {quote_space(space)}; STOP JOB {job:d}"


def recover_text(space: str, jobs: Iterable[int]) -> str:
    """Return the statement that runs these failed and stopped jobs of a space again, or all of them."""
    ids = ", ".join(f"{job:d}" for job in jobs)
    return f"USE {quote_space(space)}; RECOVER JOB {ids}".rstrip()


NO_STATUS = "the cluster reports no status for it"
NO_HOST = "unknown host"
NO_REASON = frozenset({"", "SUCCEEDED", "E_JOB_SUBMITTED"})
CANCELED = "E_USER_CANCEL"
"""The code of a job that was stopped while it ran: the cluster says `FAILED` when its hosts have stopped."""
_STATUSES = {status.name: status for status in Status} | {
    "SUCCEEDED": Status.FINISHED,  # a data balance's own words
    "IN_PROGRESS": Status.RUNNING,
}
_LEADER_CHANGED = re.compile(r"leader ?changed", re.IGNORECASE)
_METAD_LOST = re.compile(r"rpc failure", re.IGNORECASE)


def status_of(word: str) -> tuple[Status, str]:
    """Return the status for the cluster's word, and a reason.

    An unknown word is a failure, and its own reason.
    """
    known = _STATUSES.get(word.upper())
    return (Status.FAILED, word or NO_STATUS) if known is None else (known, "")


def command_of(word: str) -> str:
    """Return a command as it is shown: `REBUILD_TAG_INDEX` is `rebuild tag index`."""
    return word.lower().replace("_", " ")


def parse_jobs(table: NgqlTable, since: int = 0) -> tuple[ClusterJob, ...]:
    """Return the jobs of SHOW JOBS with ids above `since`, newest first, without tasks."""
    columns = _column_indexes(table, "Job Id", "Command", "Status", "Start Time", "Stop Time")
    listed = []
    for row in table.rows:
        job_id, command, word, start, stop = (row[at] for at in columns)
        if _require_id(job_id, table) > since:
            listed.append(_job_without_tasks(job_id, command, word, start, stop))
    return tuple(sorted(listed, key=lambda job: -job.id))


def parse_job(table: NgqlTable, job_id: int | None = None) -> ClusterJob:
    """Return the job of SHOW JOB with its tasks; it must have the id, if that is given.

    The first row is the job, the others are its tasks, except the last, which counts them. A job may have
    ended while tasks run: it fails with its first task, and a stop does not wait for any.
    """
    # a data balance's header is `Job Id(spaceId:partId)`, `Command(src->dst)`; 3.0 has no error code
    columns = _column_indexes(table, "Job Id", "Command", "Status", "Start Time", "Stop Time")
    code = _column_index(table, "Error Code")
    rows = [(*(row[at] for at in columns), None if code is None else row[code]) for row in table.rows]
    if not rows:
        raise _unknown_format(table)
    first, *others = rows
    if _require_id(first[0], table) != job_id and job_id is not None:
        raise StorageError(ErrorCode.UNSUPPORTED, "", "", f"graphd answered about job {first[0]} instead")
    shown = _job_without_tasks(*first[:5])
    task_rows = sorted((row for row in others if not _is_total(row)), key=_task_order)
    tasks = tuple(_task(number, row) for number, row in enumerate(task_rows))
    if shown.status is Status.QUEUE:
        tasks = ()  # of a job that waits to run again, they are still those of its run before
    reason = shown.reason or _failure_reason(shown.status, first)
    if reason == CANCELED:
        return replace(shown, status=Status.STOPPED, reason=f"stopped by a user ({CANCELED})", tasks=tasks)
    return replace(shown, reason=reason, tasks=tasks)


def parse_new_job_id(table: NgqlTable) -> int:
    """Return the id, on the cluster, of the job that SUBMIT JOB made."""
    return _require_id(_number(table, "New Job Id"), table)


def parse_recovered_count(table: NgqlTable) -> int:
    """Return how many jobs RECOVER JOB runs again."""
    return _number(table, "Recovered job num")


# both are queried every few seconds, and hardly ever change: 200 spaces on 50 hosts take 65 ms to parse
_cached = lru_cache(maxsize=4)


@_cached
def parse_spaces(names: NgqlTable, hosts: NgqlTable) -> tuple[Space, ...]:
    """Return the spaces in name order, each with the hosts that hold a part of it.

    Args:
        names: The answer to SHOW SPACES.
        hosts: The answer to SHOW HOSTS.
    """
    (at,) = _column_indexes(names, "Name")
    found: dict[str, list[str]] = {_require_text(row[at]): [] for row in names.rows}
    parts = _parts_of(found)
    for host, row, distribution in _storage_hosts(hosts):
        for space in _spaces_in(str(row[distribution] or ""), parts):
            if space in found:
                found[space].append(host)
    return tuple(Space(name, tuple(hosts)) for name, hosts in sorted(found.items()))


_ANY_PARTS = re.compile(r"(.+?):\d+(?:, |$)", re.DOTALL)


@_cached
def parse_hosts(table: NgqlTable) -> tuple[Host, ...]:
    """Return the storage hosts of SHOW HOSTS, and whether metad receives their heartbeats."""
    (state,) = _column_indexes(table, "Status")
    leader_count = _column_index(table, "Leader count")
    listed = []
    for name, row, distribution in _storage_hosts(table):
        up = str(row[state]).upper() == "ONLINE"
        detail = "" if up else f"{str(row[state]).lower()}, says the cluster"
        held = len(_spaces_in(str(row[distribution] or ""), _ANY_PARTS))
        leaders = row[leader_count] if leader_count is not None else None
        listed.append(
            Host(name, up, detail, spaces=held, leaders=leaders if isinstance(leaders, int) else None)
        )
    return tuple(listed)


def graphd_error(reply: ErrorReply, space: str, *, is_command: bool = False) -> StorageError:
    """Return a refusal as an error in the cluster's own words.

    If a command is answered with "metad could not be reached" or "it lost its leadership", it may have been
    carried out anyway.
    """
    message = plain_message(reply.message) or reply.code
    if is_leader_change(reply) or _METAD_LOST.search(message):
        return StorageError(ErrorCode.UNREACHABLE, "", space, message, outcome_unknown=is_command)
    if reply.code == "E_BAD_PERMISSION":
        return StorageError(ErrorCode.ACCESS, "", space, message)
    if message.startswith("SpaceNotFound"):
        return StorageError(ErrorCode.MISSING, "", space, message)
    return StorageError(ErrorCode.REJECTED, "", space, message)


def plain_message(message: str) -> str:
    """Return graphd's message without the exceptions of its C++ code, which help no user."""
    return message.partition(": apache::")[0]


def is_leader_change(reply: ErrorReply) -> bool:
    """Return whether metad's leader was changing, so that the statement can be repeated soon."""
    return reply.code == "E_LEADER_CHANGED" or bool(_LEADER_CHANGED.search(reply.message))


def _job_without_tasks(job_id: Cell, command: Cell, word: Cell, start: Cell, stop: Cell) -> ClusterJob:
    status, reason = status_of(str(word or ""))
    return ClusterJob(
        id=int(str(job_id)),
        command=command_of(_require_text(command)),
        status=status,
        # a job that runs again keeps the times of its run before until it has new ones
        start=None if status is Status.QUEUE else _time(start),
        stop=_time(stop) if status.ended else None,
        reason=reason,
    )


def _task(number: int, row: Sequence[Cell]) -> Task:
    status, reason = status_of(str(row[2] or ""))
    reason = reason or _failure_reason(status, row)
    if reason == CANCELED:
        status, reason = Status.STOPPED, ""
    start, stop = _time(row[3]), _time(row[4]) if status.ended else None
    return Task(
        number=number,
        host=str(row[1] or NO_HOST),
        status=status,
        progress=1.0 if status is Status.FINISHED else None,
        start=start,
        stop=stop,
        took=max((stop - start).total_seconds(), 0.0) if start and stop else None,
        reason=reason,
        code=ErrorCode.REJECTED if status is Status.FAILED else "",
    )


def _failure_reason(status: Status, row: Sequence[Cell]) -> str:
    code = str(row[5] or "")
    return code if status is Status.FAILED and code not in NO_REASON else ""


def _is_total(row: Sequence[Cell]) -> bool:
    return isinstance(row[0], str) and row[0].upper().startswith("TOTAL:")


def _task_order(row: Sequence[Cell]) -> tuple[int, str]:
    return (row[0], "") if isinstance(row[0], int) else (0, str(row[0]))


def _time(cell: Cell) -> datetime | None:
    return cell if isinstance(cell, datetime) else None


def _storage_hosts(table: NgqlTable) -> list[tuple[str, Sequence[Cell], int]]:
    """Return each host's name, its row, and the index of the cell that lists its parts."""
    host, port, distribution = _column_indexes(table, "Host", "Port", "Partition distribution")
    rows = [row for row in table.rows if isinstance(row[port], int)]  # the last row only has the sums
    times = Counter(row[host] for row in rows)
    # several storageds on one machine are distinguished by their ports
    return [
        (name if times[row[host]] == 1 else _with_port(name, row[port]), row, distribution)
        for row in rows
        for name in [_require_text(row[host])]
    ]


def _with_port(host: str, port: Cell) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parts_of(known: Iterable[str]) -> re.Pattern[str]:
    """Return the pattern of one space in `nba:10, test2:5`, known names first.

    A known name is matched as a whole, with any colons and commas in it.
    """
    names = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    return re.compile(rf"({names}{'|' if names else ''}.+?):\d+(?:, |$)", re.DOTALL)


def _spaces_in(distribution: str, parts: re.Pattern[str]) -> list[str]:
    """Return the spaces of `nba:10, test2:5`."""
    found = []
    at = 0
    while (match := parts.match(distribution, at)) is not None:
        found.append(match[1])
        at = match.end()
    return found


def _number(table: NgqlTable, column: str) -> int:
    (at,) = _column_indexes(table, column)
    if len(table.rows) == 1 and isinstance(number := table.rows[0][at], int):
        return number
    raise _unknown_format(table)


def _require_id(cell: Cell, table: NgqlTable) -> int:
    """Return the cell as the id of a job.

    Raises StorageError; for True, too, which Python counts as an int.
    """
    if not isinstance(cell, int) or isinstance(cell, bool) or cell < 1:
        raise _unknown_format(table)
    return cell


def _require_text(cell: Cell) -> str:
    """Return the cell as a name. Raises StorageError; for an empty one, too."""
    if not isinstance(cell, str) or not cell:
        raise StorageError(ErrorCode.UNSUPPORTED, "", "", f"graphd answered with {cell!r} for a name")
    return cell


def _column_indexes(table: NgqlTable, *columns: str) -> tuple[int, ...]:
    """Return the indexes of these columns: versions differ in their order, and have more of them."""
    if any(len(row) != len(table.columns) for row in table.rows):
        raise _unknown_format(table)
    indexes = [_column_index(table, column) for column in columns]
    found = tuple(index for index in indexes if index is not None)
    if len(found) < len(columns):
        raise _unknown_format(table)
    return found


def _column_index(table: NgqlTable, column: str) -> int | None:
    """Return the index of a column, None if there is none.

    A suffix in brackets is not part of its name.
    """
    names = [name.partition("(")[0].strip().casefold() for name in table.columns]
    return names.index(column.casefold()) if column.casefold() in names else None


def _unknown_format(table: NgqlTable) -> StorageError:
    columns = ", ".join(table.columns) or "none"
    text = f"graphd answered in a form that jobtui does not know: {len(table.rows)} rows, columns {columns}"
    return StorageError(ErrorCode.UNSUPPORTED, "", "", text)
