"""The table of statement forms: the parts of each, the record it builds, and its help.

The grammar, the expected words of an error, completion, the usage hints and the help are all derived
from `SYNTAX`. To add a statement, add its record to `ast.py` and a row to this table.
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


class PlaceholderKind(enum.Enum):
    """The kinds of values, each with the text by which an error asks for one."""

    SPACE = "a space's name"
    NEW_SPACE = "a name for the space"
    HOST = "a host's name"
    JOB = "<id>"
    COUNT = "a number"
    DIRECTORY = "a directory in quotes"


class Keyword(msgspec.Struct, frozen=True):
    """A keyword."""

    text: str


class KeywordChoice(msgspec.Struct, frozen=True):
    """One of several keywords. The record gets it in lower case as `field`.

    Attributes:
        label: The name of all of them in a usage, "" to list each.
        noun: The name of all of them in an error, "" to list each.
    """

    field: str
    words: tuple[str, ...]
    label: str = ""
    noun: str = ""


class KeywordFlag(msgspec.Struct, frozen=True):
    """Keywords that may be left out. If they are there, the record gets True as `field`."""

    field: str
    words: tuple[str, ...]


class Placeholder(msgspec.Struct, frozen=True):
    """A value, or a list of values if `many`, which the record gets as `field`."""

    field: str
    kind: PlaceholderKind
    label: str
    many: bool = False


class OptionalPart(msgspec.Struct, frozen=True):
    """Parts that may be left out, all of them together."""

    parts: tuple[Keyword | KeywordChoice | Placeholder, ...]


Part = Keyword | KeywordChoice | KeywordFlag | Placeholder | OptionalPart


class StatementSyntax(msgspec.Struct, frozen=True, eq=False):
    """One form of a statement. Two forms are never equal, so that a form can be a key.

    Attributes:
        build: Called with the fields that were given; returns the record.
        summary: One line of help.
        details: The paragraphs of the longer help.
        examples: Whole statements.
    """

    parts: tuple[Part, ...]
    build: Callable[..., Statement]
    summary: str
    details: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """The first keyword."""
        first = self.parts[0]
        assert isinstance(first, Keyword)
        return first.text

    @property
    def values(self) -> tuple[KeywordChoice | KeywordFlag | Placeholder, ...]:
        """The parts that become fields of the record, in order."""
        return tuple(_values(self.parts))

    @property
    def usage(self) -> str:
        """The form as it is shown to a user: `RECOVER JOB <id>[, …]`."""
        return " ".join(map(_usage_of, self.parts))


def _values(parts: Iterable[Part]) -> Iterator[KeywordChoice | KeywordFlag | Placeholder]:
    for part in parts:
        match part:
            case KeywordChoice() | KeywordFlag() | Placeholder():
                yield part
            case OptionalPart(inner):
                yield from _values(inner)
            case Keyword():
                pass


def _usage_of(part: Part) -> str:
    match part:
        case Keyword(text):
            return text
        case KeywordChoice(_, words, label):
            return label or "|".join(words)
        case KeywordFlag(_, words):
            return f"[{' '.join(words)}]"
        case Placeholder(_, _, label, many):
            return f"{label}[, …]" if many else label
        case OptionalPart(parts):
            return f"[{' '.join(map(_usage_of, parts))}]"


STATUSES: Final = ("QUEUE", "RUNNING", "FINISHED", "FAILED", "STOPPED", "ARCHIVED")

_COMMAND = KeywordChoice("command", ("FLUSH", "COMPACT"))
_SPACE = Placeholder("space", PlaceholderKind.SPACE, "<space>")
_NEW_SPACE = Placeholder("space", PlaceholderKind.NEW_SPACE, "<space>")
_JOBS = Placeholder("jobs", PlaceholderKind.JOB, "<id>", many=True)
_NOT_EXISTS = KeywordFlag("if_not_exists", ("IF", "NOT", "EXISTS"))


def _show_jobs(*, status: str | None = None, space: str | None = None, limit: int | None = None) -> ShowJobs:
    archived = status == "archived"
    return ShowJobs(None if archived else status, space, limit, archived)


SYNTAX: Final[tuple[StatementSyntax, ...]] = (
    StatementSyntax(
        (Keyword("ADMIN"), _COMMAND, OptionalPart((_SPACE,))),
        Submit,
        "queue a flush or a compact",
        (
            "FLUSH writes what a space holds in memory to disk; COMPACT merges its files and frees the "
            "disk space of overwritten and deleted keys.",
            "Without a space, the job is for the chosen space (USE nba). A job has a task for each storage "
            "host of the space. Jobs of one space run one after another, jobs of different spaces in parallel.",
        ),
        ("ADMIN FLUSH nba", "USE nba; ADMIN COMPACT"),
    ),
    StatementSyntax(
        (Keyword("SUBMIT"), Keyword("JOB"), _COMMAND, OptionalPart((_SPACE,))),
        Submit,
        "the same, in later syntax",
        ("ADMIN in the syntax of NebulaGraph 1.0 and later.",),
        ("SUBMIT JOB COMPACT nba",),
    ),
    StatementSyntax(
        (Keyword("SHOW"), Keyword("JOB"), Placeholder("job", PlaceholderKind.JOB, "<id>")),
        ShowJob,
        "a job and its tasks",
        (),
        ("SHOW JOB 40",),
    ),
    StatementSyntax(
        (
            Keyword("SHOW"),
            OptionalPart((KeywordChoice("status", STATUSES, "<status>", "a status"),)),
            Keyword("JOBS"),
            OptionalPart((Keyword("IN"), _SPACE)),
            OptionalPart((Keyword("LIMIT"), Placeholder("limit", PlaceholderKind.COUNT, "<n>"))),
        ),
        _show_jobs,
        "the jobs, oldest first",
        (
            "Jobs that are not archived. <status> is QUEUE, RUNNING, FINISHED, FAILED or STOPPED; ARCHIVED "
            "shows the archive instead.",
            "IN takes any space of the history, also a dropped one. LIMIT keeps the newest n.",
        ),
        ("SHOW JOBS", "SHOW FAILED JOBS IN nba LIMIT 20", "SHOW ARCHIVED JOBS"),
    ),
    StatementSyntax(
        (Keyword("STOP"), Keyword("JOB"), _JOBS),
        Stop,
        "stop jobs",
        (
            "Queued jobs are stopped at once. A running job is stopped when its last task has ended; until "
            "then it is stopping.",
        ),
        ("STOP JOB 22", "STOP JOB 1, 2"),
    ),
    StatementSyntax(
        (
            Keyword("BACKUP"),
            Keyword("JOB"),
            Placeholder("first", PlaceholderKind.JOB, "<from_id>"),
            Placeholder("last", PlaceholderKind.JOB, "<to_id>"),
        ),
        Backup,
        "archive ended jobs",
        (
            "Every ended job from the first id to the last, inclusive. Queued and running jobs stay. "
            "SHOW ARCHIVED JOBS shows what was archived.",
        ),
        ("BACKUP JOB 0 22",),
    ),
    StatementSyntax(
        (Keyword("RECOVER"), Keyword("JOB"), _JOBS),
        Recover,
        "run jobs again",
        ("Each runs under a new id; the old job is unchanged.",),
        ("RECOVER JOB 40", "RECOVER JOB 1, 2"),
    ),
    StatementSyntax(
        (Keyword("RECOVER"), Keyword("JOB")),
        Recover,
        "run again all that failed",
        (
            "Every failed or stopped job that has not been recovered yet: of the chosen space, or of all "
            "spaces if none is chosen.",
        ),
        ("RECOVER JOB",),
    ),
    StatementSyntax(
        (Keyword("USE"), _SPACE),
        Use,
        "choose the space",
        ("For the following statements that name no space.",),
        ("USE nba", "USE `my-space`"),
    ),
    StatementSyntax(
        (Keyword("SHOW"), Keyword("SPACES")),
        ShowSpaces,
        "the spaces",
        ("Their hosts, size on disk and in memory, and how much is to be compacted.",),
    ),
    StatementSyntax(
        (Keyword("SHOW"), Keyword("HOSTS")),
        ShowHosts,
        "the storage hosts",
        ("Whether each answers, its spaces, their size, and the free disk space.",),
    ),
    StatementSyntax(
        (
            Keyword("CREATE"),
            Keyword("SPACE"),
            _NOT_EXISTS,
            _NEW_SPACE,
            OptionalPart((Keyword("ON"), Placeholder("count", PlaceholderKind.COUNT, "<n>"), Keyword("HOSTS"))),
        ),
        CreateSpace,
        "make a space",
        ("On all storage hosts, or on n of them. Spaces are created and dropped on embedded storage only.",),
        ("CREATE SPACE nba", "CREATE SPACE IF NOT EXISTS nba ON 3 HOSTS"),
    ),
    StatementSyntax(
        (
            Keyword("CREATE"),
            Keyword("SPACE"),
            _NOT_EXISTS,
            _NEW_SPACE,
            Keyword("ON"),
            Placeholder("hosts", PlaceholderKind.HOST, "<host>", many=True),
        ),
        CreateSpace,
        "make a space on these hosts",
        (),
        ("CREATE SPACE nba ON local0, local1",),
    ),
    StatementSyntax(
        (
            Keyword("CREATE"),
            Keyword("SPACE"),
            _NOT_EXISTS,
            _NEW_SPACE,
            Keyword("AT"),
            Placeholder("directories", PlaceholderKind.DIRECTORY, '"dir"', many=True),
        ),
        CreateSpace,
        "adopt RocksDB databases",
        (
            "The directories hold RocksDB databases of another program. Each becomes a storage host, named "
            "by its absolute directory. A relative directory is resolved against the current directory. A "
            "directory can be adopted once.",
            "With IF NOT EXISTS it also succeeds if the space has exactly these directories already.",
        ),
        ('CREATE SPACE chain AT "/srv/chain/db"', 'CREATE SPACE IF NOT EXISTS chain AT "db1", "db2"'),
    ),
    StatementSyntax(
        (Keyword("DROP"), Keyword("SPACE"), KeywordFlag("if_exists", ("IF", "EXISTS")), _SPACE),
        DropSpace,
        "delete a space",
        (
            "Its data is deleted. An adopted space is only released: its files stay. A space with queued or "
            "running jobs is not dropped.",
        ),
        ("DROP SPACE nba", "DROP SPACE IF EXISTS nba"),
    ),
)
