"""Schedules and their jobs for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from jobtui.engine import lifecycle, schedules
from jobtui.engine.schedules import Schedule
from jobtui.model import Job


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
