"""The heartbeat file: the time, written every two seconds while jobs run.

From it, the next owner learns how long a killed process ran. The file is not synced: data that a process has
written survives its end. A loss of power may lose the last half minute, and is recognized by the time at which
the machine was started.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from jobtui.clock import Clock, SystemClock
from jobtui.engine import lifecycle
from jobtui.model import Job

FILE = "heartbeat"
BEAT_SECONDS = 2.0
UNREPORTED_GAP = timedelta(seconds=3 * BEAT_SECONDS)
"""A gap that is not reported: a busy disk may delay a beat, and an event may follow the last one."""

_MAX_BYTES = 64


class Interruption(msgspec.Struct, frozen=True):
    """The time at which a job was interrupted: its last sign of life, or any time from then to `until`."""

    at: datetime
    until: datetime | None = None


class Heartbeat:
    """The writer of the file, active while `is_needed` returns True; it never wakes an idle process."""

    def __init__(self, root: Path, clock: Clock, is_needed: Callable[[], bool]) -> None:
        self._path = root / FILE
        self._clock = clock
        self._is_needed = is_needed
        self._is_created = False
        self._is_beating = False

    def start(self, run: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """Start the beats with `run`, unless they are running; for the engine's loop alone."""
        if not self._is_beating:
            self._is_beating = True
            run(self._beat())

    def last(self) -> datetime | None:
        """Return the last time in the file, which another process wrote; None if there is none."""
        return last_beat(self._path)

    async def _beat(self) -> None:
        try:
            while self._is_needed():
                # on a thread: even a few bytes may have to wait while a compaction fills the disk's queue
                await asyncio.to_thread(self._write, self._clock.now())
                # the real time, not the clock's: a test's clock stands still
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            self._is_beating = False

    def _write(self, now: datetime) -> None:
        """Write the time.

        A disk that refuses it costs accuracy only; the history reports the disk.
        """
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with suppress(OSError):
            if not self._is_created:
                # the old one may be a link, or belong to another user after a run as root
                self._path.unlink(missing_ok=True)
                flags |= os.O_CREAT | os.O_EXCL
            # opened each time: a thread that outlives its engine must not write to a closed descriptor
            file = os.open(self._path, flags, 0o600)
            self._is_created = True
            try:
                os.pwrite(file, f"{now.isoformat(timespec='milliseconds')}\n".encode(), 0)
            finally:
                os.close(file)


def last_beat(path: Path) -> datetime | None:
    """Return the last time in a heartbeat file, None if there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = datetime.fromisoformat(os.read(file, _MAX_BYTES).decode().strip())
        finally:
            os.close(file)
    except (OSError, ValueError):
        return None  # an interrupted job then shows the range of possible times
    return found if found.tzinfo is not None else None


def view_interrupted(job: Job, root: Path) -> Job:
    """Return a job that was at work when its owner ended, as the profile's next owner will record it."""
    clock = SystemClock()
    end = find_interruption(job, last_beat(root / FILE), clock.now(), clock.boot_time())
    return lifecycle.interrupt(job, end.at, end.until)


def find_interruption(job: Job, beat: datetime | None, now: datetime, booted: datetime | None) -> Interruption:
    """Return when a job that is found running was interrupted.

    Args:
        job: The job as it is on disk.
        beat: The last time in the heartbeat file, None if there is none.
        now: The time of this start.
        booted: When this machine was started, None if that is not known.
    """
    event = job.events[-1].at if job.events else job.submitted
    at = max(event, min(beat, now)) if beat is not None else event
    until = now
    if booted is not None and at < booted < now:
        until = booted  # power was lost, and with it the last beats
    elif beat is not None and beat >= event - UNREPORTED_GAP:
        until = at  # the next beat would have followed soon
    return Interruption(at, until if until - at > UNREPORTED_GAP else None)
