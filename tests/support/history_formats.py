"""Histories of every format that was ever released, for tests to open.

`python -m tests.support.history_formats DIRECTORY` writes one with this jobtui: do so once for each new
format, into `tests/history/formats/<format>/`, and never again. Its content is always that of `made()`.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Final

import msgspec

from jobtui.history import History
from jobtui.history.write.store import Limits
from jobtui.model import (
    ClusterRef,
    Deferral,
    EventKind,
    FailurePolicy,
    HostOrder,
    Job,
    JobEvent,
    JobOptions,
    Level,
    SpaceStats,
    Status,
    StepPosition,
    Task,
)
from tests.support import made_jobs

FORMATS = Path(__file__).parents[1] / "history" / "formats"


class Made(msgspec.Struct):
    """The expected content of a history of any format."""

    jobs: dict[int, Job] = {}
    archived: dict[int, Job] = {}
    next_id: int = 1


def write(path: Path) -> Made:
    """Write such a history: sealed, archived, changed after sealing, live, and in the journal."""
    rng = random.Random(2025)
    made = Made()
    limits = Limits(journal=6000, leftover=100_000, blanks=512)
    history = History.open(path, limits=limits)
    for _ in range(12):
        _commit(history, made, made_jobs.ended(history.new_id(), rng))
    _commit(history, made, _full(history.new_id()))
    for job_id in history.archive(2, 5).result().ids:
        made.archived[job_id] = made.jobs.pop(job_id)
    _commit(history, made, made_jobs.moved_on(made.jobs[7], rng))
    for _ in range(4):
        job = made_jobs.submitted(history.new_id(), rng)
        for _ in range(4):
            _commit(history, made, job)
            job = made_jobs.moved_on(job, rng)
    made.next_id = history.last_id() + 1
    history.close()
    return made


_RECORDS: Final = {
    "Job": Job,
    "Task": Task,
    "Event": JobEvent,
    "Stats": SpaceStats,
    "Level": Level,
    "Origin": ClusterRef,
    "Options": JobOptions,
    "Steps": StepPosition,
}
"""Each record by its name in fields.json, which does not change when the class is renamed."""


def field_names() -> dict[str, list[str]]:
    """Return the fields of every record type, by the record's name in fields.json."""
    return {
        name: [field.encode_name for field in msgspec.structs.fields(kind)] for name, kind in _RECORDS.items()
    }


def _commit(history: History, made: Made, job: Job) -> None:
    history.commit(job).result()
    made.jobs[job.id] = job


def _full(job_id: int) -> Job:
    """Return a job in which every field has a value."""
    at = made_jobs.at(9000.25)
    stats = SpaceStats(levels=(Level(1, 2), Level(3, 4)), memtable=5, entries=6, pending=7)
    steps = StepPosition(1, 2, "database", "default", b"\x00key", 3, 4)
    held = Deferral("host h2 is down", at, "Connection refused")
    task = Task(
        0, "host", Status.FAILED, 0.5, at, at, 1.25, stats, stats, "why", "io", True, steps, 2, at, held
    )
    event = JobEvent(at, EventKind.TASK_ENDED, 0, Status.FAILED, "why", "failed then", "bob@db2, script")
    origin = ClusterRef("cluster", "there", 99)
    options = JobOptions(
        hosts=("host",),
        condition="deletions > 10%",
        rolling=1,
        wait=1.5,
        order=HostOrder.LARGEST,
        on_failure=FailurePolicy.STOP,
        retry=2,
        retry_wait=30.0,
        rate=1000,
        families=("default", "图谱"),
        from_key=b"\xff",
        to_key=b"\x00",
        room=1 << 30,
        room_share=0.25,
        because="the disk is full",
    )
    return Job(
        job_id,
        "rebuild index",
        "图谱",
        at,
        Status.FAILED,
        at,
        at,
        2.5,
        "all of it",
        True,
        3,
        origin,
        options=options,
        paused=True,
        requested_by="anna@db1, dashboard",
        schedule="nightly",
        tasks=(task,),
        events=(event,),
    )


def released() -> list[Path]:
    """Return the directories of the released formats, oldest first."""
    return sorted(path for path in FORMATS.iterdir() if path.is_dir())


if __name__ == "__main__":
    target = Path(sys.argv[1])
    result = write(target / "history")
    (target / "fields.json").write_bytes(msgspec.json.format(msgspec.json.encode(field_names())) + b"\n")
    (target / "jobs.json").write_bytes(
        msgspec.json.format(
            msgspec.json.encode(
                {
                    "jobs": list(result.jobs.values()),
                    "archived": list(result.archived.values()),
                    "next_id": result.next_id,
                }
            )
        )
        + b"\n"
    )
