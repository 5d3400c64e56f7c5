"""The messages between a profile's owner and its clients: JSON lines over a Unix socket.

A client sends a `Request`. The owner replies `Accepted` when it has read it, and then one response (a dump: as
many as it needs); the client may then send the next request on the same connection. A `SubscribeRequest` is
answered by `EventsMessage` lines, without `Accepted`, until either side closes the connection. A line has
at most MAX_LINE_BYTES bytes, one of a dump MAX_DUMP_LINE_BYTES. docs/protocols.md shows an example of each
message.
"""

from __future__ import annotations

from functools import cache

import msgspec

from jobtui import __version__
from jobtui.engine.client import EngineEvent, Failure, Overview
from jobtui.engine.samples import JobSamples
from jobtui.errors import DECODE_ERRORS, OwnerUnavailable
from jobtui.language.results import Result
from jobtui.model import SpaceStats
from jobtui.storage.base import Pair

PROTOCOL = 2  # 1 was spoken by version 0.1, which took one request on a connection
MAX_LINE_BYTES = 64 << 20
MAX_DUMP_LINE_BYTES = 512 << 20  # room for the longest pair that a storage dumps, 256 MiB, in base64
SILENT = "it does not answer: it may be suspended (fg brings it back), or stuck"


class ExecuteRequest(msgspec.Struct, frozen=True, tag="Run"):
    """Execute a text as if it were typed at the owner, in `space`, with AT relative to `cwd`.

    `kind`: the source of the request, `dashboard` or `script`.
    """

    text: str
    space: str | None
    cwd: str
    kind: str = "script"


class OverviewRequest(msgspec.Struct, frozen=True, tag="Look"):
    """Return all spaces and hosts."""


class StatsRequest(msgspec.Struct, frozen=True, tag="LookAt"):
    """Return the statistics of one space on one host."""

    space: str
    host: str


class SubscribeRequest(msgspec.Struct, frozen=True, tag="Follow"):
    """Send every message from now on."""


class SamplesRequest(msgspec.Struct, frozen=True, tag="Sample"):
    """Return the samples of a running or ended job."""

    job: int


class LoadRequest(msgspec.Struct, frozen=True, tag="Load"):
    """Write key-value pairs into a space, in their order."""

    space: str
    pairs: tuple[Pair, ...]


class DumpRequest(msgspec.Struct, frozen=True, tag="Dump"):
    """Return a space's pairs in key order, in as many `DumpResponse` lines as they need."""

    space: str


class ReconnectRequest(msgspec.Struct, frozen=True, tag="Retry"):
    """Try to connect to the cluster now."""


RequestBody = (
    ExecuteRequest
    | OverviewRequest
    | StatsRequest
    | SamplesRequest
    | SubscribeRequest
    | LoadRequest
    | DumpRequest
    | ReconnectRequest
)


class Request(msgspec.Struct, frozen=True):
    """The line that a client sends: a request, with the protocol and the version of the client."""

    want: RequestBody
    protocol: int = PROTOCOL
    version: str = __version__


class Accepted(msgspec.Struct, frozen=True, tag="Taken"):
    """The owner has read the request and is about to execute it; the response is the next line."""


class ExecuteResponse(msgspec.Struct, frozen=True, tag="Ran"):
    """The result of a text; `space` is the session's afterwards."""

    results: tuple[Result, ...]
    failure: Failure | None
    space: str | None


class OverviewResponse(msgspec.Struct, frozen=True, tag="Looked"):
    """All spaces and hosts."""

    overview: Overview


class StatsResponse(msgspec.Struct, frozen=True, tag="LookedAt"):
    """One space on one host."""

    stats: SpaceStats


class SamplesResponse(msgspec.Struct, frozen=True, tag="Sampled"):
    """The samples of a job, null if there are none."""

    samples: JobSamples | None


class LoadResponse(msgspec.Struct, frozen=True, tag="Loaded"):
    """The pairs are on disk."""


class DumpResponse(msgspec.Struct, frozen=True, tag="Dumped"):
    """The next pairs in key order; `last`: there are no more."""

    pairs: tuple[tuple[bytes, bytes], ...]
    last: bool


class EventsMessage(msgspec.Struct, frozen=True, tag="Posted"):
    """A batch of messages.

    The first batch confirms the subscription, and has the state of the connection.
    """

    messages: tuple[EngineEvent, ...]


class ReconnectResponse(msgspec.Struct, frozen=True, tag="Retrying"):
    """The owner tries to connect."""


class ErrorResponse(msgspec.Struct, frozen=True, tag="Denied"):
    """The request failed; `code` is the StorageError's, "" for any other reason.

    `busy`: the owner cannot serve another client now; it read nothing, and the client may try again.
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
    | SamplesResponse
    | LoadResponse
    | DumpResponse
    | EventsMessage
    | ReconnectResponse
    | ErrorResponse
)

encode = msgspec.json.Encoder().encode


# created when there is something to decode: a start without other processes needs neither
@cache
def _request_decoder() -> msgspec.json.Decoder[Request]:
    return msgspec.json.Decoder(Request)


@cache
def _response_decoder() -> msgspec.json.Decoder[Response]:
    return msgspec.json.Decoder(Response)


def decode_request(line: bytes) -> Request:
    """Decode a client's request. Raises one of DECODE_ERRORS."""
    return _request_decoder().decode(line)


class RequestTooLarge(Exception):
    """A request that is longer than an owner reads."""


def decode_response(line: bytes) -> Response:
    """Decode one line of the owner's. Raises OwnerUnavailable if it is not a response."""
    if not line.endswith(b"\n"):
        raise OwnerUnavailable("the jobtui that owns this profile went away before it answered")
    try:
        return _response_decoder().decode(line)
    except DECODE_ERRORS as error:
        raise OwnerUnavailable(
            f"the jobtui that owns this profile does not answer as this one understands: {error}"
        ) from error
