"""The bytes of a live 3.8.0 cluster, through the stock client and through jobtui's decoder."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nebula3.data.ResultSet import ResultSet
from nebula3.Exception import AuthFailedException, IOErrorException
from nebula3.gclient.net.Connection import Connection

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Status
from jobtui.storage.base import ClusterJob
from jobtui.storage.nebula import ngql
from jobtui.storage.nebula.ngql import ErrorReply, NgqlTable, Reply
from jobtui.storage.nebula.settings import Address, ClusterSettings, Secret
from jobtui.storage.nebula.thrift import GraphdConnection
from tests.support.replay import Record, Recording, captures

HELLO = [record for record in captures() if record["statement"].startswith("(verify")][:1]
LOGIN = [record for record in captures() if record["scenario"] == "authenticate ok"][1:]
SCENARIOS: dict[str, list[Record]] = {}
for one in captures():
    SCENARIOS.setdefault(one["scenario"], []).append(one)


def statements(records: list[Record]) -> list[Record]:
    return [record for record in records if not record["statement"].startswith("(")]


def by_stock_client(records: list[Record]) -> list[ResultSet]:
    with Recording([*HELLO, *LOGIN, *records]) as server:
        connection = Connection()
        connection.open("127.0.0.1", server.port, 10_000)
        session = connection.authenticate("root", "nebula").get_session_id()
        answers = [
            ResultSet(connection.execute(session, record["statement"]), all_latency=0) for record in records
        ]
        connection.close()
        return answers


def by_jobtui(records: list[Record]) -> list[Reply]:
    with Recording([*HELLO, *LOGIN, *records]) as server:
        address = Address("127.0.0.1", server.port)
        connection = GraphdConnection.open(address, ClusterSettings(addresses=(address,)))
        session = connection.log_in("root", Secret("nebula"))
        answers = [connection.execute(session, record["statement"]) for record in records]
        connection.close()
        return answers


def table(scenario: str, statement: str, note: str | None = None) -> NgqlTable:
    """Return jobtui's reading of the first such record."""
    for record in SCENARIOS[scenario]:
        if record["statement"] == statement and note in (None, record["note"]):
            (reply,) = by_jobtui([record])
            assert isinstance(reply, NgqlTable), reply
            return reply
    raise AssertionError(f"no record {statement!r} with note {note!r}")


def job(scenario: str, number: int, note: str, space: str = "s1") -> ClusterJob:
    return ngql.parse_job(table(scenario, f"USE `{space}`; SHOW JOB {number}", note))


def at(hour: int, minute: int, second: int) -> datetime:
    return datetime(2026, 11, 28, hour, minute, second, tzinfo=UTC)


def plain(cell: Any) -> object:
    """Return a cell of the stock client as jobtui has it."""
    if cell.is_empty():
        return None
    if cell.is_datetime():
        moment = cell.as_datetime()
        return datetime(
            moment.get_year(),
            moment.get_month(),
            moment.get_day(),
            moment.get_hour(),
            moment.get_minute(),
            moment.get_sec(),
            tzinfo=UTC,
        )
    return cell.as_int() if cell.is_int() else cell.as_string()


@pytest.mark.parametrize("scenario", [name for name, records in SCENARIOS.items() if statements(records)])
def test_both_clients_read_the_same(scenario: str) -> None:
    records = [record for record in statements(SCENARIOS[scenario]) if record["response_b64"]]
    for record, theirs, ours in zip(records, by_stock_client(records), by_jobtui(records), strict=True):
        where = record["statement"]
        if not theirs.is_succeeded():
            assert isinstance(ours, ErrorReply), where
            assert ours.message == theirs.error_msg(), where
            continue
        assert isinstance(ours, NgqlTable), where
        assert list(ours.columns) == theirs.keys(), where
        rows = [[plain(cell) for cell in theirs.row_values(at)] for at in range(theirs.row_size())]
        assert [list(row) for row in ours.rows] == rows, where


@pytest.mark.parametrize("scenario", ["authenticate wrong password", "authenticate unknown user"])
def test_login_is_refused(scenario: str) -> None:
    with Recording(SCENARIOS[scenario]) as server:
        connection = Connection()
        connection.open("127.0.0.1", server.port, 10_000)
        with pytest.raises(AuthFailedException):
            connection.authenticate("root", "wrong")
    with Recording(SCENARIOS[scenario]) as server:
        address = Address("127.0.0.1", server.port)
        ours = GraphdConnection.open(address, ClusterSettings(addresses=(address,)))
        with pytest.raises(StorageError) as caught:
            ours.log_in("root", Secret("wrong"))
        assert caught.value.code is ErrorCode.ACCESS
        ours.close()


def test_login_while_metad_is_away_can_be_tried_again() -> None:
    with Recording(SCENARIOS["login, metad away"]) as server:
        address = Address("127.0.0.1", server.port)
        connection = GraphdConnection.open(address, ClusterSettings(addresses=(address,)))
        with pytest.raises(StorageError) as caught:
            connection.log_in("root", Secret("nebula"))
        assert caught.value.code is ErrorCode.UNREACHABLE
        assert "RPC failure in MetaClient" in caught.value.detail
        connection.close()


def test_graphd_that_is_killed_ends_the_connection() -> None:
    records = statements(SCENARIOS["graphd killed"])
    assert [bool(record["response_b64"]) for record in records] == [True, False]
    with pytest.raises(IOErrorException):
        by_stock_client(records)
    with pytest.raises(StorageError) as caught:
        by_jobtui(records)
    assert (caught.value.code, caught.value.detail) == (
        ErrorCode.UNREACHABLE,
        "graphd closed the connection",
    )


def test_recovered_job_keeps_its_old_stop_time_while_it_runs() -> None:
    queued = job("recover of a failed one", 54, "right after")
    assert (queued.status, queued.start, queued.stop, queued.tasks) == (Status.QUEUE, None, None, ())
    running = job("recover of a failed one", 54, "running with the old Stop Time")
    assert (running.status, running.start, running.stop) == (Status.RUNNING, at(13, 38, 37), None)
    listed = ngql.parse_jobs(
        table("recover of a failed one", "USE `s1`; SHOW JOBS", "a recovered one is RUNNING with a Stop Time")
    )
    assert listed[0] == ClusterJob(54, "compact", Status.RUNNING, at(13, 38, 37))


def test_stop_that_moves_the_stop_time() -> None:
    first = job("stop", 49, "stopped while queued")
    again = job("stop", 49, "its stop time has moved")
    assert (first.start, first.stop) == (at(13, 36, 42), at(13, 36, 42))
    assert (again.start, again.stop) == (at(13, 36, 42), at(13, 36, 44))


def test_job_in_the_queue_has_no_tasks() -> None:
    queued = job("a job from queue to finished, identical and queued ones beside it", 49, "queue")
    assert (queued.status, queued.tasks, queued.start, queued.stop) == (Status.QUEUE, (), None, None)


def test_leader_balance_has_no_tasks() -> None:
    balance = job("leader balance", 690, "later", "s3")
    assert (balance.command, balance.status, balance.tasks) == ("leader balance", Status.FINISHED, ())


def test_task_may_stop_a_second_after_its_job() -> None:
    rebuilt = job("rebuild index", 692, "all tag indexes")
    assert rebuilt.stop == at(13, 53, 18)
    assert [task.stop for task in rebuilt.tasks or ()] == [at(13, 53, 18), at(13, 53, 19), at(13, 53, 18)]


def test_spaces_of_any_name_and_their_hosts() -> None:
    names, hosts = table("names", "SHOW SPACES"), table("names", "SHOW HOSTS")
    spaces = {space.name: space.hosts for space in ngql.parse_spaces(names, hosts)}
    assert {"a b", "a&b", "back`quote", "back\\slash", "c:3, d", "semi;colon", "中文空间"} <= spaces.keys()
    assert spaces["c:3, d"] == ("127.0.0.1:9799",)
    assert spaces["s1"] == ("127.0.0.1:9779", "127.0.0.1:9789", "127.0.0.1:9799")


def test_host_that_is_offline() -> None:
    hosts = ngql.parse_hosts(table("storaged killed during a compact", "SHOW HOSTS"))
    assert [(host.name, host.up, host.spaces) for host in hosts][:2] == [
        ("127.0.0.1:9779", True, 3),
        ("127.0.0.1:9789", False, 3),
    ]


def test_job_ids_have_gaps_and_no_time_order() -> None:
    listed = ngql.parse_jobs(table("recover", "USE `s1`; SHOW JOBS"))
    ids = [one.id for one in listed]
    assert ids == sorted(ids, reverse=True)
    assert not set(range(28, 48)) & set(ids)
    starts = [one.start for one in listed if one.start]
    assert starts != sorted(starts, reverse=True)


def test_610_jobs_of_a_space() -> None:
    listed = ngql.parse_jobs(table("show jobs, 600 of them", "USE `leer`; SHOW JOBS"))
    assert len(listed) > 600
    assert {one.command for one in listed} == {"flush", "compact"}


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("metad away", ErrorCode.UNREACHABLE),
        ("permissions of non", ErrorCode.ACCESS),
        ("no space chosen", ErrorCode.REJECTED),
        ("errors of ids and syntax", ErrorCode.REJECTED),
    ],
)
def test_refusal_has_a_code(scenario: str, code: ErrorCode) -> None:
    refusals = [reply for reply in by_jobtui(statements(SCENARIOS[scenario])) if isinstance(reply, ErrorReply)]
    assert refusals
    for refusal in refusals:
        assert ngql.graphd_error(refusal, "s1").code is code, refusal


def test_failed_job_whose_other_tasks_run() -> None:
    early = job("storaged down before the submit", 54, "a second later: FAILED, two tasks RUNNING")
    assert (early.status, early.reason, early.stop) == (Status.FAILED, "E_RPC_FAILURE", at(13, 38, 12))
    assert [task.status for task in early.tasks or ()] == [Status.RUNNING, Status.FAILED, Status.RUNNING]
    late = job("storaged down before the submit", 54, "its tasks have ended; Stop Time moved")
    assert (late.status, late.stop) == (Status.FAILED, at(13, 38, 30))
    assert [(task.status, task.reason) for task in late.tasks or ()] == [
        (Status.FINISHED, ""),  # the cluster repeats the job's code here, too
        (Status.FAILED, "E_RPC_FAILURE"),
        (Status.FINISHED, ""),
    ]


def test_stopped_job_that_becomes_finished() -> None:
    stopped = job("metad killed during a compact", 60, "stopped, its tasks run")
    assert stopped.status is Status.STOPPED
    assert {task.status for task in stopped.tasks or ()} == {Status.RUNNING}
    finished = job("metad killed during a compact", 60, "STOPPED was not final")
    assert (finished.status, finished.start) == (Status.FINISHED, stopped.start)


def test_stopped_rebuild_is_stopped() -> None:
    stopped = job("rebuild index", 691, "3 s later")  # the cluster says FAILED, E_USER_CANCEL
    assert stopped.status is Status.STOPPED
    assert "E_USER_CANCEL" in stopped.reason
    assert {task.status for task in stopped.tasks or ()} == {Status.STOPPED}


def test_page_names_tests_that_are_there() -> None:
    root = Path(__file__).parent
    page = (root.parent.parent / "docs" / "nebulagraph.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    assert len(named) >= 28
    for file, test in named:
        assert f"def {test}(" in (root / file).read_text("utf-8"), test
