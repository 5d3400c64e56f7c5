"""The query: which jobs, and in what order."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec

from jobtui.model import Status


class Sort(enum.Enum):
    """The value that jobs are sorted by, then by id. A job without the value comes first.

    `COMMAND` is the command, then the space; `HOSTS` the number of hosts; `ORIGIN` the job that it was
    recovered from, and for cluster jobs the cluster and the number there; `REASON` the job's own reason.
    """

    ID = "id"
    COMMAND = "command"
    SPACE = "space"
    HOSTS = "hosts"
    STATUS = "status"
    PROGRESS = "progress"
    SUBMITTED = "submitted"
    START = "start"
    STOP = "stop"
    TOOK = "took"
    RECLAIMED = "reclaimed"
    ORIGIN = "origin"
    REASON = "reason"


class Query(msgspec.Struct, frozen=True):
    """A filter and an order of jobs. A job matches if it passes every filter; an empty one passes all.

    A job passes if it has one of the `statuses`, `spaces` and `commands`, a task on one of the `hosts`,
    contains each of the `words`, and was submitted at or after `since` and before `until`. Words are looked
    for, ignoring case, in the command, the space, the status, the hosts and the reasons; a number also matches
    the job's id.

    Each `not_…` excludes the jobs that have any of these. `archived` selects the archived jobs, and only those.
    """

    statuses: frozenset[Status] = frozenset()
    spaces: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    not_statuses: frozenset[Status] = frozenset()
    not_spaces: frozenset[str] = frozenset()
    not_hosts: frozenset[str] = frozenset()
    not_commands: frozenset[str] = frozenset()
    not_words: tuple[str, ...] = ()
    archived: bool = False
    sort: Sort = Sort.ID
    descending: bool = False
