"""The one table of the statements: what each is made of, what it means, what it makes.

The grammar, the expected words of an error, completion, the usage hints and the help are all made
from `FORMS`. A statement that is not here does not exist; one that is here exists everywhere.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from jobtui.language.ast import (
    Backup,
    CreateSpace,
    DropSpace,
    Recover,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)


class Kind(enum.Enum):
    """What can stand in a slot, and how an error asks for it."""

    SPACE = "a space's name"
    NEW_SPACE = "a name for the space"
    HOST = "a host's name"
    JOB = "<id>"
    COUNT = "a number"
    DIRECTORY = "a directory in quotes"


class Word(msgspec.Struct, frozen=True):
    """A keyword."""

    text: str


class Choice(msgspec.Struct, frozen=True):
    """One of several keywords, kept in lower case as `field`.

    `label` is what usage calls them all and `spoken` what an error does; without them each is named.
    """

    field: str
    words: tuple[str, ...]
    label: str = ""
    spoken: str = ""


class Flag(msgspec.Struct, frozen=True):
    """Keywords that may be left out; where they stand, `field` is True."""

    field: str
    words: tuple[str, ...]


class Slot(msgspec.Struct, frozen=True):
    """A value, or with `many` a list of them, kept as `field`. `label` is what usage calls it."""

    field: str
    kind: Kind
    label: str
    many: bool = False


class Maybe(msgspec.Struct, frozen=True):
    """Parts that may be left out together."""

    parts: tuple[Word | Choice | Slot, ...]


Part = Word | Choice | Flag | Slot | Maybe


class Form(msgspec.Struct, frozen=True, eq=False):
    """One way to write a statement; there is one object of each.

    `makes` is called with the fields that stood there. `summary` is one line;
    `more` is what a longer help adds, a paragraph a line; `examples` are whole statements.
    """

    parts: tuple[Part, ...]
    makes: Callable[..., Statement]
    summary: str
    more: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """The statement's first word."""
        first = self.parts[0]
        assert isinstance(first, Word)
        return first.text

    @property
    def values(self) -> tuple[Choice | Flag | Slot, ...]:
        """The parts that are kept as fields, in order."""
        return tuple(_values(self.parts))

    @property
    def usage(self) -> str:
        """How the statement is written: `RECOVER JOB <id>[, …]`."""
        return " ".join(map(_written, self.parts))


def _values(parts: Iterable[Part]) -> Iterator[Choice | Flag | Slot]:
    for part in parts:
        match part:
            case Choice() | Flag() | Slot():
                yield part
            case Maybe(inner):
                yield from _values(inner)
            case Word():
                pass


def _written(part: Part) -> str:
    match part:
        case Word(text):
            return text
        case Choice(_, words, label):
            return label or "|".join(words)
        case Flag(_, words):
            return f"[{' '.join(words)}]"
        case Slot(_, _, label, many):
            return f"{label}[, …]" if many else label
        case Maybe(parts):
            return f"[{' '.join(map(_written, parts))}]"


STATUSES: Final = ("QUEUE", "RUNNING", "FINISHED", "FAILED", "STOPPED", "ARCHIVED")

_COMMAND = Choice("command", ("FLUSH", "COMPACT"))
_SPACE = Slot("space", Kind.SPACE, "<space>")
_NEW_SPACE = Slot("space", Kind.NEW_SPACE, "<space>")
_JOBS = Slot("jobs", Kind.JOB, "<id>", many=True)
_NOT_EXISTS = Flag("if_not_exists", ("IF", "NOT", "EXISTS"))


def _show_jobs(*, status: str | None = None, space: str | None = None, limit: int | None = None) -> ShowJobs:
    archived = status == "archived"
    return ShowJobs(None if archived else status, space, limit, archived)


FORMS: Final[tuple[Form, ...]] = (
    Form(
        (Word("ADMIN"), _COMMAND, Maybe((_SPACE,))),
        Submit,
        "queue a flush or a compact",
        (
            "FLUSH writes what a space holds in memory to disk; COMPACT merges its files and gives back the "
            "room that overwritten and deleted keys took.",
            "Without a space it is the chosen one's: USE nba. The job gets a task for each storage host of the "
            "space. Jobs of one space run one after the other, those of several side by side.",
        ),
        ("ADMIN FLUSH nba", "USE nba; ADMIN COMPACT"),
    ),
    Form(
        (Word("SUBMIT"), Word("JOB"), _COMMAND, Maybe((_SPACE,))),
        Submit,
        "the same, in later words",
        ("ADMIN as NebulaGraph 1.0 and later write it.",),
        ("SUBMIT JOB COMPACT nba",),
    ),
    Form(
        (Word("SHOW"), Word("JOB"), Slot("job", Kind.JOB, "<id>")),
        ShowJob,
        "a job and its tasks",
        (),
        ("SHOW JOB 40",),
    ),
    Form(
        (
            Word("SHOW"),
            Maybe((Choice("status", STATUSES, "<status>", "a status"),)),
            Word("JOBS"),
            Maybe((Word("IN"), _SPACE)),
            Maybe((Word("LIMIT"), Slot("limit", Kind.COUNT, "<n>"))),
        ),
        _show_jobs,
        "the jobs, oldest first",
        (
            "Those that are not archived. <status> is QUEUE, RUNNING, FINISHED, FAILED or STOPPED; ARCHIVED "
            "shows the archive instead.",
            "IN names any space of the history, a dropped one too. LIMIT keeps the newest n.",
        ),
        ("SHOW JOBS", "SHOW FAILED JOBS IN nba LIMIT 20", "SHOW ARCHIVED JOBS"),
    ),
    Form(
        (Word("STOP"), Word("JOB"), _JOBS),
        Stop,
        "stop jobs",
        (
            "Queued jobs are stopped at once. A running one is stopped when the last of its tasks has ended; "
            "until then it is stopping.",
        ),
        ("STOP JOB 22", "STOP JOB 1, 2"),
    ),
    Form(
        (
            Word("BACKUP"),
            Word("JOB"),
            Slot("first", Kind.JOB, "<from_id>"),
            Slot("last", Kind.JOB, "<to_id>"),
        ),
        Backup,
        "archive ended jobs",
        (
            "Every ended job from the first id to the last, both included. Jobs still queued or running stay. "
            "SHOW ARCHIVED JOBS shows what was archived.",
        ),
        ("BACKUP JOB 0 22",),
    ),
    Form(
        (Word("RECOVER"), Word("JOB"), _JOBS),
        Recover,
        "run jobs again",
        ("Each under a new id; the old job stays as it was.",),
        ("RECOVER JOB 40", "RECOVER JOB 1, 2"),
    ),
    Form(
        (Word("RECOVER"), Word("JOB")),
        Recover,
        "run again all that failed",
        (
            "Every failed or stopped job that has not been recovered yet: of the chosen space or, with none "
            "chosen, of all spaces.",
        ),
        ("RECOVER JOB",),
    ),
    Form(
        (Word("USE"), _SPACE),
        Use,
        "choose the space",
        ("For the statements that follow and name none.",),
        ("USE nba", "USE `my-space`"),
    ),
    Form(
        (Word("SHOW"), Word("SPACES")),
        ShowSpaces,
        "the spaces",
        ("Their hosts, size on disk and in memory, and how much is to be compacted.",),
    ),
    Form(
        (Word("SHOW"), Word("HOSTS")),
        ShowHosts,
        "the storage hosts",
        ("Whether each answers, its spaces, their size, and the room that is left.",),
    ),
    Form(
        (
            Word("CREATE"),
            Word("SPACE"),
            _NOT_EXISTS,
            _NEW_SPACE,
            Maybe((Word("ON"), Slot("count", Kind.COUNT, "<n>"), Word("HOSTS"))),
        ),
        CreateSpace,
        "make a space",
        ("On all storage hosts, or on n of them. Spaces are made and dropped on embedded storage only.",),
        ("CREATE SPACE nba", "CREATE SPACE IF NOT EXISTS nba ON 3 HOSTS"),
    ),
    Form(
        (
            Word("CREATE"),
            Word("SPACE"),
            _NOT_EXISTS,
            _NEW_SPACE,
            Word("ON"),
            Slot("hosts", Kind.HOST, "<host>", many=True),
        ),
        CreateSpace,
        "make a space on these hosts",
        (),
        ("CREATE SPACE nba ON local0, local1",),
    ),
    Form(
        (
            Word("CREATE"),
            Word("SPACE"),
            _NOT_EXISTS,
            _NEW_SPACE,
            Word("AT"),
            Slot("directories", Kind.DIRECTORY, '"dir"', many=True),
        ),
        CreateSpace,
        "adopt RocksDB databases",
        (
            "The directories hold RocksDB databases that another program made; each becomes a storage host, "
            "called by its absolute directory. A relative one is taken from where you type it. A directory is "
            "adopted once.",
        ),
        ('CREATE SPACE chain AT "/srv/chain/db"', 'CREATE SPACE IF NOT EXISTS chain AT "db1", "db2"'),
    ),
    Form(
        (Word("DROP"), Word("SPACE"), Flag("if_exists", ("IF", "EXISTS")), _SPACE),
        DropSpace,
        "delete a space",
        (
            "Its data is deleted; an adopted space is forgotten and nothing of it deleted. A space with jobs "
            "queued or running is not dropped.",
        ),
        ("DROP SPACE nba", "DROP SPACE IF EXISTS nba"),
    ),
)
