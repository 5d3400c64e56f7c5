"""Every form of every statement, and similar texts that are none."""

from __future__ import annotations

import pytest

from jobtui.language import StatementError, parse, parse_with_spans
from jobtui.language.ast import (
    Backup,
    CreateSpace,
    DropSpace,
    Parsed,
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
from jobtui.language.syntax import SYNTAX


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("ADMIN FLUSH", Submit("flush")),
        ("ADMIN COMPACT nba", Submit("compact", "nba")),
        ("SUBMIT JOB FLUSH", Submit("flush")),
        ("SUBMIT JOB COMPACT `2`", Submit("compact", "2")),
        ("SHOW JOB 40", ShowJob(40)),
        ("SHOW JOBS", ShowJobs()),
        ("SHOW QUEUE JOBS", ShowJobs("queue")),
        ("SHOW Running JOBS", ShowJobs("running")),
        ("SHOW FINISHED JOBS", ShowJobs("finished")),
        ("SHOW FAILED JOBS", ShowJobs("failed")),
        ("SHOW STOPPED JOBS", ShowJobs("stopped")),
        ("SHOW ARCHIVED JOBS IN old LIMIT 5", ShowJobs(None, "old", 5, archived=True)),
        ("SHOW JOBS LIMIT 0", ShowJobs(limit=0)),
        ("SHOW JOBS IN Nba", ShowJobs(space="Nba")),
        ("STOP JOB 22", Stop((22,))),
        ("BACKUP JOB 0 22", Backup(0, 22)),
        ("RECOVER JOB", Recover()),
        ("RECOVER JOB 40", Recover((40,))),
        ("USE nba", Use("nba")),
        ("SHOW SPACES", ShowSpaces()),
        ("SHOW HOSTS", ShowHosts()),
        ("CREATE SPACE nba", CreateSpace("nba")),
        ("CREATE SPACE IF NOT EXISTS nba", CreateSpace("nba", if_not_exists=True)),
        ("CREATE SPACE nba ON 3 HOSTS", CreateSpace("nba", count=3)),
        ("CREATE SPACE IF NOT EXISTS nba ON 3 HOSTS", CreateSpace("nba", if_not_exists=True, count=3)),
        ("CREATE SPACE nba ON h1", CreateSpace("nba", hosts=("h1",))),
        (
            "CREATE SPACE IF NOT EXISTS nba ON h1, `h 2`",
            CreateSpace("nba", if_not_exists=True, hosts=("h1", "h 2")),
        ),
        ("CREATE SPACE chain AT \"d1\", 'd2'", CreateSpace("chain", directories=("d1", "d2"))),
        (
            "CREATE SPACE IF NOT EXISTS chain AT \"d1\", 'd2'",
            CreateSpace("chain", if_not_exists=True, directories=("d1", "d2")),
        ),
        ("DROP SPACE nba", DropSpace("nba")),
        ("DROP SPACE IF EXISTS nba", DropSpace("nba", if_exists=True)),
    ],
)
def test_statement_is_read(text: str, statement: Statement) -> None:
    assert parse(text) == [statement]
    assert parse(f"{text.swapcase().swapcase()};{text}") == [statement, statement]


@pytest.mark.parametrize(
    "text",
    [
        "ADMIN",
        "ADMIN nba FLUSH",
        "ADMIN FLUSH nba nba",
        "ADMIN FLUSH, COMPACT",
        "SUBMIT FLUSH",
        "SHOW JOB",
        "SHOW JOB 1, 2",
        "SHOW FAILED",
        "SHOW FAILED RUNNING JOBS",
        "SHOW ARCHIVED FAILED JOBS",
        "SHOW FAILED JOB 1",
        "SHOW JOBS LIMIT",
        "SHOW JOBS LIMIT 1 IN nba",
        "SHOW JOBS IN",
        "SHOW JOBS IN a, b",
        "SHOW SPACES nba",
        "SHOW HOSTS LIMIT 1",
        "STOP JOB",
        "STOP JOBS 1",
        "BACKUP JOB 1",
        "BACKUP JOB 1, 2",
        "USE",
        "USE nba, nba",
        "CREATE SPACE",
        "CREATE SPACE IF EXISTS nba",
        "CREATE SPACE nba ON",
        "CREATE SPACE nba ON 3",
        "CREATE SPACE nba ON HOSTS",
        "CREATE SPACE nba ON h1,",
        "CREATE SPACE nba ON h1,,h2",
        "CREATE SPACE nba ON h1 h2",
        "CREATE SPACE nba AT",
        "CREATE SPACE nba ON 3 HOSTS AT 'd'",
        "DROP SPACE",
        "DROP SPACE IF NOT EXISTS nba",
        "DROP SPACE nba, test2",
    ],
)
def test_near_statement_is_refused(text: str) -> None:
    with pytest.raises(StatementError):
        parse(text)


@pytest.mark.parametrize("example", [example for form in SYNTAX for example in form.examples])
def test_every_example_of_the_help_is_a_statement(example: str) -> None:
    assert parse(example)


class TestRecord:
    def test_equal_and_hashed_by_its_fields(self) -> None:
        (shown,) = parse(" SHOW JOBS IN nba")
        assert shown == ShowJobs(space="nba")
        assert hash(shown) == hash(ShowJobs(space="nba"))
        assert shown != ShowJobs(space="nbb")
        assert ShowSpaces() != ShowHosts()

    def test_frozen(self) -> None:
        with pytest.raises(AttributeError):
            Use("nba").space = "other"  # type: ignore[misc]  # frozen: the assignment must fail

    def test_position_is_kept_with_the_statement(self) -> None:
        assert parse_with_spans(" SHOW JOBS ;; USE nba") == [
            Parsed(ShowJobs(), (1, 10)),
            Parsed(Use("nba"), (14, 21)),
        ]
