"""What can be asked of the history."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec

from jobtui.model import Status


class Sort(enum.Enum):
    """What jobs are ordered by; among equals, by their ids. A job without the value comes first.

    `COMMAND` is the command, then the space; `HOSTS` how many there are; `ORIGIN` the job that it was recovered
    from, then for mirrored jobs the cluster and the number there; `REASON` the job's own.
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
    """Which jobs, and in what order.

    A job is found where it has one of the `statuses`, is of one of the `spaces`, has a task on one of the
    `hosts`, is one of the `commands`, contains each of the `words`, and was submitted at or after `since`
    and before `until`; what is empty or None asks for nothing. A word is contained, in whatever case, in
    the command, the space, the status, a host or a reason; a number is also the job's id.

    Each `not_…` is the same turned round: jobs with any of these are left out. `archived` asks for the
    archived jobs in place of all others.
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
