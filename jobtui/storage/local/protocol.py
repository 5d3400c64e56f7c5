"""The messages between a worker process and the engine: a line of JSON each, in both directions.

A `WorkerRequest` carries a number and a command; every `WorkerResponse` to it carries that number. A command
is answered by any count of `ProgressReply` and then by exactly one of the others; `FailureReply` may stand
for any of them. `place` is the name of a database's directory inside the host's own ("" in a worker of an
adopted database). Keys and values are base64.
"""

from __future__ import annotations

import msgspec

from jobtui.errors import ErrorCode
from jobtui.model import SpaceStats

# bytes of a key and its value together that can be loaded and dumped, as a message is held in memory whole
LONGEST_PAIR = 256 << 20


class _Message(msgspec.Struct, frozen=True, gc=False, tag_field="is"):
    """A message, whose `is` field names its kind."""


class CreateDatabase(_Message, frozen=True, tag="create"):
    """Create an empty database. Answered by Done."""

    place: str


class CloseDatabase(_Message, frozen=True, tag="close"):
    """Close a database that is to be deleted, without a flush. Answered by Done."""

    place: str


class ReadStats(_Message, frozen=True, tag="look"):
    """Return what a database holds. Answered by StatsReply."""

    place: str


class FlushDatabase(_Message, frozen=True, tag="flush"):
    """Write the memtables to SST files. Answered by OperationReply."""

    place: str


class CompactDatabase(_Message, frozen=True, tag="compact"):
    """Merge the SST files. Answered by OperationReply."""

    place: str


class WritePairs(_Message, frozen=True, tag="load"):
    """Write pairs in their order; a value of None deletes. `sync`: all so far are on disk when it is done."""

    place: str
    pairs: tuple[tuple[bytes, bytes | None], ...]
    sync: bool


class ReadPairs(_Message, frozen=True, tag="dump"):
    """Read on from the position of `cursor` (a number that the sender chooses). Answered by PairsReply."""

    place: str
    cursor: int


class EndRead(_Message, frozen=True, tag="enddump"):
    """Discard a cursor. Answered by Done."""

    place: str
    cursor: int


class CancelOperation(_Message, frozen=True, tag="stop"):
    """Stop the flush or compaction with the number `target`. Answered by Done at once."""

    target: int


class Ping(_Message, frozen=True, tag="ping"):
    """Check that the worker responds. Answered by Ready."""


class QuitWorker(_Message, frozen=True, tag="quit"):
    """Stop all work, close all databases and exit. Answered by Done, then the end of the pipe."""


WorkerCommand = (
    CreateDatabase
    | CloseDatabase
    | ReadStats
    | FlushDatabase
    | CompactDatabase
    | WritePairs
    | ReadPairs
    | EndRead
    | CancelOperation
    | Ping
    | QuitWorker
)


class Ready(_Message, frozen=True, tag="here"):
    """The worker responds; also its first message (number 0)."""


class Done(_Message, frozen=True, tag="done"):
    """The command is done."""


class ProgressReply(_Message, frozen=True, tag="moved"):
    """The progress: a fraction (None: unknown) and bytes a second. `before`: what the database held first."""

    fraction: float | None
    rate: float | None
    before: SpaceStats | None = None


class StatsReply(_Message, frozen=True, tag="seen"):
    """What a database holds."""

    stats: SpaceStats


class OperationReply(_Message, frozen=True, tag="worked"):
    """The result of a flush or compaction that did not fail. `note`: what was left out, and why."""

    before: SpaceStats | None
    after: SpaceStats | None
    stopped: bool
    note: str = ""


class PairsReply(_Message, frozen=True, tag="pairs"):
    """The next pairs in key order; `last`: there are no more, and the cursor is discarded.

    `skipped_families`: column families that are not dumped; sent with the first pairs only.
    """

    pairs: tuple[tuple[bytes, bytes], ...]
    last: bool
    skipped_families: tuple[str, ...] = ()


class FailureReply(_Message, frozen=True, tag="failed"):
    """The reason of a failure."""

    code: ErrorCode
    reason: str


class WarningReply(_Message, frozen=True, tag="remark"):
    """A message for the user that answers no command (number 0)."""

    text: str


WorkerMessage = (
    Ready | Done | ProgressReply | StatsReply | OperationReply | PairsReply | FailureReply | WarningReply
)


class WorkerRequest(msgspec.Struct, frozen=True, gc=False):
    """A command and its number (from 1)."""

    number: int
    command: WorkerCommand


class WorkerResponse(msgspec.Struct, frozen=True, gc=False):
    """A reply to the command of that number."""

    number: int
    reply: WorkerMessage
