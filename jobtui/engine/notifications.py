"""Notifications, their messages, and the file that bounds the search for them.

A notification is about an event of a job (it failed, it was paused), or about a run of a schedule that did not
take place. When its delivery to a target has succeeded or failed for good, the job or the run records that: the
job by an event whose `about` names the notification and the target, the run in `notified`. The next owner
delivers what has no such record, so that each notification is delivered at least once.

`notifications.json`, in the history's directory, names the jobs that the next owner must read.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from jobtui.engine.job_log import describe_request, last_stop
from jobtui.engine.notify_settings import NotifyOn, NotifySettings
from jobtui.engine.schedules import MISSED, RunOutcome, Schedule, ScheduleRun
from jobtui.errors import DECODE_ERRORS
from jobtui.files import read_regular
from jobtui.formatting import format_count, format_duration, format_local_time, printable_line
from jobtui.language.ast import unparse
from jobtui.model import DELIVERIES, EventKind, Job, JobEvent, Status

FILE = "notifications.json"
FORMAT = 1
TEST = "test"
"""The kind of the message of `jobtui notify test`."""
MAX_HOSTS = 20
"""The failed hosts that a message lists: it stays small enough for every service."""
MAX_TEXT = 2000


class Notification(msgspec.Struct, frozen=True):
    """A notification about an event of a job, or about a run of a schedule.

    Attributes:
        job: The job's id, None if it is a schedule's run.
        schedule: The schedule's name, "" if it is a job's event.
    """

    on: NotifyOn
    at: datetime
    job: int | None = None
    schedule: str = ""

    @property
    def key(self) -> str:
        """The text that identifies the notification within its job or schedule."""
        return f"{self.on} {self.at.isoformat()}"

    @property
    def subject(self) -> str:
        """The job or schedule as text."""
        return f"job {self.job}" if self.job is not None else f"schedule '{self.schedule}'"


class Delivery(msgspec.Struct, frozen=True):
    """A notification on its way to a target: `command` or `url`."""

    notification: Notification
    target: str

    @property
    def about(self) -> str:
        """The text that identifies the delivery in the events of the job."""
        return f"{self.notification.key} {self.target}"

    @property
    def route(self) -> str:
        """The kind of the notification and the target."""
        return f"{self.notification.on} {self.target}"


_ON_STATUS = {
    Status.FAILED: NotifyOn.FAILED,
    Status.STOPPED: NotifyOn.STOPPED,
    Status.FINISHED: NotifyOn.FINISHED,
}


def notifications_of(job: Job, first: int = 0) -> Iterator[Notification]:
    """Yield the notifications about a job's events, from the event with index `first` on."""
    for event in job.events[first:]:
        match event:
            case JobEvent(kind=EventKind.ENDED | EventKind.INTERRUPTED, status=status) if status in _ON_STATUS:
                yield Notification(_ON_STATUS[status], event.at, job.id)
            case JobEvent(kind=EventKind.PAUSED, task=None):
                yield Notification(NotifyOn.PAUSED, event.at, job.id)
            case JobEvent(kind=EventKind.SLOW):
                yield Notification(NotifyOn.SLOW, event.at, job.id)


def unsettled_deliveries(job: Job, targets: Iterable[str], first: int = 0) -> Iterator[Delivery]:
    """Yield the deliveries of a job's notifications that have no recorded result."""
    settled = {event.about for event in job.events[first:] if event.kind in DELIVERIES}
    for notification in notifications_of(job, first):
        deliveries = (Delivery(notification, target) for target in targets)
        yield from (each for each in deliveries if each.about not in settled)


def missed_run_notification(schedule: str, run: ScheduleRun) -> Notification | None:
    """Return the notification about a run that did not take place, None if it did."""
    if run.outcome not in MISSED:
        return None
    return Notification(NotifyOn.SKIPPED, run.last or run.at, schedule=schedule)


# ---- the message


def job_message(profile: str, notification: Notification, job: Job) -> dict[str, object]:
    """Return the message about an event of a job, ready for JSON."""
    failed = [task for task in job.tasks if task.status is Status.FAILED]
    fields: dict[str, object] = {
        "id": job.id,
        "command": job.command,
        "space": job.space,
        "status": job.status.value,
        "paused": job.paused,
        "submitted": job.submitted,
        "start": job.start,
        "stop": job.stop,
        "took": job.took,
        "reason": job.reason[:MAX_TEXT],
        "because": job.options.because[:MAX_TEXT],
        "requested_by": job.requested_by[:MAX_TEXT],
        "schedule": job.schedule or None,
        "recovered_from": job.recovered_from,
        "reclaimed_bytes": job.reclaimed,
        "tasks": dict(Counter(task.status.value for task in job.tasks)),
        "failed_hosts": [
            {"host": task.host, "code": task.code, "reason": task.reason[:MAX_TEXT]}
            for task in failed[:MAX_HOSTS]
        ],
    }
    return _message(profile, notification, _describe_job(notification, job)) | {"job": fields}


def schedule_message(
    profile: str, notification: Notification, schedule: Schedule, run: ScheduleRun
) -> dict[str, object]:
    """Return the message about a run that did not take place, ready for JSON."""
    times = f" {format_count(run.count, 'time')}" if run.count > 1 else ""
    happened = f"was skipped{times}" if run.outcome is RunOutcome.SKIPPED else "could not start its job"
    text = f"schedule '{schedule.name}' {happened}: {run.reason}"
    fields: dict[str, object] = {
        "name": schedule.name,
        "statement": unparse(schedule.statement)[:MAX_TEXT],
        "due": run.at,
        "last_due": run.last or run.at,
        "count": run.count,
        "outcome": run.outcome.value,
        "reason": run.reason[:MAX_TEXT],
    }
    return _message(profile, notification, text) | {"schedule": fields}


def trial_message(profile: str, now: datetime) -> dict[str, object]:
    """Return the message of `jobtui notify test`."""
    text = "this is a test of the notifications"
    return _envelope(profile, f"{TEST} {now.isoformat()}", TEST, now, text)


def _message(profile: str, notification: Notification, text: str) -> dict[str, object]:
    return _envelope(
        profile, f"{notification.subject} {notification.key}", notification.on, notification.at, text
    )


def _envelope(profile: str, name: str, event: str, at: datetime, text: str) -> dict[str, object]:
    """Return the fields that every message has; the profile and `name` identify it."""
    return {
        "id": f"{profile} {name}",
        "event": str(event),
        "text": printable_line(f"{profile}: {text}", MAX_TEXT),
        "at": at,
        "profile": profile,
        "machine": socket.gethostname(),
    }


def _describe_job(notification: Notification, job: Job) -> str:
    subject = f"job {job.id} ({job.label})"
    reason = f": {job.reason}" if job.reason else ""
    match notification.on:
        case NotifyOn.PAUSED:
            pause = next((event for event in job.events if _is_pause(event, notification)), None)
            return f"{subject} was paused{describe_request(pause)}"
        case NotifyOn.SLOW:
            done = f"{job.ended_tasks} of {format_count(len(job.tasks), 'host')} done"
            return f"{subject} has been running since {format_local_time(job.start)}, {done}"
        case NotifyOn.STOPPED:
            return f"{subject} was stopped{reason or describe_request(last_stop(job))}"
    took = f" after {format_duration(job.took)}" if job.took is not None else ""
    return f"{subject} {notification.on}{took}{reason}"


def _is_pause(event: JobEvent, notification: Notification) -> bool:
    return event.kind is EventKind.PAUSED and event.task is None and event.at == notification.at


def encode_message(message: Mapping[str, object]) -> bytes:
    """Return a message as a line of JSON."""
    return msgspec.json.encode(message) + b"\n"


# ---- the file


class NotifyProgress(msgspec.Struct, frozen=True):
    """The content of the file, which may be out of date: jobs with unsettled notifications.

    Attributes:
        since: For each kind and target, since when notifications of that kind are delivered to it.
        settled_to: The id up to which all jobs but the `open` ones are settled.
        open: The jobs up to that id that had not ended, or whose notifications were not settled.
        failures: The deliveries that failed for good since the file was created, for metrics.
    """

    since: Mapping[str, datetime]
    settled_to: int
    open: tuple[int, ...] = ()
    failures: int = 0
    format: int = FORMAT


_decode = msgspec.json.Decoder(NotifyProgress).decode


def load_progress(directory: Path) -> NotifyProgress | None:
    """Return the content of the file, None if it is missing or unusable."""
    try:
        found = _decode(read_regular(directory / FILE))
    except (OSError, *DECODE_ERRORS):
        return None
    return found if found.format == FORMAT else None


def initial_progress(
    found: NotifyProgress | None, settings: NotifySettings, now: datetime, last_id: int, active: Iterable[int]
) -> NotifyProgress:
    """Return the progress to begin with: new kinds and targets count from now on."""
    if found is None:
        found = NotifyProgress({}, last_id, tuple(active))
    routes = [f"{on} {target}" for on in settings.on for target in settings.targets]
    return msgspec.structs.replace(found, since={route: found.since.get(route, now) for route in routes})


def forget_progress(directory: Path) -> None:
    """Delete the file, so that events from now on are not delivered later."""
    with suppress(OSError):
        (directory / FILE).unlink(missing_ok=True)
