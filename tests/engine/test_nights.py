"""Two nights of a schedule on real databases, by a clock of the test: turns, a killed host, and a window."""

from __future__ import annotations

import json
import os
import random
import signal
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from jobtui.engine import schedule_runner
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.language.results import format_json, format_table
from jobtui.model import EventKind, Job, Status, TaskProgressed
from tests.support.clock import FakeClock
from tests.support.real_engines import RealBench

HOSTS = ("h1", "h2", "h3")
NIGHTLY = (
    'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" WITH timezone = "UTC" DO ADMIN COMPACT nba '
    'WITH rolling = 1, wait = 5 min, retry = 2, because = "churn"'
)
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
STEP = 256 << 10
NIGHT, DAWN = datetime(2026, 3, 11, 2, 30, tzinfo=UTC), datetime(2026, 3, 11, 6, 0, tzinfo=UTC)
NEXT_NIGHT = datetime(2026, 3, 12, 2, 30, tzinfo=UTC)
CHECK_SECONDS = 29.5  # no other coroutine sleeps for so long
PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"
SLOW = "SET RATE 256 KiB"  # a step takes a second, so that something can happen in it


class Nights(RealBench):
    """An engine over real databases with a clock of the test, and the job of its schedule."""

    def __init__(self, engine: LocalClient, clock: FakeClock) -> None:
        super().__init__(engine)
        self.clock = clock
        self.job_id = 0

    @property
    def job(self) -> Job:
        job = self.engine.job(self.job_id)
        assert job is not None
        return job

    def until_ended(self, host: str) -> None:
        number = HOSTS.index(host)
        self.events.wait_for(lambda: self.job.tasks[number].status is Status.FINISHED)

    def until_step(self, host: str, after: int = 0) -> None:
        """Wait until the host has finished more than this many steps."""
        number = HOSTS.index(host)
        self.events.wait_for(
            lambda: any(
                isinstance(m, TaskProgressed)
                and (m.job.id, m.task) == (self.job_id, number)
                and (steps := m.job.tasks[number].steps) is not None
                and steps.done > after
                for m in self.events.messages
            )
        )

    def pass_wait(self, seconds: float) -> None:
        """Move the clock once the engine waits for so long."""
        self.clock.wait_for_sleep(seconds)
        self.clock.advance(seconds)

    def pass_to(self, moment: datetime) -> None:
        self.clock.advance((moment - self.clock.now()).total_seconds())

    def table(self, text: str) -> str:
        """The answer as a box."""
        (result,) = self.execute(text).results
        return format_table(result)

    def shown(self) -> dict[str, object]:
        """The schedule, as SHOW SCHEDULES in JSON has it."""
        (result,) = json.loads(format_json(self.execute("SHOW SCHEDULES").results))
        return dict(result["rows"][0])


@pytest.mark.timeout(180)
def test_window_closes_and_next_night_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_runner, "CHECK_SECONDS", CHECK_SECONDS)
    clock = FakeClock(NOON)
    profile = Profile("local", tmp_path, hosts=dict.fromkeys(HOSTS), step_size=STEP)
    engine = LocalClient.open(profile, clock=clock)
    try:
        nights = Nights(engine, clock)
        nights.execute("CREATE SPACE nba")
        rng = random.Random(1)
        held = [(b"%08d" % number, rng.randbytes(500)) for number in range(12_000)]
        for _ in range(2):
            engine.load("nba", held).result(60)
            nights.done("ADMIN FLUSH nba")
        nights.done("ADMIN COMPACT nba")  # into many files, for steps
        nights.execute(NIGHTLY)
        nights.job_id = engine.history.last_id() + 1

        # 02:30: the first host compacts, the others wait for their turns
        clock.wait_for_sleep(CHECK_SECONDS)
        nights.pass_to(NIGHT)
        nights.events.until(nights.job_id, Status.RUNNING)
        nights.until_ended("h1")
        assert [task.status for task in nights.job.tasks[1:]] == [Status.QUEUE, Status.QUEUE]

        # the second is killed in the midst of its work; the third waits for it and for its own turn
        nights.execute(SLOW)
        nights.pass_wait(300)
        nights.until_step("h2")
        os.kill(nights.worker("h2"), signal.SIGKILL)
        nights.events.wait_for(lambda: nights.job.tasks[1].not_before is not None)
        killed = nights.job.tasks[1].steps
        assert killed is not None
        assert 0 < killed.done < killed.total  # what is done stays done

        # 06:00: the window ends while the second is at work again
        nights.pass_wait(60)
        nights.until_step("h2", after=killed.done)
        nights.pass_to(DAWN)
        nights.events.wait_for(lambda: nights.job.paused and nights.job.tasks[1].status is Status.QUEUE)
        left = nights.job.tasks[1].steps
        assert left is not None
        assert killed.done < left.done < left.total
        assert nights.shown()["Result"] == f"job {nights.job_id} paused 1/3"
        tables = [nights.table("SHOW SCHEDULES"), nights.table(f"SHOW JOB {nights.job_id}")]

        # the next night continues after that step
        nights.execute("SET RATE OFF")
        clock.wait_for_sleep(CHECK_SECONDS)
        nights.pass_to(NEXT_NIGHT)
        nights.until_ended("h2")
        nights.pass_wait(300)
        (job,) = nights.ended(nights.job_id)
        row = nights.shown()
        tables += [nights.table("SHOW SCHEDULES"), nights.table(f"SHOW JOB {nights.job_id}")]
        after = nights.dump()
    finally:
        engine.close()
    check_job(job, left.read)
    check_schedule(row, job.id)
    assert after == held
    page = PAGE.read_text(encoding="utf-8")
    for table in tables:
        assert table in page


def check_job(job: Job, read: int) -> None:
    assert job.status is Status.FINISHED
    last = job.tasks[1]
    assert last.steps is not None
    assert last.before is not None
    assert last.attempts == 3  # killed, paused, and to its end
    assert read < last.steps.read <= last.before.bytes + STEP  # only the rest was read again
    kinds = [event.kind for event in job.events]
    assert kinds.count(EventKind.RETRIED) == 1
    paused = next(event for event in job.events if event.kind is EventKind.PAUSED)
    assert paused.reason == "its window ended at 06:00; continues Thu 02:30"
    starts = [(event.task, event.at) for event in job.events if event.kind is EventKind.TASK_STARTED]
    assert [task for task, _ in starts] == [0, 1, 1, 1, 2]
    for number, (_, begun) in ((0, starts[1]), (1, starts[4])):
        ended = job.tasks[number].stop
        assert ended is not None
        assert (begun - ended).total_seconds() >= 300


def check_schedule(row: dict[str, object], job_id: int) -> None:
    runs = msgspec.convert(row["runs"], list[dict[str, object]])
    assert [(run["at"], run["outcome"], run["job"]) for run in runs] == [
        ("2026-03-11T02:30:00+00:00", "submitted", job_id),
        ("2026-03-12T02:30:00+00:00", "continued", job_id),
    ]
    assert row["Result"] == f"job {job_id} finished"
    assert row["Next"] == "2026-03-13T02:30:00+00:00"
