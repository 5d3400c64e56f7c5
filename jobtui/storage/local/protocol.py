"""The messages between a worker process and the engine: a line of JSON each, in both directions.

A `WorkerRequest` carries a number and a command; every `WorkerResponse` to it carries that number. A command
is answered by any count of `ProgressReply` and then by exactly one of the others; `FailureReply` may stand
for any of them. `directory` is the name of a database's directory inside the host's own ("" in a worker of an
adopted database). Keys and values are base64.
"""

from __future__ import annotations

import msgspec

from jobtui.errors import ErrorCode
from jobtui.model import DiskReserve, SpaceStats, StepPosition
from jobtui.storage.base import CompactionFigures, CompactionRequest, HostGauges

# increase it when an older or newer process could misread a message
PROTOCOL = 1

# bytes of a key and its value together that can be loaded and dumped, as a message is held in memory whole
MAX_PAIR_BYTES = 256 << 20


class _Message(msgspec.Struct, frozen=True, gc=False, tag_field="is"):
    """A message, whose `is` field names its kind."""


class CreateDatabase(_Message, frozen=True, tag="create"):
    """Create an empty database. Answered by Done."""

    directory: str


class CloseDatabase(_Message, frozen=True, tag="close"):
    """Close a database that is to be deleted, without a flush. Answered by Done."""

    directory: str


class ReadStats(_Message, frozen=True, tag="look"):
    """Return the stats of a database. Answered by StatsReply."""

    directory: str


class ReadFigures(_Message, frozen=True, tag="figures"):
    """Return the figures of a database before a compaction, and plan `request`.

    Answered by FiguresReply.
    """

    directory: str
    request: CompactionRequest | None = None


class ReadStall(_Message, frozen=True, tag="stall"):
    """Return whether the writes to a database that is open are stalled.

    Answered by StallReply.
    """

    directory: str


class FlushDatabase(_Message, frozen=True, tag="flush"):
    """Write the memtables to SST files. Answered by OperationReply."""

    directory: str


class CompactDatabase(_Message, frozen=True, tag="compact"):
    """Merge the SST files, in steps. Answered by OperationReply.

    `reserve`: the disk space that must stay free. `rate`: the limit of its writes in bytes a second, 0 for no
    limit, None for the worker's own.
    """

    directory: str
    request: CompactionRequest = CompactionRequest()
    reserve: DiskReserve = DiskReserve()
    rate: int | None = None


class WritePairs(_Message, frozen=True, tag="load"):
    """Write pairs in their order; a value of None deletes.

    `sync`: sync all pairs so far to the disk.
    """

    directory: str
    pairs: tuple[tuple[bytes, bytes | None], ...]
    sync: bool


class ReadPairs(_Message, frozen=True, tag="dump"):
    """Read the next pairs from the position of `cursor`, a number of the sender's.

    Answered by PairsReply.
    """

    directory: str
    cursor: int


class EndRead(_Message, frozen=True, tag="enddump"):
    """Discard a cursor. Answered by Done."""

    directory: str
    cursor: int


class CancelOperation(_Message, frozen=True, tag="stop"):
    """Stop the flush or compaction with the number `target`. Answered by Done at once."""

    target: int


class PauseOperation(_Message, frozen=True, tag="pause"):
    """End the compaction with the number `target` after its current step.

    Answered by Done at once.
    """

    target: int


class SetWriteRate(_Message, frozen=True, tag="rate"):
    """Limit the writes of the compaction `target` from its next step on.

    Answered by Done at once.
    """

    target: int
    rate: int | None


class Ping(_Message, frozen=True, tag="ping"):
    """Check that the worker responds. Answered by Ready."""


class QuitWorker(_Message, frozen=True, tag="quit"):
    """Stop all work, close all databases and exit. Answered by Done, then the end of the pipe."""


WorkerCommand = (
    CreateDatabase
    | CloseDatabase
    | ReadStats
    | ReadFigures
    | ReadStall
    | FlushDatabase
    | CompactDatabase
    | WritePairs
    | ReadPairs
    | EndRead
    | CancelOperation
    | PauseOperation
    | SetWriteRate
    | Ping
    | QuitWorker
)


class Ready(_Message, frozen=True, tag="here"):
    """The worker responds; also its first message (number 0).

    A worker is started from the installed files, which may be newer than the engine that started it. Therefore
    it names its protocol and its version; before 0.2.0 it named none.
    """

    protocol: int = 0
    version: str = ""


class Done(_Message, frozen=True, tag="done"):
    """The command is done."""


class ProgressReply(_Message, frozen=True, tag="moved"):
    """The progress; the fields are those of `OperationProgress`."""

    fraction: float | None
    rate: float | None
    before: SpaceStats | None = None
    steps: StepPosition | None = None
    room_needed: int | None = None
    waiting: str = ""
    gauges: HostGauges | None = None
    log: tuple[str, ...] = ()


class StatsReply(_Message, frozen=True, tag="seen"):
    """The stats of a database."""

    stats: SpaceStats


class FiguresReply(_Message, frozen=True, tag="measured"):
    """The figures of a database before a compaction."""

    figures: CompactionFigures


class StallReply(_Message, frozen=True, tag="stalled"):
    """The reason why the writes to a database are stalled, "" if they are not."""

    text: str


class OperationReply(_Message, frozen=True, tag="worked"):
    """The result of a flush or compaction that did not fail; the fields are those of `TaskResult`."""

    before: SpaceStats | None
    after: SpaceStats | None
    stopped: bool
    note: str = ""
    paused: bool = False
    steps: StepPosition | None = None


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
    """A message for the user that belongs to no command (number 0)."""

    text: str


WorkerMessage = (
    Ready
    | Done
    | ProgressReply
    | StatsReply
    | FiguresReply
    | StallReply
    | OperationReply
    | PairsReply
    | FailureReply
    | WarningReply
)


class WorkerRequest(msgspec.Struct, frozen=True, gc=False):
    """A command and its number (from 1)."""

    number: int
    command: WorkerCommand


class WorkerResponse(msgspec.Struct, frozen=True, gc=False):
    """A reply to the command of that number."""

    number: int
    reply: WorkerMessage
