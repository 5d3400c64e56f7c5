"""What two jobtui processes of one profile say to each other: a JSON line each way, over a local socket.

The one that asks says who it is and what it wants, reads the answer, and may then ask again on the same
connection; `Follow` is answered by a line for each batch of messages until either side goes. A line has at most
LONGEST_LINE bytes, one of a dump LONGEST_DUMPED_LINE.
"""

from __future__ import annotations

from functools import cache

import msgspec

from jobtui import __version__
from jobtui.engine.client import EngineEvent, Failure, Overview
from jobtui.errors import DECODE_ERRORS, OwnerUnavailable
from jobtui.language.tables import Result
from jobtui.model import SpaceStats
from jobtui.storage.base import Pair

PROTOCOL = 1
LONGEST_LINE = 64 << 20
LONGEST_DUMPED_LINE = 512 << 20  # room for the longest pair that a storage dumps, 256 MiB, in base64
SILENT = "it does not answer: it may be suspended (fg brings it back), or stuck"


class ExecuteRequest(msgspec.Struct, frozen=True, tag="Run"):
    """Carry out a text as if typed at the owner's, in that space, with AT relative to that directory."""

    text: str
    space: str | None
    cwd: str


class OverviewRequest(msgspec.Struct, frozen=True, tag="Look"):
    """All spaces and hosts."""


class StatsRequest(msgspec.Struct, frozen=True, tag="LookAt"):
    """One space on one host."""

    space: str
    host: str


class SubscribeRequest(msgspec.Struct, frozen=True, tag="Follow"):
    """Every change from here on."""


class LoadRequest(msgspec.Struct, frozen=True, tag="Load"):
    """Write key-value pairs into a space, in their order."""

    space: str
    pairs: tuple[Pair, ...]


class DumpRequest(msgspec.Struct, frozen=True, tag="Dump"):
    """A space's pairs in key order: as many lines of `Dumped` as it takes."""

    space: str


class ReconnectRequest(msgspec.Struct, frozen=True, tag="Retry"):
    """Try to connect to the cluster now."""


RequestBody = (
    ExecuteRequest
    | OverviewRequest
    | StatsRequest
    | SubscribeRequest
    | LoadRequest
    | DumpRequest
    | ReconnectRequest
)


class Request(msgspec.Struct, frozen=True):
    """The one line that a client sends."""

    want: RequestBody
    protocol: int = PROTOCOL
    version: str = __version__


class Accepted(msgspec.Struct, frozen=True, tag="Taken"):
    """The question has been read and is about to be carried out; what it came to is the next line."""


class ExecuteResponse(msgspec.Struct, frozen=True, tag="Ran"):
    """What a text came to; `space` is the session's afterwards."""

    results: tuple[Result, ...]
    failure: Failure | None
    space: str | None


class OverviewResponse(msgspec.Struct, frozen=True, tag="Looked"):
    """All spaces and hosts."""

    overview: Overview


class StatsResponse(msgspec.Struct, frozen=True, tag="LookedAt"):
    """One space on one host."""

    stats: SpaceStats


class LoadResponse(msgspec.Struct, frozen=True, tag="Loaded"):
    """The pairs are on disk."""


class DumpResponse(msgspec.Struct, frozen=True, tag="Dumped"):
    """The next pairs in key order; `last`: there are no more."""

    pairs: tuple[tuple[bytes, bytes], ...]
    last: bool


class EventsMessage(msgspec.Struct, frozen=True, tag="Posted"):
    """A batch of messages; the first says that the owner listens, and how a connection to a cluster stands."""

    messages: tuple[EngineEvent, ...]


class ReconnectResponse(msgspec.Struct, frozen=True, tag="Retrying"):
    """It is being tried."""


class ErrorResponse(msgspec.Struct, frozen=True, tag="Denied"):
    """The owner could not do it: `code` is a StorageError's, or "" for any other reason.

    `busy`: it has no room for a client at the moment; nothing was read, and it may be asked again.
    """

    text: str
    code: str = ""
    host: str = ""
    space: str = ""
    busy: bool = False


Response = (
    Accepted
    | ExecuteResponse
    | OverviewResponse
    | StatsResponse
    | LoadResponse
    | DumpResponse
    | EventsMessage
    | ReconnectResponse
    | ErrorResponse
)

encode = msgspec.json.Encoder().encode


# made when there is something to decode: a start without other processes needs neither
@cache
def _asks() -> msgspec.json.Decoder[Request]:
    return msgspec.json.Decoder(Request)


@cache
def _answers() -> msgspec.json.Decoder[Response]:
    return msgspec.json.Decoder(Response)


def decode_ask(line: bytes) -> Request:
    """Return a client's question. Raises one of DECODE_ERRORS."""
    return _asks().decode(line)


class RequestTooLarge(Exception):
    """A question that no owner would read to its end."""


def answer_of(line: bytes) -> Response:
    """One line of the owner's. Raises NoAnswer where it is none."""
    if not line.endswith(b"\n"):
        raise OwnerUnavailable("the jobtui that owns this profile went away before it answered")
    try:
        return _answers().decode(line)
    except DECODE_ERRORS as error:
        raise OwnerUnavailable(
            f"the jobtui that owns this profile does not answer as this one understands: {error}"
        ) from error
