"""The table of statement forms: the parts of each, the record it builds, and its help.

The grammar, the expected words of an error, completion, the usage hints and the help are all derived
from `SYNTAX`. To add a statement, add its record to `ast.py` and a row to this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import msgspec

from jobtui.language.ast import (
    Backup,
    CreateSchedule,
    CreateSpace,
    DropSchedule,
    DropSpace,
    Explain,
    Pause,
    PauseSchedule,
    Recover,
    Restore,
    Resume,
    ResumeSchedule,
    RunSchedule,
    SetRate,
    ShowAdvice,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSchedules,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)
from jobtui.language.parts import (
    BECAUSE,
    JOB_OPTIONS,
    PAUSE_OPTIONS,
    RECOVER_OPTIONS,
    SCHEDULE_OPTIONS,
    ConditionPart,
    Keyword,
    KeywordChoice,
    KeywordFlag,
    Option,
    OptionalPart,
    OptionList,
    Part,
    Placeholder,
    PlaceholderKind,
    SubmitPart,
    ValuePart,
    usage_of,
)
from jobtui.model import FailurePolicy, HostOrder, JobOptions


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
    def values(self) -> tuple[ValuePart, ...]:
        """The parts that become fields of the record, in order."""
        return tuple(_values(self.parts))

    @property
    def usage(self) -> str:
        """The form as it is shown to a user: `RECOVER JOB <id>[, …]`."""
        return " ".join(self.usage_parts)

    @property
    def usage_parts(self) -> tuple[str, ...]:
        """The usage of each part, to be used if the whole is too wide for a line."""
        return tuple(map(usage_of, self.parts))

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that it takes after WITH."""
        return next((part.options for part in self.values if isinstance(part, OptionList)), ())

    @property
    def has_condition(self) -> bool:
        """Whether it takes a condition."""
        return any(isinstance(part, ConditionPart) for part in self.values)


def _values(parts: Iterable[Part]) -> Iterator[ValuePart]:
    for part in parts:
        match part:
            case OptionalPart(inner):
                yield from _values(inner)
            case Keyword():
                pass
            case _:
                yield part


STATUSES: Final = ("QUEUE", "RUNNING", "FINISHED", "FAILED", "STOPPED", "ARCHIVED")

_SPACE = Placeholder("space", PlaceholderKind.SPACE, "<space>")
_NEW_SPACE = Placeholder("space", PlaceholderKind.NEW_SPACE, "<space>")
_JOBS = Placeholder("jobs", PlaceholderKind.JOB, "<id>", many=True)
_SCHEDULE = Placeholder("name", PlaceholderKind.SCHEDULE, "<schedule>")
_NOT_EXISTS = KeywordFlag("if_not_exists", ("IF", "NOT", "EXISTS"))
_EXISTS = KeywordFlag("if_exists", ("IF", "EXISTS"))
_IN_SPACE = OptionalPart((Keyword("IN"), _SPACE))
_FOR_JOB = OptionalPart((Keyword("FOR"), Keyword("JOB"), Placeholder("job", PlaceholderKind.JOB, "<id>")))


def _with(*options: Option) -> OptionalPart:
    return OptionalPart((Keyword("WITH"), OptionList(options)))


def _job_parts(*, may_be_needed: bool) -> tuple[Part, ...]:
    """Return the parts after FLUSH or COMPACT."""
    return (
        OptionalPart((_SPACE,)),
        OptionalPart((Keyword("ON"), Placeholder("hosts", PlaceholderKind.HOST, "<host>", many=True))),
        OptionalPart((Keyword("IF"), ConditionPart("condition", may_be_needed))),
        _with(*JOB_OPTIONS),
    )


_COMPACT_PARTS = (Keyword("COMPACT"), *_job_parts(may_be_needed=True))
_FLUSH_PARTS = (Keyword("FLUSH"), *_job_parts(may_be_needed=False))


def _submit(command: str, *, space: str | None = None, room: float | None = None, **options: Any) -> Submit:
    if "order" in options:
        options["order"] = HostOrder(options["order"])
    if "on_failure" in options:
        options["on_failure"] = FailurePolicy(options["on_failure"])
    if room is not None:
        options["room" if isinstance(room, int) else "room_share"] = room  # a size; a share is a float
    return Submit(command, space, JobOptions(**options))


def _show_jobs(*, status: str | None = None, space: str | None = None, limit: int | None = None) -> ShowJobs:
    archived = status == "archived"
    return ShowJobs(None if archived else status, space, limit, archived)


SYNTAX: Final[tuple[StatementSyntax, ...]] = (
    StatementSyntax(
        (Keyword("ADMIN"), *_FLUSH_PARTS),
        partial(_submit, "flush"),
        "queue a flush",
        (
            "Writes what a space holds in memory to disk. Without a space, it is for the chosen one (USE nba). "
            "A job has a task for each storage host of the space, or for the hosts after ON. Jobs of one space "
            "run one after another, jobs of different spaces in parallel.",
            "The condition after IF is evaluated on each host when its turn comes; if it is false there, "
            "nothing is done.",
        ),
        ("ADMIN FLUSH nba", "ADMIN FLUSH nba IF memtable > 64 MiB WITH rolling = 1"),
    ),
    StatementSyntax(
        (Keyword("ADMIN"), *_COMPACT_PARTS),
        partial(_submit, "compact"),
        "queue a compaction",
        (
            "Merges the files of a space and frees the disk space of overwritten and deleted keys. Hosts and "
            "conditions are as for ADMIN FLUSH; IF NEEDED is the verdict of SHOW ADVICE.",
            "A compaction works in steps, so that it can be paused and continued, and takes little more disk.",
        ),
        (
            "USE nba; ADMIN COMPACT",
            "ADMIN COMPACT nba ON local0, local1",
            "ADMIN COMPACT nba IF NEEDED WITH rolling = 1, wait = 5 min",
            "ADMIN COMPACT nba IF deletions > 10% OR gain > 5 GiB",
        ),
    ),
    StatementSyntax(
        (Keyword("SUBMIT"), Keyword("JOB"), *_FLUSH_PARTS),
        partial(_submit, "flush"),
        "the same, in later syntax",
        ("ADMIN FLUSH in the syntax of NebulaGraph 1.0 and later.",),
        ("SUBMIT JOB FLUSH nba",),
    ),
    StatementSyntax(
        (Keyword("SUBMIT"), Keyword("JOB"), *_COMPACT_PARTS),
        partial(_submit, "compact"),
        "the same, in later syntax",
        ("ADMIN COMPACT in the syntax of NebulaGraph 1.0 and later.",),
        ("SUBMIT JOB COMPACT nba",),
    ),
    StatementSyntax(
        (Keyword("EXPLAIN"), SubmitPart("statement")),
        Explain,
        "what a job would do",
        (
            "For each host: the steps, what they rewrite, the disk space that they need and give back, and how "
            "long they take. Nothing is changed. Estimates are marked with ≈.",
        ),
        ("EXPLAIN ADMIN COMPACT nba", "EXPLAIN ADMIN COMPACT nba ON local0 WITH room = 2 GiB"),
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
            _IN_SPACE,
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
        (Keyword("STOP"), Keyword("JOB"), _JOBS, _with(BECAUSE)),
        Stop,
        "stop jobs",
        (
            "Queued jobs are stopped at once. A running job is stopped when its last task has ended; until "
            "then it is stopping.",
        ),
        ("STOP JOB 22", "STOP JOB 1, 2", 'STOP JOB 22 WITH because = "the disk is slow"'),
    ),
    StatementSyntax(
        (Keyword("PAUSE"), Keyword("JOB"), _JOBS, _with(*PAUSE_OPTIONS)),
        Pause,
        "pause jobs",
        (
            "A queued job does not start. A running one finishes its step and releases its hosts. It stays "
            "paused, after a restart too, until RESUME JOB.",
        ),
        ("PAUSE JOB 40", 'PAUSE JOB 40, 41 WITH because = "traffic"'),
    ),
    StatementSyntax(
        (Keyword("RESUME"), Keyword("JOB"), _JOBS, _with(BECAUSE)),
        Resume,
        "let paused jobs continue",
        ("Each continues with its next step.",),
        ("RESUME JOB 40",),
    ),
    StatementSyntax(
        (Keyword("SET"), Keyword("RATE"), Placeholder("rate", PlaceholderKind.SIZE, "<size>"), _FOR_JOB),
        SetRate,
        "limit the writes of jobs",
        (
            "In bytes per second, from the next step on: of one job, or of all jobs until the process that "
            "runs them ends. Only writes are limited.",
        ),
        ("SET RATE 50 MiB", "SET RATE 20 MiB FOR JOB 40"),
    ),
    StatementSyntax(
        (Keyword("SET"), Keyword("RATE"), Keyword("OFF"), _FOR_JOB),
        SetRate,
        "remove that limit",
        (),
        ("SET RATE OFF", "SET RATE OFF FOR JOB 40"),
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
        (
            Keyword("RESTORE"),
            Keyword("JOB"),
            Placeholder("first", PlaceholderKind.JOB, "<from_id>"),
            OptionalPart((Placeholder("last", PlaceholderKind.JOB, "<to_id>"),)),
        ),
        Restore,
        "bring archived jobs back",
        (
            "Every archived job from the first id to the last, inclusive; without a second id only that job. "
            "They are listed by SHOW JOBS again, and can be recovered.",
        ),
        ("RESTORE JOB 22", "RESTORE JOB 0 22"),
    ),
    StatementSyntax(
        (Keyword("RECOVER"), Keyword("JOB"), _JOBS, _with(*RECOVER_OPTIONS)),
        Recover,
        "run jobs again",
        (
            "Each runs under a new id; the old job is unchanged. A compaction that was stopped or failed "
            "continues after its last finished step.",
        ),
        ("RECOVER JOB 40", "RECOVER JOB 1, 2", "RECOVER JOB 40 WITH failed_only = true"),
    ),
    StatementSyntax(
        (Keyword("RECOVER"), Keyword("JOB"), _with(*RECOVER_OPTIONS)),
        Recover,
        "rerun failed/stopped jobs",
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
        (Keyword("SHOW"), Keyword("ADVICE"), _IN_SPACE),
        ShowAdvice,
        "which spaces need a job",
        (
            "For each space and host the verdict (compact, flush or fine), what it rests on, what a compaction "
            "would give back, and the statement to run. The worst comes first.",
        ),
        ("SHOW ADVICE", "SHOW ADVICE IN nba"),
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
        (Keyword("DROP"), Keyword("SPACE"), _EXISTS, _SPACE),
        DropSpace,
        "delete a space",
        (
            "Its data is deleted. An adopted space is only released: its files stay. A space with queued or "
            "running jobs is not dropped.",
        ),
        ("DROP SPACE nba", "DROP SPACE IF EXISTS nba"),
    ),
    StatementSyntax(
        (
            Keyword("CREATE"),
            Keyword("SCHEDULE"),
            _NOT_EXISTS,
            Placeholder("name", PlaceholderKind.NEW_SCHEDULE, "<schedule>"),
            Keyword("AT"),
            Placeholder("at", PlaceholderKind.TIMES, '"cron"'),
            OptionalPart((Keyword("UNTIL"), Placeholder("until", PlaceholderKind.TIME_OF_DAY, '"hh:mm"'))),
            _with(*SCHEDULE_OPTIONS),
            Keyword("DO"),
            SubmitPart("statement"),
        ),
        CreateSchedule,
        "run a job again and again",
        (
            "The times are a cron expression: minute, hour, day of the month, month and day of the week; or "
            "@hourly, @daily or @weekly. With UNTIL the job is paused then at its next step, and the "
            "next run continues it. A run is skipped while the previous one still works, and while no process "
            "runs the profile's jobs.",
        ),
        (
            'CREATE SCHEDULE nightly AT "30 2 * * *" DO ADMIN COMPACT nba IF NEEDED WITH rolling = 1',
            'CREATE SCHEDULE weekly AT "@weekly" UNTIL "06:00" WITH timezone = "Europe/Berlin" '
            "DO ADMIN COMPACT nba",
        ),
    ),
    StatementSyntax(
        (Keyword("SHOW"), Keyword("SCHEDULES")),
        ShowSchedules,
        "the schedules",
        ("Their times, statements, next times and last results.",),
    ),
    StatementSyntax(
        (Keyword("PAUSE"), Keyword("SCHEDULE"), _SCHEDULE),
        PauseSchedule,
        "pause a schedule",
        ("It submits nothing until RESUME SCHEDULE.",),
        ("PAUSE SCHEDULE nightly",),
    ),
    StatementSyntax(
        (Keyword("RESUME"), Keyword("SCHEDULE"), _SCHEDULE),
        ResumeSchedule,
        "let it continue",
        ("Times that passed meanwhile are not made up for.",),
        ("RESUME SCHEDULE nightly",),
    ),
    StatementSyntax(
        (Keyword("RUN"), Keyword("SCHEDULE"), _SCHEDULE),
        RunSchedule,
        "run it now",
        ("Its next time stays the same.",),
        ("RUN SCHEDULE nightly",),
    ),
    StatementSyntax(
        (Keyword("DROP"), Keyword("SCHEDULE"), _EXISTS, _SCHEDULE),
        DropSchedule,
        "delete a schedule",
        ("Its jobs stay.",),
        ("DROP SCHEDULE nightly", "DROP SCHEDULE IF EXISTS nightly"),
    ),
)

SUBMIT_FORMS: Final = tuple(form for form in SYNTAX if form.verb in ("ADMIN", "SUBMIT"))
"""The forms that a `SubmitPart` stands for."""
