"""The write limit that is in force for a job, and its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.model import TaskProgressed
from tests.support.engines import WAIT, Bench, EventLog, open_bench
from tests.support.scripted import ScriptedStorage

MIB = 1 << 20


def limit(bench: Bench, job_id: int = 1) -> tuple[object, object]:
    values = bench.execute(f"SHOW JOB {job_id}").results[0].rows[0].values
    return values["write_limit"], values["limited_by"]


@pytest.mark.parametrize("profile_rate", [None, 9 * MIB])
def test_last_limit_replaces_that_of_the_statement(tmp_path: Path, profile_rate: int | None) -> None:
    storage = ScriptedStorage({"nba": ("h0",), "solo": ("h1",)})
    with open_bench(tmp_path, storage, compact_rate=profile_rate) as bench:
        by = bench.session.requested_by
        bench.execute("ADMIN COMPACT nba; ADMIN COMPACT solo WITH rate = 3 MiB")
        assert limit(bench) == ((9 * MIB, "compact_rate of the profile") if profile_rate else (None, ""))
        assert limit(bench, 2) == (3 * MIB, "rate of the statement")
        bench.execute("SET RATE 5 MiB")
        assert limit(bench) == limit(bench, 2) == (5 * MIB, f"{by}, for all jobs")
        bench.execute("SET RATE 1 MiB FOR JOB 2")
        assert limit(bench) == (5 * MIB, f"{by}, for all jobs")
        assert limit(bench, 2) == (MIB, by)
        bench.execute("SET RATE OFF")
        assert limit(bench) == limit(bench, 2) == (0, f"{by}, for all jobs")


def test_ended_jobs_and_flushes_have_no_limit(tmp_path: Path) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h0",), "solo": ("h1",)})) as bench:
        bench.execute("SET RATE 5 MiB; ADMIN COMPACT nba; ADMIN FLUSH solo")
        bench.storage.operation("nba", "h0").finish()
        bench.engine.wait_ended([1]).result(WAIT)
        assert limit(bench) == limit(bench, 2) == (None, "")


def test_jobs_are_published_with_their_limit_and_stored_without(tmp_path: Path) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h0",)})) as bench:
        bench.execute("ADMIN COMPACT nba; SET RATE 5 MiB")
        bench.events.wait_for(lambda: bench.events.jobs(1)[-1].write_limit == 5 * MIB)
        assert bench.job(1).write_limit == 5 * MIB
        stored = bench.engine.history.get(1)
        assert stored is not None
        assert (stored.write_limit, stored.limited_by) == (None, "")


def test_list_of_jobs_does_not_claim_that_none_is_limited(tmp_path: Path) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h0",)})) as bench:
        bench.execute("ADMIN COMPACT nba; SET RATE 5 MiB")
        row = bench.execute("SHOW JOBS").results[0].rows[0]
        assert {"write_limit", "limited_by"}.isdisjoint(row.values)


def test_other_processes_get_the_limit_with_the_progress(tmp_path: Path) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h0",)})) as bench:
        bench.execute("SET RATE 5 MiB; ADMIN COMPACT nba")
        remote = RemoteClient.connect(Profile("local", tmp_path))
        events = EventLog(remote)
        bench.storage.operation("nba", "h0").progress(0.5)
        events.until_published(TaskProgressed, task=0)
        assert [job.write_limit for job in remote.active_jobs()] == [5 * MIB]
        remote.close()
