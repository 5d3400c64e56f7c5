"""The line that describes an ended job, and the exit status."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from jobtui.cli.errors import Exit
from jobtui.cli.output import describe_outcome, report_outcomes
from jobtui.model import EventKind, Job, JobEvent, Level, SpaceStats, Status, Task

AT = datetime(2020, 1, 1, tzinfo=UTC)
GIB = 1 << 30


def ended(command: str = "compact", status: Status = Status.FINISHED, reason: str = "", *tasks: Task) -> Job:
    return Job(3, command, "nba", AT, status=status, reason=reason, took=2.44, tasks=tasks)


def task(number: int, before: SpaceStats | None, after: SpaceStats | None) -> Task:
    return Task(number, f"local{number}", status=Status.FINISHED, before=before, after=after)


def on_disk(size: int) -> SpaceStats:
    return SpaceStats((Level(1, size),))


SMALLER = (task(0, on_disk(GIB), on_disk(GIB // 2)), task(1, on_disk(GIB), on_disk(GIB // 4)))


ASKED = JobEvent(AT, EventKind.STOP_ASKED, reason="wrong space", requested_by="anna@db1, script")


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (
            replace(ended("compact", Status.STOPPED), events=(ASKED,)),
            "stopped by anna@db1 (script): wrong space",
        ),
        (ended("compact", Status.FINISHED, "", *SMALLER), "finished in 2.4 s, from 2 GiB to 768 MiB"),
        (ended("compact", Status.FINISHED, "", SMALLER[0], task(1, None, None)), "finished in 2.4 s"),
        (
            ended("flush", Status.FINISHED, "", task(0, SpaceStats(memtable=4096), SpaceStats(memtable=1024))),
            "finished in 2.4 s, 3 KiB of memory written",
        ),
        (
            ended("flush", Status.FINISHED, "", task(0, SpaceStats(memtable=7), SpaceStats(memtable=9))),
            "finished in 2.4 s",
        ),
        (ended("compact", Status.FAILED, "no room"), "failed: no room"),
        (ended("compact", Status.STOPPED), "stopped"),
        (ended("compact", Status.RUNNING), "did not end as it should"),
    ],
)
def test_outcome_has_the_end_the_time_and_the_gain(job: Job, expected: str) -> None:
    assert describe_outcome(job) == f"Job 3 ({job.command} nba) {expected}"


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_omits_only_successes(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [ended(), ended(status=Status.FAILED, reason="no room")]
    assert report_outcomes(jobs, Exit.DONE, quiet=quiet) == Exit.JOB_FAILED
    expected = capsys.readouterr().err.splitlines()
    assert expected == [describe_outcome(job) for job in (jobs[1:] if quiet else jobs)]


def test_failed_statement_outranks_a_failed_job() -> None:
    assert report_outcomes([ended(status=Status.FAILED)], Exit.FAILED, quiet=True) == Exit.FAILED
    assert report_outcomes([ended()], Exit.DONE, quiet=True) == Exit.DONE
