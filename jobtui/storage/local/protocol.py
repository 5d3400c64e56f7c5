"""The messages between a worker process and the engine's side: a line of JSON each, both ways.

An `Ask` carries a number and an order; every `Answer` to it carries that number. An order is answered
by any count of `Moved` and then by exactly one of the others; `Failed` may stand for any of them.
`place` is the name of a database's directory inside the host's own ("" in a worker for an adopted one).
Keys and values travel as base64.
"""

from __future__ import annotations

import msgspec

from jobtui.errors import ErrorCode
from jobtui.model import SpaceStats

# bytes of a key and its value together that can be loaded and dumped: a message is held in memory whole
LONGEST_PAIR = 256 << 20


class _Message(msgspec.Struct, frozen=True, gc=False, tag_field="is"):
    """A message's name in small letters is its `is` field."""


class CreateDatabase(_Message, frozen=True, tag="create"):
    """Make a new, empty database. Answered by Done."""

    place: str


class CloseDatabase(_Message, frozen=True, tag="close"):
    """Let go of a database that is to be deleted: nothing of it is flushed. Answered by Done."""

    place: str


class ReadStats(_Message, frozen=True, tag="look"):
    """Say what a database holds. Answered by Seen."""

    place: str


class FlushDatabase(_Message, frozen=True, tag="flush"):
    """Write the memtables to SST files. Answered by Worked."""

    place: str


class CompactDatabase(_Message, frozen=True, tag="compact"):
    """Merge the SST files. Answered by Worked."""

    place: str


class WritePairs(_Message, frozen=True, tag="load"):
    """Write pairs in their order; a value of None deletes. `sync`: all so far are on disk when it is Done."""

    place: str
    pairs: tuple[tuple[bytes, bytes | None], ...]
    sync: bool


class ReadPairs(_Message, frozen=True, tag="dump"):
    """Read on from where `cursor` (a number chosen by who asks) stands. Answered by Pairs."""

    place: str
    cursor: int


class EndRead(_Message, frozen=True, tag="enddump"):
    """Forget a cursor. Answered by Done."""

    place: str
    cursor: int


class CancelOperation(_Message, frozen=True, tag="stop"):
    """Stop the Flush or Compact asked for under the number `target`. Answered by Done at once."""

    target: int


class Ping(_Message, frozen=True, tag="ping"):
    """Say that you are there. Answered by Here."""


class QuitWorker(_Message, frozen=True, tag="quit"):
    """Stop all work, close all databases and end. Answered by Done, then the end of the pipe."""


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
    """The worker answers; also its first word (number 0)."""


class Done(_Message, frozen=True, tag="done"):
    """It is done."""


class ProgressReply(_Message, frozen=True, tag="moved"):
    """How far the work is: a fraction (None: unknown) and bytes a second. `before`: what there is to do."""

    fraction: float | None
    rate: float | None
    before: SpaceStats | None = None


class StatsReply(_Message, frozen=True, tag="seen"):
    """What a database holds."""

    stats: SpaceStats


class OperationReply(_Message, frozen=True, tag="worked"):
    """How a Flush or Compact that did not fail went. `note`: what of it was left out, and why."""

    before: SpaceStats | None
    after: SpaceStats | None
    stopped: bool
    note: str = ""


class PairsReply(_Message, frozen=True, tag="pairs"):
    """The next pairs in key order; `last`: there are no more, and the cursor is forgotten.

    `left_out`: column families whose pairs are not told; with the first pairs alone.
    """

    pairs: tuple[tuple[bytes, bytes], ...]
    last: bool
    skipped_families: tuple[str, ...] = ()


class FailureReply(_Message, frozen=True, tag="failed"):
    """Why it could not be done."""

    code: ErrorCode
    reason: str


class WarningReply(_Message, frozen=True, tag="remark"):
    """Something a person should be told, answering no order (number 0)."""

    text: str


WorkerMessage = (
    Ready | Done | ProgressReply | StatsReply | OperationReply | PairsReply | FailureReply | WarningReply
)


class WorkerRequest(msgspec.Struct, frozen=True, gc=False):
    """An order and its number (from 1)."""

    number: int
    command: WorkerCommand


class WorkerResponse(msgspec.Struct, frozen=True, gc=False):
    """A word on the order of that number."""

    number: int
    reply: WorkerMessage
