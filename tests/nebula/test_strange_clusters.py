"""Unusual clusters: clocks that are hours off, equal ids, odd names, users without rights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Status
from jobtui.storage.nebula import ngql
from jobtui.storage.nebula.ngql import NgqlTable
from jobtui.storage.nebula.settings import Address
from jobtui.tui.tabs.summary import elapsed
from tests.nebula.test_host_work import figures
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import failure, job_manager, run
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_product import ClusterBench, Hours, working_on
from tests.support.nebula_records import JobRecord, Rows
from tests.support.storaged_double import StoragedDouble

LIST = ("Job Id", "Command", "Status", "Start Time", "Stop Time")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster({"nba": ["h"], "test2": ["h"]})


@pytest.fixture
def prod(cluster: Cluster, tmp_path: Path) -> Iterator[ClusterBench]:
    with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path) as bench:
        bench.caught_up()
        yield bench


class TestClock:
    @pytest.mark.parametrize("hours", [-30, 9])
    def test_hours_off_changes_no_duration_and_no_size(self, tmp_path: Path, hours: int) -> None:
        cluster = Cluster({"nba": ["h"]})
        cluster.now = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
        with StoragedDouble({"nba"}) as storaged, GraphdDouble(cluster) as graphd:
            addresses = {"h": Address("127.0.0.1", storaged.port)}
            with working_on(graphd, root=tmp_path, storaged=addresses) as prod:
                prod.caught_up()
                storaged.engines["nba"] = [figures(3)]
                prod.execute("ADMIN COMPACT nba")
                prod.events.until(1, Status.RUNNING)
                storaged.engines["nba"] = [figures(0, size=4 << 20)]
                cluster.tick(7)
                cluster.finish(1)
                job = prod.events.until(1, Status.FINISHED)
                assert (job.stop, job.took, job.tasks[0].took) == (cluster.now, 7.0, 7.0)
                assert job.tasks[0].reclaimed == 5 << 20
                times = [event.at for event in job.events]
                assert times == sorted(times)
            with working_on(graphd, root=tmp_path, storaged=addresses) as prod:
                prod.caught_up()
                assert (prod.engine.history.last_id(), prod.job(1).status) == (1, Status.FINISHED)

    @pytest.mark.parametrize("hours_off", [-9, 0, 9])
    def test_hours_off_does_not_age_a_job_of_another_client(self, tmp_path: Path, hours_off: int) -> None:
        cluster = Cluster({"nba": ["h"]})
        hours = Hours(cluster)
        cluster.now = hours.clock.now() + timedelta(hours=hours_off)
        with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path, clock=hours.clock) as prod:
            prod.caught_up()
            cluster.submit("nba", "STATS")
            began = cluster.now
            hours.poll()
            job = prod.events.until(1, Status.RUNNING)
            assert job.start == began
            ran = elapsed(job, hours.clock.now())
            assert ran is not None
            assert ran <= hours.passed
            cluster.finish(1)
            took = (cluster.now - began).total_seconds()
            hours.poll()
            assert prod.events.until(1, Status.FINISHED).took == took


class TestEqualIds:
    def test_of_two_spaces_are_two_jobs(self, prod: ClusterBench, cluster: Cluster) -> None:
        first = cluster.ended_job("nba", "COMPACT", "FAILED")
        record = cluster.spaces["nba"].jobs[first]
        twin = JobRecord(first, "FLUSH", (), "FAILED", record.start, record.stop, "E_UNKNOWN", record.tasks)
        cluster.spaces["test2"].jobs[first] = twin
        prod.events.wait_for(lambda: prod.engine.history.last_id() == 2)
        found = {job.space: job for job in (prod.job(1), prod.job(2))}
        assert [(found[space].command, found[space].reason) for space in ("nba", "test2")] == [
            ("compact", "E_RPC_FAILURE"),
            ("flush", "E_UNKNOWN"),
        ]
        prod.rows(f"RECOVER JOB {found['test2'].id}")
        again = prod.events.until(3, Status.RUNNING)
        assert (again.space, again.recovered_from) == ("test2", found["test2"].id)
        assert (record.status, prod.job(found["nba"].id)) == ("FAILED", found["nba"])


class TestRights:
    def test_guest_can_read_but_not_change(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.guests.add("root")
        cluster.submit("nba", "COMPACT")
        prod.events.until(1, Status.RUNNING)
        words = "PermissionError: No permission to write data."
        assert prod.refusal("ADMIN FLUSH test2") == f"The cluster refused flush test2 (job 2): {words}"
        assert prod.job(2).reason == f"the cluster refused it: {words}"
        assert words in prod.refusal("STOP JOB 1")
        assert (prod.job(1).status, prod.job(1).stopping) == (Status.RUNNING, False)
        cluster.finish(1, code="E_UNKNOWN")
        prod.events.until(1, Status.FAILED)
        assert words in prod.refusal("RECOVER JOB 1")
        assert [row[2] for row in prod.rows("SHOW JOBS")] == ["failed", "stopped", "stopped"]


class TestAnswers:
    def test_answer_about_another_job_is_refused(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            with GraphdDouble(cluster) as graphd:
                async with job_manager(graphd) as manager:
                    job = await manager.submit("flush", "nba")
                    other = JobRecord(job + 1, "COMPACT")
                    monkeypatch.setattr(cluster, "_job_there", lambda session, job_id: other)
                    error = await failure(manager.show("nba", job))
                    assert (error.code, error.detail) == (
                        ErrorCode.UNSUPPORTED,
                        f"graphd answered about job {job + 1} instead",
                    )

        run(test())

    @pytest.mark.parametrize("cell", [None, "", 7, True])
    def test_name_that_is_no_text_is_refused(self, cell: ngql.Cell) -> None:
        columns = ("Host", "Port", "Status", "Partition distribution")
        for parse in (
            lambda: ngql.parse_jobs(NgqlTable(LIST, ((7, cell, "RUNNING", None, None),))),
            lambda: ngql.parse_spaces(NgqlTable(("Name",), ((cell,),)), NgqlTable(columns)),
            lambda: ngql.parse_hosts(NgqlTable(columns, ((cell, 9779, "ONLINE", ""),))),
        ):
            with pytest.raises(StorageError, match="for a name"):
                parse()

    def test_task_without_a_host_is_shown_so(self) -> None:
        rows = ((7, "COMPACT", "RUNNING", None, None), (0, None, "RUNNING", None, None))
        (task,) = ngql.parse_job(NgqlTable(LIST, rows), 7).tasks or ()
        assert task.host == "unknown host"

    def test_more_columns_and_gaps_in_ids_change_nothing(
        self, prod: ClusterBench, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show_jobs = cluster._show_jobs

        def with_more(session: object) -> Rows:
            table = show_jobs(session)  # type: ignore[arg-type]  # as the double passes it
            return Rows(["Owner", *table.columns, "Progress"], [[None, *row, None] for row in table.rows])

        monkeypatch.setattr(cluster, "_show_jobs", with_more)
        for _ in range(3):
            cluster.create_space("gap", ["h"])  # spaces draw from the same counter
            cluster.ended_job("nba")
        prod.events.wait_for(lambda: prod.engine.history.last_id() == 3)
        ids = [job.origin.id for number in (1, 2, 3) if (job := prod.job(number)).origin is not None]
        assert ids == [2, 4, 6]


@pytest.mark.parametrize("name", ["two words", "图谱`tick", "a, b:10", "x" * 255, "'quoted'", "Ünï code"])
def test_name_of_any_characters_is_followed_to_the_end(tmp_path: Path, name: str) -> None:
    cluster = Cluster({name: ["h", "h2"], "nba": ["h"]})
    quoted = name.replace("`", "``")
    with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path) as prod:
        prod.caught_up()
        assert prod.rows(f"ADMIN COMPACT `{quoted}`") == [("1",)]
        prod.events.until(1, Status.RUNNING)
        cluster.finish(1, host="h", code="E_UNKNOWN")
        cluster.finish(1)
        assert prod.events.until(1, Status.FAILED).space == name
        prod.rows("RECOVER JOB 1")
        prod.events.until(2, Status.RUNNING)
        assert [row[0] for row in prod.rows(f"SHOW JOBS IN `{quoted}`")] == ["1", "2"]
