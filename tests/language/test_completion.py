"""The candidates at a cursor, and that a longer history does not slow them down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from jobtui.language.completion import MAX_CANDIDATES, Completion, JobOperation, complete, ids_with_prefix


class World:
    """Spaces, hosts and jobs to name; it notes what was asked and how many jobs were read."""

    def __init__(self, last: int = 40) -> None:
        self.last = last
        self.asked: list[tuple[JobOperation, str]] = []
        self.read = 0

    def spaces(self) -> Iterable[str]:
        return ["nba", "test2", "my-space", "图谱", "flush", "no.name", "no`name"]

    def hosts(self) -> Iterable[str]:
        return ["local0", "local1", "192.168.8.5"]

    def schedules(self) -> Iterable[str]:
        return ["nightly", "rate"]

    def jobs(self, kind: JobOperation, starting: str) -> Iterator[tuple[int, str]]:
        self.asked.append((kind, starting))
        for job in ids_with_prefix(starting, self.last):
            self.read += 1
            yield job, "✖ failed  flush nba"


def offered(text: str, world: World | None = None) -> Completion:
    """What is offered at the `|` in the text."""
    before, _, after = text.partition("|")
    return complete(before + after, len(before), world or World())


def texts(text: str, world: World | None = None) -> list[str]:
    return [candidate.text for candidate in offered(text, world).candidates]


VERBS = [
    *("ADMIN", "SUBMIT", "EXPLAIN", "SHOW", "STOP", "PAUSE", "RESUME", "SET"),
    *("BACKUP", "RESTORE", "RECOVER", "USE", "CREATE", "DROP", "RUN"),
]
STATUSES = ["QUEUE", "RUNNING", "FINISHED", "FAILED", "STOPPED", "ARCHIVED"]
SPACES = ["nba", "test2", "`my-space`", "图谱", "`flush`", "`no``name`"]
HOSTS = ["local0", "local1", '"192.168.8.5"']
OPTIONS = [
    *("rolling", "wait", "order", "on_failure", "retry", "retry_wait", "rate", "family", "from", "to", "room"),
    "because",
]
METRICS = ["deletions", "l0_files", "pending", "gain", "size", "memtable", "free", "age"]
SIZE_UNITS = ["B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]
OPERATORS = [">", ">=", "<", "<=", "=", "!="]
JOBS = [str(job) for job in range(40, 0, -1)]


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("|", VERBS),
        ("USE nba; |", VERBS),
        ("USE nba;|", VERBS),
        ("/* c */ |", VERBS),
        ("S|", ["SUBMIT", "SHOW", "STOP", "SET"]),
        ("s|", ["submit", "show", "stop", "set"]),
        ("SHOW |", ["JOB", "JOBS", "SPACES", "HOSTS", "ADVICE", "SCHEDULES", *STATUSES]),
        ("SHOW J|", ["JOB", "JOBS"]),
        ("show R|", ["RUNNING"]),
        ("ADMIN COMPACT nba ON |", HOSTS),
        ("ADMIN COMPACT nba ON 192.1|", ['"192.168.8.5"']),
        ('ADMIN COMPACT nba ON a, "19|', ['"192.168.8.5"']),
        ('ADMIN COMPACT nba ON "lo|"', ['"local0"', '"local1"']),
        ('ADMIN COMPACT nba WITH because = "19|', []),
        ("show r|", ["running"]),
        ("show |", ["job", "jobs", "spaces", "hosts", "advice", "schedules", *map(str.lower, STATUSES)]),
        ("SHOW FAILED |", ["JOBS"]),
        ("SHOW JOBS |", ["IN", "LIMIT"]),
        ("SHOW JOBS|", []),
        ("SHOW JOBS IN nba |", ["LIMIT"]),
        ("SHOW JOBS LIMIT |", []),
        ("ADMIN |", ["FLUSH", "COMPACT"]),
        ("ADMIN FLUSH |", [*SPACES, "ON", "IF", "WITH"]),
        ("ADMIN COMPACT nba ON local0, |", HOSTS),
        ("ADMIN COMPACT nba ON local0 |", ["IF", "WITH"]),
        ("ADMIN COMPACT nba IF |", ["NEEDED", *METRICS, "NOT"]),
        ("ADMIN FLUSH nba IF |", [*METRICS, "NOT"]),
        ("admin compact nba if n|", ["needed", "not"]),
        ("ADMIN COMPACT nba IF l0|", ["l0_files"]),
        ("ADMIN COMPACT nba IF size |", OPERATORS),
        ("ADMIN COMPACT nba IF size >|", [">", ">="]),
        ("ADMIN COMPACT nba IF size > 5 |", [*SIZE_UNITS, "AND", "OR", "WITH"]),
        ("ADMIN COMPACT nba IF size > 5 m|", ["MB", "MiB"]),
        ("ADMIN COMPACT nba IF size > 5M|", ["5MB", "5MiB"]),
        ("ADMIN COMPACT nba IF age > 5 |", ["s", "min", "h", "d"]),
        ("ADMIN COMPACT nba IF deletions > 10|", []),
        ("ADMIN COMPACT nba IF deletions > 10 |", ["%"]),
        ("ADMIN COMPACT nba IF (size > 5 GiB |", ["AND", "OR", ")"]),
        ("ADMIN COMPACT nba WITH |", OPTIONS),
        ("ADMIN COMPACT nba WITH R|", ["rolling", "retry", "retry_wait", "rate", "room"]),
        ("ADMIN COMPACT nba WITH rolling |", ["="]),
        ("ADMIN COMPACT nba WITH rolling = 1, |", OPTIONS[1:]),
        ("ADMIN COMPACT nba WITH family = 'a', wait = 5 min, f|", ["family", "from"]),
        ("EXPLAIN ADMIN COMPACT nba WITH wait = 5 min, w|", []),
        ("ADMIN COMPACT nba WITH order = |", ["listed", "largest", "smallest"]),
        ("ADMIN COMPACT nba WITH wait = 1 h 30 |", ["s", "min"]),
        ("EXPLAIN |", ["ADMIN", "SUBMIT"]),
        ("SHOW ADVICE |", ["IN"]),
        ("SET RATE |", ["OFF"]),
        ("SET RATE OFF FOR JOB 4|", ["4", "40"]),
        ("PAUSE |", ["JOB", "SCHEDULE"]),
        ("PAUSE SCHEDULE |", ["nightly", "rate"]),
        ("RUN SCHEDULE n|", ["nightly"]),
        ("CREATE SCHEDULE x AT '@daily' |", ["UNTIL", "WITH", "DO"]),
        ("CREATE SCHEDULE x AT '@daily' DO |", ["ADMIN", "SUBMIT"]),
        ("CREATE SCHEDULE x AT '@daily' WITH t|", ["timezone"]),
        ("RECOVER JOB 4 WITH |", ["failed_only", "whole", "because"]),
        ("RECOVER JOB 4 WITH whole = t|", ["true"]),
        ("USE |", SPACES),
        ("USE N|", ["nba", "`no``name`"]),
        ("USE 图|", ["图谱"]),
        ("USE my|", ["`my-space`"]),
        ("USE `|", ["`nba`", "`test2`", "`my-space`", "`图谱`", "`flush`", "`no``name`"]),
        ("USE `my|", ["`my-space`"]),
        ("USE sp|", ["`my-space`"]),
        ("USE x|", []),
        ("DROP SPACE |", ["IF", *SPACES]),
        ("DROP SPACE fl|", ["`flush`"]),
        ("CREATE SPACE |", ["IF"]),
        ("CREATE SPACE IF |", ["NOT"]),
        ("CREATE SPACE x |", ["ON", "AT"]),
        ("create space X |", ["on", "at"]),
        ("CREATE SPACE x ON |", HOSTS),
        ("CREATE SPACE x ON local0, |", HOSTS),
        ("CREATE SPACE x ON 3 |", ["HOSTS"]),
        ("CREATE SPACE IF NOT EXISTS x |", ["ON", "AT"]),
        ("CREATE SPACE IF NOT EXISTS x AT |", []),
        ("CREATE SPACE x AT |", []),
        ("CREATE SPACE x AT '|", []),
        ("CREATE SPACE x AT 'd' |", []),
        ("STOP JOB |", JOBS),
        ("STOP JOB 4|", ["4", "40"]),
        ("STOP JOB 40, 3|", ["3", *[str(job) for job in range(39, 29, -1)]]),
        ("STOP JOB 40, 39,|", [*JOBS[2:], "WITH"]),
        ("STOP JOB 4 |", ["WITH"]),
        ("BACKUP JOB 1 2|", ["2", *[str(job) for job in range(29, 19, -1)]]),
        ("STOP JOB x|", []),
        ("STOP JOB 0x|", []),
        ("SHOW JBO |", []),
        ("SHOW JOBS junk |", []),
        ("( |", []),
        ("-- |", []),
        ("# S|", []),
        ("/* S|", []),
        ("SHOW JOBS -- |", []),
        ("ＳＨ|", []),
        ("SHOW J|B", ["JOB", "JOBS"]),
        ("ADMIN FLUSH WITH wait = 1 |", ["s", "min", "h", "d"]),
        ("ADMIN FLUSH WITH wait = 1h 1 m|", ["min"]),
    ],
)
def test_possible_continuations_are_offered(text: str, candidates: list[str]) -> None:
    assert texts(text) == candidates


@pytest.mark.parametrize(
    ("text", "ghost"),
    [
        ("S|", "UBMIT"),
        ("sho|", "w"),
        ("|", ""),
        ("USE nba; |", ""),
        ("SHOW |", "JOB"),
        ("SHOW JOB|", ""),
        ("USE n|", "ba"),
        ("USE |", "nba"),
        ("USE my|", ""),
        ("USE `my|", "-space`"),
        ("RECOVER JOB 3|", ""),
        ("RECOVER JOB |", "40"),
        ("RECOVER J| 3", ""),
        ("SHOW JBO |", ""),
    ],
)
def test_best_candidate_is_a_ghost_at_the_end(text: str, ghost: str) -> None:
    assert offered(text).ghost == ghost


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        ("|", ""),
        ("USE nba; |", ""),
        ("RECOVER JOB 3|", "RECOVER JOB <id>[, …] [WITH <option>[, …]]"),
        ("RECOVER JOB 3, |", "RECOVER JOB <id>[, …] [WITH <option>[, …]]"),
        ("RECOVER |", "RECOVER JOB <id>[, …] [WITH <option>[, …]] · RECOVER JOB [WITH <option>[, …]]"),
        ("SHOW JOBS |", "SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"),
        ("SHOW FAILED JOBS LIMIT |", "SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"),
        ("backup job 1 |", "BACKUP JOB <from_id> <to_id>"),
        (
            "ADMIN C|",
            "ADMIN COMPACT [<space>] [ON <host>[, …]] [IF NEEDED|<condition>] [WITH <option>[, …]]",
        ),
        (
            "ADMIN COMPACT nba WITH wait = |",
            "wait = <duration>: the time between the end of one host and the start of the next",
        ),
        ("RECOVER JOB 4 WITH whole =|", "RECOVER JOB <id>[, …] [WITH <option>[, …]]"),
        ("PAUSE JOB 4 WITH now = |", "now = true|false: cancel the step at work, whose work is lost"),
        (
            "ADMIN COMPACT nba IF deletions > |",
            "deletions > <share>: the share of deletion entries among all entries",
        ),
        ("CREATE SPACE x AT '/srv|", 'CREATE SPACE [IF NOT EXISTS] <space> AT "dir"[, …]'),
        ("CREATE SPACE IF NOT EXISTS x AT |", 'CREATE SPACE [IF NOT EXISTS] <space> AT "dir"[, …]'),
        ("KILL |", ""),
    ],
)
def test_usage_is_that_of_the_statement_being_typed(text: str, usage: str) -> None:
    assert offered(text).usage == usage


@pytest.mark.parametrize(
    ("text", "kind", "starting"),
    [
        ("SHOW JOB |", JobOperation.SHOW, ""),
        ("STOP JOB 2|", JobOperation.STOP, "2"),
        ("BACKUP JOB 1 |", JobOperation.BACKUP, ""),
        ("RESTORE JOB |", JobOperation.RESTORE, ""),
        ("RECOVER JOB 1, 22|", JobOperation.RECOVER, "22"),
        ("PAUSE JOB 1|", JobOperation.PAUSE, "1"),
        ("RESUME JOB 1, |", JobOperation.RESUME, ""),
        ("SET RATE 5 MiB FOR JOB |", JobOperation.SET, ""),
    ],
)
def test_job_candidates_suit_the_statement(text: str, kind: JobOperation, starting: str) -> None:
    world = World()
    offered(text, world)
    assert world.asked == [(kind, starting)]


def test_job_candidate_has_its_status_and_label() -> None:
    candidate = offered("RECOVER JOB 40|", World(400)).candidates[1]
    assert (candidate.text, candidate.kind, candidate.note) == ("400", "job", "✖ failed  flush nba")


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("SHOW J|", "J"),
        ("SHOW J|BO 40", "JBO"),
        ("SHOW |JOBS", "JOBS"),
        ("SHOW | JOBS", ""),
        ("USE n|ba; SHOW JOBS", "nba"),
        ("USE `my-|space`; SHOW JOBS", "`my-space`"),
        ("STOP JOB 1, 3|9", "39"),
        ("RECOVER JOB |", ""),
    ],
)
def test_candidate_replaces_the_word_at_the_cursor(text: str, replaced: str) -> None:
    start, end = offered(text).span
    assert text.replace("|", "")[start:end] == replaced


def test_million_jobs_cost_no_more_than_a_few() -> None:
    for text in ("SHOW JOB |", "SHOW JOB 3|", "STOP JOB 1, 2, 99|"):
        world = World(1_000_000)
        assert len(texts(text, world)) == MAX_CANDIDATES
        assert world.read <= MAX_CANDIDATES + 5


def test_source_is_not_read_to_its_end() -> None:
    class Stubborn(World):
        def jobs(self, kind: JobOperation, starting: str) -> Iterator[tuple[int, str]]:
            return super().jobs(kind, "")

    world = Stubborn(1_000_000)
    assert texts("SHOW JOB 3|", world) == []
    assert world.read <= 1000


def test_candidates_are_capped() -> None:
    class Many(World):
        def spaces(self) -> Iterable[str]:
            return (f"space_{n}" for n in range(1000))

    assert len(texts("USE |", Many())) == MAX_CANDIDATES
    assert texts("USE space_99|", Many())[0] == "space_99"


@pytest.mark.parametrize(
    ("starting", "last"), [("", 25), ("2", 25), ("1", 1234), ("12", 1234), ("9", 1000), ("0", 50)]
)
def test_ids_are_found_by_prefix_newest_first(starting: str, last: int) -> None:
    wanted = [job for job in range(last, 0, -1) if str(job).startswith(starting)]
    assert list(ids_with_prefix(starting, last)) == wanted


@pytest.mark.parametrize(
    "text", ["\x00|", "\ud800|", "`|", "'|", "\ufeff|SHOW", "SHOW\u200b|", "(" * 1000 + "|", "﷽|"]
)
def test_hostile_text_is_answered(text: str) -> None:
    offered(text)
