"""The records of the NebulaGraph double: spaces, jobs, tasks, sessions and answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

Value = str | int | datetime | None


class Rows(msgspec.Struct):
    columns: list[str]
    rows: list[list[Value]]


class GraphdError(Exception):
    """An error answer: the code's name, graphd's message, the session's space (None: no session)."""

    def __init__(self, code: str, words: str, space: str | None = None) -> None:
        super().__init__(words)
        self.code, self.words, self.space = code, words, space


class TaskRecord(msgspec.Struct):
    host: str
    start: datetime
    status: str = "RUNNING"
    stop: datetime | None = None


class JobRecord(msgspec.Struct):
    id: int
    kind: str
    parameters: tuple[str, ...] = ()
    status: str = "QUEUE"
    start: datetime | None = None
    stop: datetime | None = None
    code: str = "E_JOB_SUBMITTED"
    tasks: list[TaskRecord] = []


class SpaceRecord(msgspec.Struct):
    hosts: list[str]
    indexes: set[str] = msgspec.field(default_factory=set)
    jobs: dict[int, JobRecord] = {}
    waiting: list[int] = []
    running: int | None = None


class SessionRecord(msgspec.Struct):
    user: str
    space: str | None = None


class Statement(msgspec.Struct):
    act: Callable[[SessionRecord], Rows | None]
    needs_space: bool = False
    writes: bool = False
    use: str | None = None
