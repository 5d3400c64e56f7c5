"""Notifications on a full disk: they are recorded later, and none is delivered twice."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.engine import notifications, notifier, schedules
from jobtui.engine.jobs import PROBE_SECONDS
from jobtui.engine.notify_settings import NotifyOn
from jobtui.model import Notice
from tests.support.clock import FakeClock
from tests.support.disks import DiskFault
from tests.support.notifications import Inbox, deliveries, fails, notifying, to_command, until_settled
from tests.support.waiting import eventually


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


@pytest.fixture
def held(tmp_path: Path, inbox: Inbox) -> Inbox:
    """An inbox whose command waits for the file `go`."""
    text = inbox.script.read_text()
    inbox.script.write_text(text.replace("f=", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; f="))
    return inbox


def test_recorded_when_there_is_room_again(
    tmp_path: Path, held: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = DiskFault(monkeypatch)
    with notifying(tmp_path, to_command(held)) as bench:
        job_ids = [fails(bench) for _ in range(notifier.CONCURRENT + 2)]
        fault.on_write = errno.ENOSPC
        (tmp_path / "go").touch()
        # more than are delivered at a time: none waits for the record of another
        held.wait_for(len(job_ids))
        eventually(lambda: bench.engine.write_error)
        assert not any(deliveries(bench.job(job_id)) for job_id in job_ids)
        fault.on_write = 0
        bench.clock.pass_sleep(PROBE_SECONDS)
        for job_id in job_ids:
            assert len(until_settled(bench, job_id)) == 1
    with notifying(tmp_path, to_command(held)) as bench:
        until_settled(bench, fails(bench, "solo", "h3"))
    assert len(held.messages) == len(job_ids) + 1


def test_next_owner_delivers_again_if_there_never_is(
    tmp_path: Path, held: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = DiskFault(monkeypatch)
    with notifying(tmp_path, to_command(held)) as bench:
        job_id = fails(bench)
        fault.on_write = errno.ENOSPC
        (tmp_path / "go").touch()
        held.wait_for(1)
        eventually(lambda: bench.engine.write_error)
    fault.on_write = 0
    with notifying(tmp_path, to_command(held)) as bench:
        assert len(until_settled(bench, job_id)) == 1
    first, second = held.messages
    assert first["id"] == second["id"]


def test_slow_job_is_reported_later(tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = DiskFault(monkeypatch)
    settings = replace(to_command(inbox, NotifyOn.SLOW), slow_after=17.0)
    with notifying(tmp_path, settings) as bench:
        bench.rows("ADMIN COMPACT solo")
        bench.storage.operation("solo", "h3")
        bench.clock.wait_for_sleep(17.0)
        fault.on_write = errno.ENOSPC
        bench.clock.pass_sleep(17.0)
        eventually(lambda: bench.engine.write_error)
        fault.on_write = 0
        bench.clock.pass_sleep(PROBE_SECONDS)
        until_settled(bench, 1)
    assert [message["event"] for message in inbox.messages] == ["slow"]


def test_missed_run_is_recorded_with_the_next_change(tmp_path: Path, held: Inbox) -> None:
    settings = to_command(held, NotifyOn.SKIPPED)
    with notifying(tmp_path, settings) as bench:
        bench.execute('CREATE SCHEDULE hourly AT "@hourly" DO ADMIN FLUSH solo')
    later = FakeClock(bench.clock.now() + timedelta(hours=3))
    with notifying(tmp_path, settings, later) as bench:
        file = bench.engine.history.path / schedules.FILE
        eventually(lambda: b"skipped" in file.read_bytes())
        with unwritable(file):
            (tmp_path / "go").touch()
            held.wait_for(1)
            bench.events.until_published(Notice, text="The schedules cannot be written")
        bench.execute("PAUSE SCHEDULE hourly")
    with notifying(tmp_path, settings, later) as bench:
        assert [*bench.engine.engine.schedules.all()[0].runs[0].notified] == ["command"]
    assert len(held.messages) == 1


def test_file_is_written_later_and_its_failure_reported_once(tmp_path: Path, inbox: Inbox) -> None:
    file = tmp_path / "profile" / "history" / notifications.FILE
    file.parent.mkdir(parents=True)
    file.mkdir()  # so that it cannot be written, even by root
    with notifying(tmp_path, to_command(inbox)) as bench:
        bench.clock.pass_sleep(notifier.RETRY_SECONDS)
        until_settled(bench, fails(bench))
        bench.clock.wait_for_sleep(notifier.RETRY_SECONDS)
        file.rmdir()
        bench.clock.pass_sleep(notifier.RETRY_SECONDS)
        eventually(file.is_file)
        assert sum(notifications.FILE in notice for notice in bench.events.notices) == 1


@contextmanager
def unwritable(file: Path) -> Iterator[None]:
    """Replace the file with a directory meanwhile: it cannot be written, even by root."""
    kept = file.with_suffix(".kept")
    file.rename(kept)
    file.mkdir()
    yield
    file.rmdir()
    kept.rename(file)
