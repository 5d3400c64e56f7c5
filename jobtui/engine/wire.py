"""What two jobtui processes of one profile say to each other: a JSON line each way, over a local socket.

The one that asks opens a connection a question, says who it is and what it wants, and reads the answer;
`Follow` is answered by a line for each batch of messages until either side goes.
"""

from __future__ import annotations

import socket
import stat
from functools import cache
from pathlib import Path
from typing import BinaryIO

import msgspec

from jobtui import __version__
from jobtui.engine.address import short
from jobtui.engine.desk import Failure, Message, Overview
from jobtui.language.result import Result
from jobtui.model import Stats
from jobtui.storage.base import Pair

PROTOCOL = 1
LONGEST_LINE = 64 << 20
SILENT = "it does not answer: it may be suspended (fg brings it back), or stuck"


class Run(msgspec.Struct, frozen=True, tag=True):
    """Carry out a text as if typed at the owner's, in that space, with AT relative to that directory."""

    text: str
    space: str | None
    cwd: str


class Look(msgspec.Struct, frozen=True, tag=True):
    """All spaces and hosts."""


class LookAt(msgspec.Struct, frozen=True, tag=True):
    """One space on one host."""

    space: str
    host: str


class Follow(msgspec.Struct, frozen=True, tag=True):
    """Every change from here on."""


class Load(msgspec.Struct, frozen=True, tag=True):
    """Write key-value pairs into a space, in their order."""

    space: str
    pairs: tuple[Pair, ...]


class Dump(msgspec.Struct, frozen=True, tag=True):
    """A space's pairs in key order: as many lines of `Dumped` as it takes."""

    space: str


class Retry(msgspec.Struct, frozen=True, tag=True):
    """Try to connect to the cluster now."""


Want = Run | Look | LookAt | Follow | Load | Dump | Retry


class Ask(msgspec.Struct, frozen=True):
    """The one line that a client sends."""

    want: Want
    protocol: int = PROTOCOL
    version: str = __version__


class Taken(msgspec.Struct, frozen=True, tag=True):
    """The question has been read and is about to be carried out; what it came to is the next line."""


class Ran(msgspec.Struct, frozen=True, tag=True):
    """What a text came to; `space` is the session's afterwards."""

    results: tuple[Result, ...]
    failure: Failure | None
    space: str | None


class Looked(msgspec.Struct, frozen=True, tag=True):
    """All spaces and hosts."""

    overview: Overview


class LookedAt(msgspec.Struct, frozen=True, tag=True):
    """One space on one host."""

    stats: Stats


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The pairs are on disk."""


class Dumped(msgspec.Struct, frozen=True, tag=True):
    """The next pairs in key order; `last`: there are no more."""

    pairs: tuple[tuple[bytes, bytes], ...]
    last: bool


class Posted(msgspec.Struct, frozen=True, tag=True):
    """A batch of messages; the first says that the owner listens, and how a connection to a cluster stands."""

    messages: tuple[Message, ...]


class Retrying(msgspec.Struct, frozen=True, tag=True):
    """It is being tried."""


class Denied(msgspec.Struct, frozen=True, tag=True):
    """The owner could not do it: `code` is a StorageError's, or "" for any other reason."""

    text: str
    code: str = ""
    host: str = ""
    space: str = ""


Answer = Taken | Ran | Looked | LookedAt | Loaded | Dumped | Posted | Retrying | Denied

encode = msgspec.json.Encoder().encode


# made when there is something to decode: a start without other processes needs neither
@cache
def _asks() -> msgspec.json.Decoder[Ask]:
    return msgspec.json.Decoder(Ask)


@cache
def _answers() -> msgspec.json.Decoder[Answer]:
    return msgspec.json.Decoder(Answer)


def decode_ask(line: bytes) -> Ask:
    """One line of a client's. Raises msgspec.MsgspecError."""
    return _asks().decode(line)


class NoAnswer(Exception):
    """Nobody answers at the door, or not as a jobtui of this version would; the text says which."""


class Silent(NoAnswer):
    """The owner is there and says nothing: it is suspended, or stuck."""


class KeptOut(NoAnswer):
    """The owner answers, and will have nothing to do with who asks; the text says why."""


class NotTaken(NoAnswer):
    """Nobody read the question: nothing was done, and it may be asked again."""


class TooLong(Exception):
    """A question that no owner would read to its end."""


def ask(door: Path, want: Want, timeout: float | None) -> socket.socket:
    """Open a connection and put the question. Raises NotTaken, Silent and TooLong."""
    question = encode(Ask(want)) + b"\n"
    if len(question) > LONGEST_LINE:
        raise TooLong
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not stat.S_ISSOCK(door.lstat().st_mode):
            raise NotTaken(f"{door} is no socket")
        connection.settimeout(timeout)
        with short(door) as name:
            connection.connect(name)
        connection.sendall(question)
    except (TimeoutError, BlockingIOError):
        connection.close()
        raise Silent(SILENT) from None
    except OSError as error:
        connection.close()
        raise NotTaken(f"no jobtui answers at {door}: {error.strerror or error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def must_be_taken(lines: BinaryIO) -> None:
    """Read that the owner has taken the question. Raises NotTaken where it went before, KeptOut and Silent."""
    try:
        answer = read_answer(lines)
    except Silent:
        raise
    except NoAnswer as error:
        raise NotTaken(str(error)) from None
    if isinstance(answer, Denied):
        raise KeptOut(answer.text)


def read_answer(lines: BinaryIO) -> Answer:
    """The next line of the owner's. Raises NoAnswer and Silent."""
    try:
        return answer_of(lines.readline())
    except TimeoutError:
        raise Silent(SILENT) from None
    except OSError as error:
        raise NoAnswer(f"the jobtui that owns this profile went away: {error.strerror or error}") from error


def answer_of(line: bytes) -> Answer:
    """One line of the owner's. Raises NoAnswer where it is none."""
    if not line.endswith(b"\n"):
        raise NoAnswer("the jobtui that owns this profile went away before it answered")
    try:
        return _answers().decode(line)
    except msgspec.MsgspecError as error:
        raise NoAnswer(
            f"the jobtui that owns this profile does not answer as this one understands: {error}"
        ) from error
