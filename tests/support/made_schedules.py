"""Schedules and their jobs for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from msgspec.structs import replace

from jobtui.engine import lifecycle, schedules
from jobtui.engine.schedules import Schedule
from jobtui.language.results import format_json
from jobtui.model import Job
from tests.support.engines import Bench


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def made(cron: str = "30 2 * * *", now: str = "2026-03-10T12:00Z", **fields: object) -> Schedule:
    moment = at(now)
    found = Schedule(name="nightly", at=cron, command="compact", space="nba", created=moment, handled=moment)
    return schedules.activate(replace(found, **fields), moment)


def job(number: int = 7, *, paused: bool = False) -> Job:
    found = lifecycle.new_job(number, "compact", "nba", ["h1"], at("2026-03-10T00:00Z"), schedule="nightly")
    return replace(found, paused=paused)


def interrupted(number: int = 7, stop: str = "2026-03-11T03:00Z") -> Job:
    """Return a job that was running when its owner was killed."""
    working = lifecycle.start_tasks(job(number), [0], at("2026-03-11T02:30Z"))
    return lifecycle.interrupt(working, at(stop))


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca")

NIGHTLY = (
    'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" WITH timezone = "UTC" '
    'DO ADMIN COMPACT nba WITH rolling = 1, because = "churn"'
)
DAY = 86_400.0
TO_FIRST = 8 * 3600 + 38 * 60 + 30 + 30 * 60.0
"""From the clock's start, 17:21:30, to the next 02:30."""


def shown(bench: Bench) -> dict[str, object]:
    """The only schedule, as SHOW SCHEDULES in JSON has it."""
    answer = bench.execute("SHOW SCHEDULES")
    assert answer.failure is None
    (found,) = json.loads(format_json(answer.results))
    (row,) = found["rows"]
    return dict(row)


def pass_to(bench: Bench, seconds: float) -> None:
    """Move the clock once the runner sleeps."""
    bench.clock.wait_for_sleepers(1)
    bench.clock.advance(seconds)
