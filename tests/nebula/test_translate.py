"""graphd's tables become jobtui's model, with any values and rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Status
from jobtui.storage.base import ClusterJob, Space
from jobtui.storage.nebula import ngql
from jobtui.storage.nebula.ngql import Cell, ErrorReply, NgqlTable

NINE = datetime(2019, 12, 17, 9, 0, tzinfo=UTC)
TEN = datetime(2019, 12, 17, 10, 0, tzinfo=UTC)
LIST = ("Job Id", "Command", "Status", "Start Time", "Stop Time")
ONE = ("Job Id(TaskId)", "Command(Dest)", "Status", "Start Time", "Stop Time", "Error Code")
HOSTS = ("Host", "Port", "Status", "Leader count", "Leader distribution", "Partition distribution", "Version")


def listed(*rows: tuple[Cell, ...]) -> NgqlTable:
    return NgqlTable(LIST, rows)


def shown(*rows: tuple[Cell, ...]) -> NgqlTable:
    return NgqlTable(
        ONE, (*rows, (f"Total:{len(rows) - 1}", "Succeeded:0", "Failed:0", "In Progress:0", "", ""))
    )


def hosts(*rows: tuple[Cell, ...]) -> NgqlTable:
    return NgqlTable(HOSTS, (*rows, ("Total", None, None, 0, None, None, None)))


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("QUEUE", Status.QUEUE, ""),
        ("RUNNING", Status.RUNNING, ""),
        ("FINISHED", Status.FINISHED, ""),
        ("FAILED", Status.FAILED, ""),
        ("STOPPED", Status.STOPPED, ""),
        ("finished", Status.FINISHED, ""),
        ("SUCCEEDED", Status.FINISHED, ""),
        ("IN_PROGRESS", Status.RUNNING, ""),
        ("INVALID", Status.FAILED, "INVALID"),
        ("PAUSED", Status.FAILED, "PAUSED"),
        ("", Status.FAILED, "the cluster reports no status for it"),
        (None, Status.FAILED, "the cluster reports no status for it"),
    ],
)
def test_unknown_status_is_failed_with_its_name_as_reason(
    word: str | None, status: Status, reason: str
) -> None:
    (job,) = ngql.parse_jobs(listed((7, "FLUSH", word, NINE, TEN)))
    assert (job.status, job.reason) == (status, reason)


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("FLUSH", "flush"),
        ("COMPACT", "compact"),
        ("STATS", "stats"),
        ("REBUILD_TAG_INDEX", "rebuild tag index"),
        ("LEADER_BALANCE", "leader balance"),
        ("SOMETHING_NEW", "something new"),
    ],
)
def test_commands_are_reported_in_lower_case(word: str, command: str) -> None:
    (job,) = ngql.parse_jobs(listed((7, word, "RUNNING", NINE, None)))
    assert job.command == command


def test_jobs_after_the_known_id_are_listed_newest_first() -> None:
    rows = [(n, "FLUSH", "FINISHED", NINE, TEN) for n in (3, 41, 7, 40)]
    assert [job.id for job in ngql.parse_jobs(listed(*rows))] == [41, 40, 7, 3]
    assert [job.id for job in ngql.parse_jobs(listed(*rows), since=7)] == [41, 40]


def test_list_has_no_tasks() -> None:
    (job,) = ngql.parse_jobs(listed((7, "FLUSH", "FINISHED", NINE, TEN)))
    assert job == ClusterJob(7, "flush", Status.FINISHED, NINE, TEN, tasks=None)


def test_first_row_is_the_job_others_tasks_without_the_total() -> None:
    job = ngql.parse_job(
        shown(
            (7, "COMPACT", "RUNNING", NINE, None, "E_JOB_SUBMITTED"),
            (1, "10.0.0.6", "RUNNING", NINE, None, ""),
            (0, "10.0.0.5", "FINISHED", NINE, TEN, ""),
        )
    )
    assert (job.id, job.command, job.status, job.reason) == (7, "compact", Status.RUNNING, "")
    assert job.tasks is not None
    assert [(task.number, task.host, task.status) for task in job.tasks] == [
        (0, "10.0.0.5", Status.FINISHED),
        (1, "10.0.0.6", Status.RUNNING),
    ]
    assert [task.took for task in job.tasks] == [3600.0, None]


def test_error_code_is_the_reason_of_job_and_failed_tasks() -> None:
    job = ngql.parse_job(
        shown(
            (7, "FLUSH", "FAILED", NINE, TEN, "E_RPC_FAILURE"),
            (0, "10.0.0.5", "FINISHED", NINE, TEN, "E_RPC_FAILURE"),
            (1, "10.0.0.6", "FAILED", NINE, TEN, "E_RPC_FAILURE"),
        )
    )
    assert job.reason == "E_RPC_FAILURE"
    assert job.tasks is not None
    assert [(task.reason, task.code) for task in job.tasks] == [("", ""), ("E_RPC_FAILURE", "rejected")]


@pytest.mark.parametrize("word", ["STOPPED", "FAILED"])
def test_task_that_continues_after_its_job_is_running(word: str) -> None:
    job = ngql.parse_job(
        shown(
            (7, "COMPACT", word, NINE, TEN, "E_RPC_FAILURE"),
            (0, "10.0.0.5", "RUNNING", NINE, None, "E_RPC_FAILURE"),
        )
    )
    assert job.tasks is not None
    (task,) = job.tasks
    assert (job.is_settled, task.status, task.reason, task.stop) == (False, Status.RUNNING, "", None)


def test_job_of_graphd_3_0_has_no_error_code_and_no_total() -> None:
    rows: tuple[tuple[Cell, ...], ...] = (
        (7, "FLUSH", "FAILED", NINE, TEN),
        (0, "10.0.0.5", "FAILED", NINE, TEN),
    )
    job = ngql.parse_job(NgqlTable(ONE[:5], rows))
    assert (job.status, job.reason, len(job.tasks or ())) == (Status.FAILED, "", 1)


@pytest.mark.parametrize("order", [(5, 4, 3, 2, 1, 0), (5, 0, 3, 1, 4, 2)])
def test_columns_are_found_by_name_not_by_position(order: tuple[int, ...]) -> None:
    table = shown(
        (7, "FLUSH", "FAILED", NINE, TEN, "E_RPC_FAILURE"),
        (0, "10.0.0.5", "FAILED", NINE, TEN, "E_RPC_FAILURE"),
    )
    moved = NgqlTable(
        ("Concurrency", *(table.columns[at].upper() for at in order)),
        tuple((3, *(row[at] for at in order)) for row in table.rows),
    )
    assert ngql.parse_job(moved) == ngql.parse_job(table)


@pytest.mark.parametrize("gone", range(5))
def test_job_without_one_of_its_columns_is_not_guessed_at(gone: int) -> None:
    row: tuple[Cell, ...] = (7, "FLUSH", "FAILED", NINE, TEN, "E_RPC_FAILURE")
    table = NgqlTable((*ONE[:gone], *ONE[gone + 1 :]), ((*row[:gone], *row[gone + 1 :]),))
    with pytest.raises(StorageError, match="in a form that jobtui does not know"):
        ngql.parse_job(table)


def test_data_balance_has_its_moves_as_tasks() -> None:
    columns = ("Job Id(spaceId:partId)", "Command(src->dst)", "Status", "Start Time", "Stop Time", "Error Code")
    job = ngql.parse_job(
        NgqlTable(
            columns,
            (
                (9, "DATA_BALANCE", "RUNNING", NINE, None, "E_JOB_SUBMITTED"),
                ("1:5", "10.0.0.5:9779->10.0.0.6:9779", "SUCCEEDED", NINE, TEN, ""),
                ("1:6", "10.0.0.5:9779->10.0.0.6:9779", "IN_PROGRESS", NINE, None, ""),
                ("Total:2", "Succeeded:1", "Failed:0", "In Progress:1", "Invalid:0", ""),
            ),
        )
    )
    assert job.command == "data balance"
    assert job.tasks is not None
    assert [(task.number, task.status) for task in job.tasks] == [(0, Status.FINISHED), (1, Status.RUNNING)]
    assert job.tasks[0].host == "10.0.0.5:9779->10.0.0.6:9779"


def test_requeued_job_has_no_trace_of_its_last_run() -> None:
    job = ngql.parse_job(
        shown((7, "FLUSH", "QUEUE", NINE, TEN, "E_JOB_SUBMITTED"), (0, "10.0.0.5", "FAILED", NINE, TEN, ""))
    )
    assert (job.start, job.stop, job.tasks) == (None, None, ())


def test_job_that_runs_again_has_no_stop_time_yet() -> None:
    (job,) = ngql.parse_jobs(listed((7, "FLUSH", "RUNNING", TEN, NINE)))
    assert (job.start, job.stop) == (TEN, None)


def test_spaces_have_the_hosts_of_their_parts() -> None:
    names = NgqlTable(("Name",), (("nba",), ("empty",), ("test2",)))
    table = hosts(
        ("10.0.0.5", 9779, "ONLINE", 2, "nba:1, test2:1", "nba:10, test2:5", "3.8.0"),
        ("10.0.0.6", 9779, "OFFLINE", 0, "No valid partition", "nba:10", "3.8.0"),
        ("10.0.0.7", 9779, "ONLINE", 0, "No valid partition", "No valid partition", "3.8.0"),
    )
    assert ngql.parse_spaces(names, table) == (
        Space("empty", ()),
        Space("nba", ("10.0.0.5", "10.0.0.6")),
        Space("test2", ("10.0.0.5",)),
    )
    assert [(host.name, host.up, host.spaces) for host in ngql.parse_hosts(table)] == [
        ("10.0.0.5", True, 2),
        ("10.0.0.6", False, 1),
        ("10.0.0.7", True, 0),
    ]
    assert ngql.parse_hosts(table)[1].detail == "offline, says the cluster"


def test_hosts_of_graphd_3_1_to_3_5_have_a_column_more() -> None:
    columns = (*HOSTS[:2], "HTTP port", *HOSTS[2:])
    row = ("10.0.0.5", 9779, 19779, "ONLINE", 0, "", "nba:10", "3.3.0")
    table = NgqlTable(columns, (row, ("Total", None, None, None, 0, None, None, None)))
    assert [(host.name, host.up, host.spaces) for host in ngql.parse_hosts(table)] == [("10.0.0.5", True, 1)]


def test_space_name_may_look_like_a_list() -> None:
    odd = "a:1, b"
    names = NgqlTable(("Name",), ((odd,), ("b",), ("a",)))
    table = hosts(("10.0.0.5", 9779, "ONLINE", 0, "", f"{odd}:10, unknown yet:3, b:10", "3.8.0"))
    held = {space.name: space.hosts for space in ngql.parse_spaces(names, table)}
    assert held == {odd: ("10.0.0.5",), "b": ("10.0.0.5",), "a": ()}


def test_storageds_on_one_machine_are_named_with_ports() -> None:
    table = hosts(
        ("127.0.0.1", 9779, "ONLINE", 0, "", "nba:10", "3.8.0"),
        ("127.0.0.1", 9789, "ONLINE", 0, "", "nba:10", "3.8.0"),
        ("10.0.0.5", 9779, "ONLINE", 0, "", "nba:10", "3.8.0"),
        ("fe80::1", 9779, "ONLINE", 0, "", "nba:10", "3.8.0"),
        ("fe80::1", 9789, "ONLINE", 0, "", "nba:10", "3.8.0"),
        ("fd00::5", 9789, "ONLINE", 0, "", "nba:10", "3.8.0"),
    )
    assert [host.name for host in ngql.parse_hosts(table)] == [
        "127.0.0.1:9779",
        "127.0.0.1:9789",
        "10.0.0.5",
        "[fe80::1]:9779",
        "[fe80::1]:9789",
        "fd00::5",
    ]


@pytest.mark.parametrize(
    ("code", "words", "expected", "outcome_unknown"),
    [
        ("E_EXECUTION_ERROR", "Job not existed in chosen space!", ErrorCode.REJECTED, False),
        ("E_SEMANTIC_ERROR", "SemanticError: Space was not chosen.", ErrorCode.REJECTED, False),
        ("E_EXECUTION_ERROR", "SpaceNotFound: SpaceName `nba`", ErrorCode.MISSING, False),
        ("E_BAD_PERMISSION", "PermissionError: No permission to write data.", ErrorCode.ACCESS, False),
        ("E_EXECUTION_ERROR", "LeaderChanged: Leader changed!", ErrorCode.UNREACHABLE, True),
        ("E_EXECUTION_ERROR", "Rpc failure, probably timeout!", ErrorCode.UNREACHABLE, True),
        ("E_EXECUTION_ERROR", "RPC failure in MetaClient: timed out", ErrorCode.UNREACHABLE, True),
        ("E_SYNTAX_ERROR", "", ErrorCode.REJECTED, False),
    ],
)
def test_refusal_has_the_clusters_message(
    code: str, words: str, expected: ErrorCode, outcome_unknown: bool
) -> None:
    error = ngql.graphd_error(ErrorReply(code, words), "nba", is_command=True)
    assert (error.code, error.space, error.detail) == (expected, "nba", words or code)
    assert error.outcome_unknown is outcome_unknown
    assert not ngql.graphd_error(ErrorReply(code, words), "nba").outcome_unknown


@pytest.mark.parametrize(
    "table", [NgqlTable(), NgqlTable(("Name",), (("nba",),)), NgqlTable(LIST, (("x", "", "", None, None),))]
)
def test_table_of_another_form_is_reported_as_such(table: NgqlTable) -> None:
    for read in (ngql.parse_jobs, ngql.parse_job, ngql.parse_new_job_id, ngql.parse_recovered_count):
        with pytest.raises(StorageError, match="in a form that jobtui does not know"):
            read(table)


def test_unchanged_spaces_and_hosts_are_parsed_once() -> None:
    def answers(parts: int) -> tuple[NgqlTable, NgqlTable]:
        named = [f"space {n}:{n}" for n in range(200)]
        held = ", ".join(f"{name}:{parts}" for name in named)
        rows = [(f"h{n}", 9779, "ONLINE", 0, "", held, "3.8.0") for n in range(50)]
        return NgqlTable(("Name",), tuple((name,) for name in named)), hosts(*rows)

    first = ngql.parse_spaces(*answers(10))
    assert {len(space.hosts) for space in first} == {50}
    assert ngql.parse_spaces(*answers(10)) is first
    assert ngql.parse_spaces(*answers(11)) is not first
    assert ngql.parse_hosts(answers(10)[1]) is ngql.parse_hosts(answers(10)[1])
