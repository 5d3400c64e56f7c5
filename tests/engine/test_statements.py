"""Every accepted text of the corpus, executed by an engine, and every form of a schedule on real databases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.schedules import RunOutcome
from jobtui.language.results import format_json
from jobtui.model import Status
from tests.language.test_corpus import corpus, text_of
from tests.support.adoptable import adoptable, content, set_option
from tests.support.engines import open_bench
from tests.support.real_engines import TWO, RealBench, real_bench
from tests.support.scripted import ScriptedStorage

SPACES = ("nba", "chain", "pause", "schedule", "rate")
REFUSALS = (
    "does not exist",
    "is not on host",
    "exists already",
    "has already",
    "is not paused",
    "is archived",
    "is not archived",
    "Space was not chosen",
    "The range",
    "have no storage",
    "is still",
    "does not report",
    "is not possible",
    "nothing to run again",
)
"""What an engine with other spaces, hosts and jobs may answer instead."""


def test_no_accepted_text_is_left_without_an_execution(tmp_path: Path) -> None:
    storage = ScriptedStorage(dict.fromkeys(SPACES, ("local0", "local1")), auto=True)
    texts = [text_of(row) for row in corpus() if row["ok"] and len(text_of(row)) < 10_000]
    with open_bench(tmp_path, storage) as bench:
        bench.execute("ADMIN FLUSH nba; USE nba")
        for text in texts:
            failure = bench.execute(text).failure
            if failure is not None:
                assert any(refusal in failure.message for refusal in REFUSALS), (text, failure.message)


class TestScheduleOnRealDatabases:
    @pytest.mark.timeout(120)
    def test_every_option_runs(self, tmp_path: Path) -> None:
        """Each form is created, run by hand, and ends as its statement would."""
        forms = {
            "plain": 'AT "30 2 * * *" DO ADMIN COMPACT nba',
            "window": 'AT "@daily" UNTIL "06:00" WITH timezone = "Europe/Berlin" DO ADMIN FLUSH nba',
            "turns": 'AT "*/5 1-3 * jan-mar mon-fri" DO ADMIN COMPACT nba WITH rolling = 1, wait = 1 s, '
            "order = largest, on_failure = stop, retry = 1, retry_wait = 1 s",
            "part": 'AT "0 0 29 2 *" DO ADMIN COMPACT nba ON h2 WITH family = "default", from = "0", to = 0xff,'
            ' rate = 50 MiB, room = 10%, because = "all at once"',
            "condition": 'AT "@weekly" DO ADMIN COMPACT nba IF l0_files > 50',
        }
        with real_bench(tmp_path, hosts=dict(TWO)) as bench:
            bench.execute("CREATE SPACE nba")
            bench.fill("nba", 0.2)
            for name, form in forms.items():
                assert bench.execute(f"CREATE SCHEDULE {name} {form}").failure is None, name
            jobs = {}
            for name in forms:
                job = jobs[name] = bench.done(f"RUN SCHEDULE {name}")
                assert (job.status, job.schedule) == (Status.FINISHED, name), job.reason
            rows = shown(bench)
            assert {row["Schedule"]: row["runs"][-1]["outcome"] for row in rows} == dict.fromkeys(
                forms, RunOutcome.SUBMITTED
            )
            assert [task.host for task in jobs["part"].tasks] == ["h2"]
            assert "not needed" in str(next(row for row in rows if row["Schedule"] == "condition")["Result"])

    def test_space_that_can_no_longer_be_worked_on(self, tmp_path: Path) -> None:
        """A database of another program that became unsafe, one that is gone, and a space that was dropped."""
        database = adoptable(tmp_path / "theirs")
        with real_bench(tmp_path / "root", hosts={"h1": None}) as bench:
            bench.execute(f'CREATE SPACE refused AT "{database}"; CREATE SPACE gone; CREATE SPACE dropped')
            for name in ("refused", "gone", "dropped"):
                assert (
                    bench.execute(f'CREATE SCHEDULE {name} AT "@daily" DO ADMIN COMPACT {name}').failure is None
                )
            bench.execute("DROP SPACE dropped")
            failure = bench.execute("RUN SCHEDULE dropped").failure
            assert failure is not None
            assert failure.message == "Space 'dropped' does not exist"
            set_option(database, "merge_operator", "my.Sum", "CFOptions")
            before = content(database)
            shutil.rmtree(tmp_path / "root" / "storage" / "h1" / "gone")
            for name, reason in (("gone", "database"), ("refused", "my.Sum")):
                job = bench.done(f"RUN SCHEDULE {name}")
                assert job.status is Status.FAILED
                assert reason in job.reason
                result = next(row for row in shown(bench) if row["Schedule"] == name)["Result"]
                assert str(result).startswith(f"job {job.id} failed: ")
            assert content(database) == before


class TestParts:
    """ON, family, from and to together, through a pause, the death of the owner, and both kinds of RECOVER."""

    PART = 'family = "default", from = "00002000", to = "00010000"'

    @pytest.mark.timeout(120)
    def test_part_of_one_host_is_continued(self, tmp_path: Path) -> None:
        profile = Profile("local", tmp_path, hosts=dict(TWO), step_size=256 << 10)
        engine = LocalClient.open(profile)
        try:
            bench = RealBench(engine)
            bench.execute("CREATE SPACE nba")
            held = bench.fill("nba", 12, layers=1)
            bench.done("ADMIN COMPACT nba")
            whole = bench.done(f"ADMIN COMPACT nba ON h2 WITH {self.PART}").tasks[0].steps
            assert whole is not None
            assert whole.total > 4
            bench.execute("SET RATE 512 KiB")
            (number,) = bench.submitted(f"ADMIN COMPACT nba ON h2 WITH {self.PART}, rate = 1 MiB")
            bench.events.wait_for(lambda: (steps := bench.engine.job(number).tasks[0].steps) and steps.done)  # type: ignore[union-attr]  # it is there
            bench.execute(f"PAUSE JOB {number}")
            bench.events.wait_for(lambda: bench.engine.job(number).tasks[0].status is Status.QUEUE)  # type: ignore[union-attr]  # it is there
            paused = bench.engine.job(number).tasks[0].steps  # type: ignore[union-attr]  # it is there
            assert paused is not None
            assert 0 < paused.done < paused.total
            bench.execute(f"RESUME JOB {number}")
            bench.events.wait_for(lambda: bench.engine.job(number).tasks[0].steps.done > paused.done)  # type: ignore[union-attr]  # it is there
        finally:
            engine.close()  # as a kill leaves the history
        engine = LocalClient.open(profile)
        try:
            bench = RealBench(engine)
            left = bench.engine.job(number)
            assert left is not None
            assert left.status is Status.FAILED
            kept = left.tasks[0].steps
            assert kept is not None
            rest = bench.done(f"RECOVER JOB {number} WITH failed_only = true")
            assert [(task.host, task.status) for task in rest.tasks] == [("h2", Status.FINISHED)]
            end = rest.tasks[0].steps
            assert end is not None
            assert end.done == end.total > kept.done > 0
            assert end.read - kept.read < whole.read  # only the rest was read
            again = bench.done(f"RECOVER JOB {number} WITH whole = true").tasks[0].steps
            assert again is not None
            assert again.read >= 0.9 * whole.read
            assert bench.dump() == held
        finally:
            engine.close()


def shown(bench: RealBench) -> list[dict[str, object]]:
    (result,) = json.loads(format_json(bench.execute("SHOW SCHEDULES").results))
    return list(result["rows"])
