"""The facts about NebulaGraph 3.8.0 that the test doubles keep to: docs/nebulagraph.md numbers them alike.

Each test names its fact. tests/nebula/test_captures.py holds what of it lies in recorded bytes.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from datetime import datetime
from urllib.parse import quote

import pytest
from nebula3.Exception import AuthFailedException, IOErrorException
from nebula3.gclient.net.Connection import Connection

from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import ALREADY_ENDED, METAD_LOST, NOT_IN_SPACE, NOT_STOPPABLE, Cluster
from tests.support.nebula_records import GraphdError
from tests.support.replay import captures
from tests.support.storaged_double import StoragedDouble

HOSTS = ["10.0.0.5:9779", "10.0.0.5:9789", "10.0.0.5:9799"]


class Console:
    """A session with the double's cluster."""

    def __init__(self, cluster: Cluster, user: str = "root", password: str = "nebula") -> None:
        self.cluster = cluster
        self.session = cluster.log_in(user, password)

    def rows(self, text: str) -> list[list[object]]:
        answer, _ = self.cluster.execute(self.session, text)
        assert answer is not None
        return [[*row] for row in answer.rows]

    def columns(self, text: str) -> list[str]:
        answer, _ = self.cluster.execute(self.session, text)
        assert answer is not None
        return answer.columns

    def refusal(self, text: str) -> tuple[str, str]:
        with pytest.raises(GraphdError) as caught:
            self.cluster.execute(self.session, text)
        return caught.value.code, caught.value.words

    def job(self, number: int) -> list[object]:
        """Id, command, status, times, code."""
        return self.rows(f"SHOW JOB {number}")[0]

    def tasks(self, number: int) -> list[list[object]]:
        return self.rows(f"SHOW JOB {number}")[1:-1]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster({"s1": HOSTS, "s2": HOSTS}, first_id=4)


@pytest.fixture
def s1(cluster: Cluster) -> Console:
    console = Console(cluster)
    cluster.execute(console.session, "USE s1")
    return console


def submit(console: Console, kind: str = "COMPACT") -> int:
    ((number,),) = console.rows(f"SUBMIT JOB {kind}")
    assert isinstance(number, int)
    return number


class TestIdsAndRows:
    def test_fact_1_spaces_draw_from_the_counter_of_jobs(self, cluster: Cluster, s1: Console) -> None:
        assert submit(s1) == 4
        assert cluster.create_space("s9", HOSTS) == 5
        assert submit(s1, "FLUSH") == 6

    def test_fact_2_answers_to_commands(self, cluster: Cluster, s1: Console) -> None:
        assert s1.columns("SUBMIT JOB COMPACT") == ["New Job Id"]
        queued = submit(s1, "FLUSH")
        assert s1.rows(f"STOP JOB {queued}") == [["Job stopped"]]
        assert s1.columns(f"STOP JOB {queued}") == ["Result"]
        assert s1.columns("RECOVER JOB 99") == ["Recovered job num"]

    def test_fact_3_show_jobs_is_newest_first(self, s1: Console) -> None:
        assert s1.rows("SHOW JOBS") == []
        columns = ["Job Id", "Command", "Status", "Start Time", "Stop Time"]
        assert s1.columns("SHOW JOBS") == columns
        submit(s1), submit(s1, "FLUSH")
        assert [row[:3] for row in s1.rows("SHOW JOBS")] == [[5, "FLUSH", "QUEUE"], [4, "COMPACT", "RUNNING"]]

    def test_fact_4_a_time_not_set_is_empty_and_not_null(self, cluster: Cluster) -> None:
        with stock_client(cluster) as (client, session):
            client.execute(session, "USE s1; SUBMIT JOB COMPACT")
            (row,) = client.execute(session, "SHOW JOBS").data.rows
            assert row.values[4].field == 0
            assert row.values[3].get_dtVal().microsec == 0

    def test_fact_5_show_job_ends_with_a_row_of_counts_in_strings(self, s1: Console) -> None:
        number = submit(s1)
        columns = ["Job Id(TaskId)", "Command(Dest)", "Status", "Start Time", "Stop Time", "Error Code"]
        assert s1.columns(f"SHOW JOB {number}") == columns
        total = s1.rows(f"SHOW JOB {number}")[-1]
        assert total == ["Total:3", "Succeeded:0", "Failed:0", "In Progress:3", "", ""]

    def test_fact_6_task_has_no_port(self, s1: Console) -> None:
        assert [task[:2] for task in s1.tasks(submit(s1))] == [
            [0, "10.0.0.5"],
            [1, "10.0.0.5"],
            [2, "10.0.0.5"],
        ]

    def test_fact_7_a_job_in_the_queue_has_no_task_rows(self, s1: Console) -> None:
        submit(s1)
        queued = submit(s1, "FLUSH")
        assert s1.job(queued)[2:] == ["QUEUE", None, None, "E_JOB_SUBMITTED"]
        assert s1.rows(f"SHOW JOB {queued}")[1][0] == "Total:0"

    def test_fact_8_every_task_has_the_jobs_code(self, cluster: Cluster, s1: Console) -> None:
        number = submit(s1)
        cluster.finish(number, host=HOSTS[0])
        assert [task[5] for task in s1.tasks(number)] == ["", "", ""]
        cluster.finish(number, host=HOSTS[1], code="E_UNKNOWN")
        cluster.finish(number)
        assert [(task[2], task[5]) for task in s1.tasks(number)] == [
            ("FINISHED", "E_UNKNOWN"),
            ("FAILED", "E_UNKNOWN"),
            ("FINISHED", "E_UNKNOWN"),
        ]

    def test_fact_9_codes_that_were_seen(self) -> None:
        answers = [base64.b64decode(record["response_b64"]) for record in captures()]
        codes = {code.decode() for answer in answers for code in re.findall(rb"E_[A-Z_]{5,}|SUCCEEDED", answer)}
        assert codes == {
            "SUCCEEDED",
            "E_JOB_SUBMITTED",
            "E_RPC_FAILURE",
            "E_TASK_EXECUTION_FAILED",
            "E_UNKNOWN",
            "E_USER_CANCEL",
        }

    def test_fact_10_a_submit_is_queued_for_a_moment(self, cluster: Cluster, s1: Console) -> None:
        cluster.holds_queue = True
        number = submit(s1)
        assert s1.job(number)[2] == "QUEUE"
        cluster.run_queue()
        assert s1.job(number)[2] == "RUNNING"


class TestSubmit:
    def test_fact_11_an_identical_submit_in_flight_has_the_same_id(self, s1: Console) -> None:
        number = submit(s1)
        assert submit(s1) == number
        flush = submit(s1, "FLUSH")
        assert (submit(s1, "FLUSH"), s1.job(flush)[2]) == (flush, "QUEUE")
        s1.cluster.execute(s1.session, "USE s2")
        assert s1.job(submit(s1))[2] == "RUNNING"

    @pytest.mark.parametrize(
        ("text", "near"),
        [
            ("SHOW JOBS LIMIT 1", "LIMIT"),
            ("SHOW JOBS | LIMIT 1", "| LIMIT "),
            ("SUBMIT JOB COMPACT 1", "1"),
            ("SUBMIT JOB FLUSH s2", "s2"),
            ("ADMIN FLUSH", "ADMIN"),
            ("SHOW JOB -1", "-1"),
            ("SHOW JOB abc", "abc"),
        ],
    )
    def test_fact_12_what_is_no_statement(self, s1: Console, text: str, near: str) -> None:
        assert s1.refusal(text) == ("E_SYNTAX_ERROR", f"SyntaxError: syntax error near `{near}'")

    def test_fact_12_what_is_one(self, s1: Console) -> None:
        assert len(s1.rows("SUBMIT JOB COMPACT; SHOW JOBS")) == 1
        assert s1.rows("RECOVER JOB 4, 5") == [[0]]
        assert s1.rows("show jobs # comment") == s1.rows("SHOW JOBS")


class TestStopAndRecover:
    def test_fact_13_a_queued_job_stopped_has_equal_times(self, cluster: Cluster, s1: Console) -> None:
        submit(s1)
        queued = submit(s1, "FLUSH")
        s1.rows(f"STOP JOB {queued}")
        assert s1.job(queued)[2:] == ["STOPPED", cluster.now, cluster.now, "E_JOB_SUBMITTED"]

    def test_fact_14_a_running_compact_cannot_be_stopped(self, s1: Console) -> None:
        number = submit(s1)
        assert s1.refusal(f"STOP JOB {number}") == ("E_EXECUTION_ERROR", NOT_STOPPABLE)
        assert s1.job(number)[2] == "RUNNING"

    def test_fact_15_a_second_stop_moves_the_stop_time(self, cluster: Cluster, s1: Console) -> None:
        submit(s1)
        queued = submit(s1, "FLUSH")
        s1.rows(f"STOP JOB {queued}")
        cluster.tick(2)
        assert s1.rows(f"STOP JOB {queued}") == [["Job stopped"]]
        assert s1.job(queued)[4] == cluster.now
        done = cluster.ended_job("s1")
        assert s1.refusal(f"STOP JOB {done}") == ("E_EXECUTION_ERROR", ALREADY_ENDED)

    def test_fact_16_recover_takes_one_of_each_command(self, cluster: Cluster, s1: Console) -> None:
        failed = [cluster.ended_job("s1", kind, "FAILED") for kind in ("COMPACT", "FLUSH", "COMPACT", "FLUSH")]
        assert s1.rows("RECOVER JOB") == [[2]]
        assert [s1.job(number)[2] for number in failed] == ["RUNNING", "QUEUE", "FAILED", "FAILED"]
        assert s1.rows(f"RECOVER JOB {failed[2]}") == [[0]]  # an identical one is in flight
        finished = cluster.ended_job("s1")
        assert s1.rows(f"RECOVER JOB {finished}, 99") == [[0]]

    def test_fact_17_a_recovered_job_keeps_its_old_times(self, cluster: Cluster, s1: Console) -> None:
        number = cluster.ended_job("s1", "COMPACT", "FAILED")
        old = s1.job(number)[4]
        cluster.tick(60)
        cluster.holds_queue = True
        s1.rows(f"RECOVER JOB {number}")
        assert s1.job(number)[2:5] == ["QUEUE", old, old]
        cluster.run_queue()
        assert s1.job(number)[2:5] == ["RUNNING", cluster.now, old]
        assert isinstance(old, datetime)
        assert old < cluster.now


class TestErrors:
    def test_fact_18_a_job_of_another_space_does_not_exist(self, cluster: Cluster, s1: Console) -> None:
        other = cluster.ended_job("s2")
        for text in (f"SHOW JOB {other}", f"STOP JOB {other}", "SHOW JOB 99"):
            assert s1.refusal(text) == ("E_EXECUTION_ERROR", NOT_IN_SPACE)
        assert s1.refusal("SHOW JOB 0") == ("E_EXECUTION_ERROR", "Invalid param!")

    def test_fact_19_without_a_space_nothing_goes(self, cluster: Cluster) -> None:
        console = Console(cluster)
        for text in ("SHOW JOBS", "SHOW JOB 4", "SUBMIT JOB FLUSH", "STOP JOB 4", "RECOVER JOB"):
            assert console.refusal(text) == ("E_SEMANTIC_ERROR", "SemanticError: Space was not chosen.")
        assert console.refusal("USE nosuch") == ("E_EXECUTION_ERROR", "SpaceNotFound: SpaceName `nosuch`")

    def test_fact_19_a_dropped_space_is_chosen_no_longer(self, cluster: Cluster, s1: Console) -> None:
        cluster.execute(s1.session, "DROP SPACE s1")
        assert s1.refusal("SHOW JOBS")[0] == "E_SEMANTIC_ERROR"
        assert s1.refusal("USE s1") == ("E_EXECUTION_ERROR", "SpaceNotFound: Space not existed!")

    def test_fact_20_an_error_has_no_comment_and_the_sessions_space(self, cluster: Cluster) -> None:
        with stock_client(cluster) as (client, session):
            client.execute(session, "USE s1")
            refused = client.execute(session, "SHOW JOB 99")
            assert (refused.error_code, refused.comment, refused.space_name) == (-1005, None, b"s1")


class TestFailures:
    def test_fact_21_a_killed_host_keeps_the_job_running(self, cluster: Cluster, s1: Console) -> None:
        number = submit(s1)
        cluster.kill(HOSTS[1])
        cluster.finish(number)
        cluster.tick(3600)
        assert s1.job(number)[2] == "RUNNING"
        assert [task[2] for task in s1.tasks(number)] == ["FINISHED", "RUNNING", "FINISHED"]
        assert s1.refusal(f"STOP JOB {number}") == ("E_EXECUTION_ERROR", NOT_STOPPABLE)
        host = next(row for row in s1.rows("SHOW HOSTS") if row[1] == 9789)
        assert host[2:6] == ["OFFLINE", 0, "No valid partition", "s1:10, s2:10"]
        flush = submit(s1, "FLUSH")
        assert (s1.job(flush)[2], submit(s1)) == ("QUEUE", number)
        cluster.restart(HOSTS[1])
        assert (s1.job(number)[2], s1.job(number)[5]) == ("FAILED", "E_TASK_EXECUTION_FAILED")
        # the flush ran within the same second, before the host could be reached
        assert (s1.job(flush)[2], s1.job(flush)[5]) == ("FAILED", "E_RPC_FAILURE")

    def test_fact_22_a_submit_with_a_host_down_fails_early(self, cluster: Cluster, s1: Console) -> None:
        cluster.kill(HOSTS[1])
        number = submit(s1)
        early = s1.job(number)
        assert (early[2], early[4], early[5]) == ("FAILED", cluster.now, "E_RPC_FAILURE")
        assert [task[2] for task in s1.tasks(number)] == ["RUNNING", "FAILED", "RUNNING"]
        cluster.tick(18)
        cluster.finish(number)
        assert s1.job(number)[2:5] == ["FAILED", early[3], cluster.now]

    def test_fact_23_a_metad_that_is_away_fails_every_statement(self, cluster: Cluster, s1: Console) -> None:
        cluster.metad_away = True
        for text in ("SHOW SPACES", "SHOW HOSTS", "SHOW JOBS", "SUBMIT JOB FLUSH"):
            assert s1.refusal(text) == ("E_EXECUTION_ERROR", METAD_LOST)
        with pytest.raises(GraphdError, match="Create session failed"):
            cluster.log_in("root", "nebula")
        cluster.metad_away = False
        assert s1.rows("SHOW JOBS") == []

    def test_fact_24_a_metad_that_restarts_forgets_what_runs(self, cluster: Cluster, s1: Console) -> None:
        number = submit(s1)
        flush = submit(s1, "FLUSH")
        cluster.restart_metad()
        assert (s1.job(number)[2], s1.job(flush)[2]) == ("RUNNING", "RUNNING")
        assert submit(s1) != number  # an identical one at the same time
        assert s1.rows(f"STOP JOB {number}") == [["Job stopped"]]
        assert (s1.job(number)[2], s1.tasks(number)[0][2]) == ("STOPPED", "RUNNING")
        cluster.finish(number)
        assert s1.job(number)[2] == "FINISHED"

    def test_fact_25_a_session_can_be_killed(self, cluster: Cluster, s1: Console) -> None:
        cluster.expire_sessions()
        code, words = s1.refusal("SHOW JOBS")
        number = s1.session
        assert code == "E_SESSION_INVALID"
        assert words == f"Get sessionId[{number}] failed: Session `{number}' not found: Session not existed!"

    def test_fact_25_a_graphd_that_was_killed_and_a_wrong_password(self, cluster: Cluster) -> None:
        with GraphdDouble(cluster) as graphd:
            connection = Connection()
            connection.open("127.0.0.1", graphd.port, 10_000)
            session = connection.authenticate("root", "nebula").get_session_id()
            graphd.down()
            with pytest.raises(IOErrorException):
                connection.execute(session, "SHOW SPACES")
            graphd.up()
            with pytest.raises(IOErrorException, match="Unknown client type"):  # its transport is in disorder
                connection.execute(session, "SHOW SPACES")
            again = Connection()
            again.open("127.0.0.1", graphd.port, 10_000)
            with pytest.raises(AuthFailedException):
                again.authenticate("root", "wrong")
            again.close()

    def test_stopped_rebuild_fails_as_canceled(self, cluster: Cluster, s1: Console) -> None:
        cluster.spaces["s1"].indexes.add("ti")
        ((number,),) = s1.rows("REBUILD TAG INDEX ti")
        assert isinstance(number, int)
        s1.rows(f"STOP JOB {number}")
        assert (s1.job(number)[2], s1.tasks(number)[0][2]) == ("STOPPED", "RUNNING")
        cluster.tick(1)
        assert (s1.job(number)[2], s1.job(number)[5]) == ("FAILED", "E_USER_CANCEL")

    def test_leader_balance_has_no_tasks(self, cluster: Cluster, s1: Console) -> None:
        number = submit(s1, "BALANCE LEADER")
        cluster.finish(number)
        assert (s1.job(number)[2], s1.tasks(number)) == ("FINISHED", [])


class TestRoles:
    def test_fact_26_guest_may_only_read(self, cluster: Cluster) -> None:
        cluster.users["gst"] = "gst"
        cluster.guests.add("gst")
        console = Console(cluster, "gst", "gst")
        cluster.execute(console.session, "USE s1")
        assert console.rows("SHOW JOBS") == []
        words = "PermissionError: No permission to write data."
        for text in ("SUBMIT JOB FLUSH", "STOP JOB 4", "RECOVER JOB"):
            assert console.refusal(text) == ("E_BAD_PERMISSION", words)

    def test_fact_26_refused_use_keeps_the_sessions_space(self, cluster: Cluster) -> None:
        cluster.users["usr"] = "usr"
        cluster.roles["usr"] = {"s1"}
        number = cluster.ended_job("s1")
        console = Console(cluster, "usr", "usr")
        cluster.execute(console.session, "USE s1")
        words = "PermissionError: No permission to read space."
        assert console.refusal("USE s2") == ("E_BAD_PERMISSION", words)
        assert [row[0] for row in console.rows("SHOW JOBS")] == [number]  # of s1
        assert console.rows("SHOW SPACES") == [["s1"]]
        hosts = console.rows("SHOW HOSTS")  # these name all spaces to every user
        assert [row[5] for row in hosts] == ["s1:10, s2:10"] * 3  # and no row of sums


FLAGS = {
    "rocksdb_rate_limit": "1",
    "enable_rocksdb_statistics": "1",
    "heartbeat_interval_secs": "2",
    "port": "9799",
    "ws_http_port": "19799",
}


class TestStoraged:
    """Fact 27, and the HTTP port as it was recorded."""

    @pytest.mark.parametrize(
        "record",
        [
            record
            for record in captures("storaged.jsonl")
            if "body cut" not in record["note"] and "cfstats" not in record["path"]
        ],
        ids=lambda record: record["path"][:60],
    )
    def test_double_answers_as_the_real_one(self, record: dict[str, object]) -> None:
        path = str(record["path"])
        with StoragedDouble({"s1", "s2", "s3", "%41"}) as storaged:
            storaged.statistics = {"rocksdb.bytes.written": 6617576}
            storaged.counters = {"num_rpc_sent_to_metad.sum.60": 32}
            storaged.flags = FLAGS
            status, reason, body = ask(storaged, str(record["method"]), path)
        assert (status, reason) == (record["status"], record["reason"])
        if "rocksdb_stats" in path or "body cut" in str(record["note"]):
            return
        if status == 200 and "rocksdb_property" in path:
            given, real = json.loads(body), json.loads(str(record["body"]))
            assert [list(one) for one in given] == [list(one) for one in real]
        else:
            assert body == record["body"]

    def test_connection_is_kept(self) -> None:
        with StoragedDouble({"s1"}) as storaged:
            connection = http.client.HTTPConnection("127.0.0.1", storaged.port)
            for _ in range(2):
                connection.request("GET", "/status")
                answer = connection.getresponse()
                assert (answer.version, answer.read()) == (
                    11,
                    b'{"git_info_sha":"fa928930a","status":"running"}',
                )
            connection.close()

    def test_statistics_are_off_by_default(self) -> None:
        with StoragedDouble({"s1"}) as storaged:
            assert ask(storaged, "GET", "/rocksdb_stats?stats=rocksdb.bytes.written") == (200, "OK", "")


def ask(storaged: StoragedDouble, method: str, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", storaged.port)
    connection.request(method, quote(path, safe="/?=&%.,"))
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.reason, body


class stock_client:  # noqa: N801
    """The stock client's service and a session of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._graphd = GraphdDouble(cluster)

    def __enter__(self) -> tuple[Connection, int]:
        self._connection = Connection()
        self._connection.open("127.0.0.1", self._graphd.port, 10_000)
        return self._connection, self._connection.authenticate("root", "nebula").get_session_id()

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._graphd.down()
