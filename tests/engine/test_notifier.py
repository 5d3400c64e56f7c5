"""Notifications of an engine with a scripted storage and the test's clock, to real programs and servers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.config import read_config
from jobtui.engine import notifications, notifier
from jobtui.engine.job_log import describe_requester
from jobtui.engine.notify_settings import NotifyOn, NotifySettings, NotifyUrl
from jobtui.engine.schedules import NOT_OWNED
from jobtui.model import EventKind, JobEvent, Notice, Status
from tests.support.clock import FakeClock
from tests.support.engines import WAIT
from tests.support.notifications import Inbox, deliveries, fails, notifying, to_command, to_hook, until_settled
from tests.support.waiting import eventually
from tests.support.web_hooks import HANG, web_hook


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


class TestOncePerEnd:
    def test_failed_job(self, tmp_path: Path, inbox: Inbox) -> None:
        with notifying(tmp_path, to_command(inbox)) as bench:
            job_id = fails(bench)
            (delivery,) = until_settled(bench, job_id)
            fails(bench, "solo", "h3")
            messages = inbox.wait_for(2)
        assert delivery == (EventKind.NOTIFIED, f"failed: the command {inbox.script} was run")
        message = next(each for each in messages if each["job"]["id"] == job_id)
        assert len(messages) == 2
        assert message["event"] == "failed"
        assert message["id"] == "local job 1 failed 2019-12-17T17:21:30+00:00"
        assert message["text"] == "local: job 1 (compact nba) failed after 0.0 s: h1: the disk says no"
        assert message["job"]["tasks"] == {"failed": 1}
        assert message["job"]["failed_hosts"] == [{"host": "h1", "code": "io", "reason": "the disk says no"}]

    def test_kinds_that_are_not_named_are_not_sent(self, tmp_path: Path, inbox: Inbox) -> None:
        with notifying(tmp_path, to_command(inbox, NotifyOn.FINISHED, NotifyOn.STOPPED)) as bench:
            failed = fails(bench)
            bench.rows("ADMIN FLUSH nba")
            bench.storage.operation("nba", "h1", nth=1).finish()
            until_settled(bench, 2)
            bench.rows("ADMIN FLUSH nba")
            running = bench.storage.operation("nba", "h1", nth=2)
            bench.rows("STOP JOB 3")
            running.stop()
            until_settled(bench, 3)
            assert deliveries(bench.job(failed)) == []
        assert [message["event"] for message in inbox.messages] == ["finished", "stopped"]

    def test_ended_job_stays_as_it_is(self, tmp_path: Path, inbox: Inbox) -> None:
        """Only the results of notifications may be added to it."""
        with notifying(tmp_path, to_command(inbox)) as bench:
            until_settled(bench, fails(bench))
            job = bench.job(1)
            update = bench.engine.engine.store.update
            note = JobEvent(at=job.events[-1].at, kind=EventKind.NOTE)
            for changed in (replace(job, reason="another"), replace(job, events=(*job.events, note))):
                with pytest.raises(Exception, match="has ended and is final"):
                    bench.engine.call(update(lambda _, changed=changed: [changed])).result(WAIT)
            assert job.status is Status.FAILED
            assert [version.status for version in bench.events.jobs(1)][-2:] == [Status.FAILED] * 2

    def test_command_and_web_hook_are_independent(self, tmp_path: Path, inbox: Inbox) -> None:
        with web_hook(404) as server:
            settings = replace(to_command(inbox), url=NotifyUrl(server.url))
            with notifying(tmp_path, settings) as bench:
                found = until_settled(bench, fails(bench), 2)
                bench.events.until_published(
                    Notice, text="A notification of job 1 (failed) was not delivered: http://"
                )
                assert "SECRET" not in "".join(bench.events.notices)
        assert sorted(kind for kind, _ in found) == [EventKind.NOT_NOTIFIED, EventKind.NOTIFIED]
        assert "SECRET" not in str(found)

    def test_amended_record_of_an_old_end(self, tmp_path: Path, inbox: Inbox) -> None:
        with notifying(tmp_path, None) as bench:
            old = bench.job(fails(bench))
        with notifying(tmp_path, to_command(inbox), FakeClock(bench.clock.now() + timedelta(hours=1))) as bench:
            event = JobEvent(at=bench.clock.now(), kind=EventKind.NOTIFIED, about="of another")
            amended = replace(old, events=(*old.events, event))
            bench.engine.call(bench.engine.engine.store.update(lambda _: [amended])).result(WAIT)
            until_settled(bench, fails(bench))
        assert [message["job"]["id"] for message in inbox.messages] == [2]


class TestNoJobWaits:
    def test_server_that_hangs(self, tmp_path: Path) -> None:
        with web_hook(HANG) as server, notifying(tmp_path, to_hook(server)) as bench:
            for _ in range(notifier.CONCURRENT + 2):
                fails(bench)
            server.wait_for(notifier.CONCURRENT)
            assert len(server.messages) == notifier.CONCURRENT
            bench.rows("ADMIN FLUSH solo")
            bench.storage.operation("solo", "h3").finish()
            bench.events.until(notifier.CONCURRENT + 3, Status.FINISHED)
            server.ended.set()


class TestBackoff:
    def test_retried_until_delivered(self, tmp_path: Path) -> None:
        with web_hook(503, 500, 200) as server, notifying(tmp_path, to_hook(server)) as bench:
            job_id = fails(bench)
            for count, pause in enumerate(notifier.BACKOFF_SECONDS[:2], start=1):
                server.wait_for(count)
                bench.clock.pass_sleep(pause)
            ((kind, text),) = until_settled(bench, job_id)
            assert (kind, text.partition(" answered ")[2]) == (EventKind.NOTIFIED, "200")
            assert len({message["id"] for message in server.messages}) == 1

    def test_given_up_after_the_last_attempt(self, tmp_path: Path) -> None:
        with web_hook(503) as server, notifying(tmp_path, to_hook(server)) as bench:
            job_id = fails(bench)
            for count, pause in enumerate(notifier.BACKOFF_SECONDS, start=1):
                server.wait_for(count)
                bench.clock.pass_sleep(pause)
            ((kind, text),) = until_settled(bench, job_id)
        assert kind is EventKind.NOT_NOTIFIED
        assert text.endswith("answered 503 Service Unavailable (4 attempts)")
        assert len(server.messages) == 4

    def test_failed_command_is_not_run_again(self, tmp_path: Path, inbox: Inbox) -> None:
        inbox.script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/runs; exit 1\n")
        with notifying(tmp_path, to_command(inbox)) as bench:
            ((kind, _),) = until_settled(bench, fails(bench))
        assert (kind, (tmp_path / "runs").read_text()) == (EventKind.NOT_NOTIFIED, "x\n")

    def test_failures_are_counted_over_owners(self, tmp_path: Path, inbox: Inbox) -> None:
        inbox.script.write_text("#!/bin/sh\nexit 1\n")
        for count in (1, 2):
            with notifying(tmp_path, to_command(inbox)) as b:
                fails(b)
                eventually(lambda: failures(b.engine.history.path) == count)  # noqa: B023


def failures(directory: Path) -> int | None:
    progress = notifications.load_progress(directory)
    return None if progress is None else progress.failures


class TestAtLeastOnce:
    def test_next_owner_delivers_with_the_same_id(self, tmp_path: Path) -> None:
        with web_hook(503, 200) as server:
            with notifying(tmp_path, to_hook(server)) as bench:
                job_id = fails(bench)
                server.wait_for(1)
            assert deliveries(bench.job(job_id)) == []
            with notifying(tmp_path, to_hook(server)) as bench:
                assert len(until_settled(bench, job_id)) == 1
            with notifying(tmp_path, to_hook(server)) as bench:
                until_settled(bench, fails(bench, "solo", "h3"))
            first, second, third = server.messages
        assert first == second
        assert third["job"]["id"] == job_id + 1

    def test_owner_without_a_heartbeat_file(self, tmp_path: Path) -> None:
        """A killed owner has not written the file since its start: the history alone says what is settled."""
        file = tmp_path / "profile" / "history" / notifications.FILE
        with web_hook(200, 200, 503, 200) as server:
            with notifying(tmp_path, to_hook(server)) as bench:
                as_of_start = file.read_bytes()
                for _ in range(2):
                    until_settled(bench, fails(bench))
                lost = fails(bench)
                server.wait_for(3)
            file.write_bytes(as_of_start)
            with notifying(tmp_path, to_hook(server)) as bench:
                until_settled(bench, lost)
                until_settled(bench, fails(bench, "solo", "h3"))
        assert [message["job"]["id"] for message in server.messages] == [1, 2, 3, 3, 4]

    def test_job_that_the_owner_before_left_running(self, tmp_path: Path, inbox: Inbox) -> None:
        with notifying(tmp_path, to_command(inbox)) as bench:
            bench.rows("ADMIN COMPACT nba")
            bench.storage.operation("nba", "h1")
        with notifying(tmp_path, to_command(inbox)) as bench:
            (message,) = inbox.wait_for(1)
        assert (message["event"], message["job"]["id"]) == ("failed", 1)
        assert "interrupted" in message["text"]

    def test_owner_without_notifications_ends_the_account(self, tmp_path: Path, inbox: Inbox) -> None:
        with notifying(tmp_path, to_command(inbox)) as bench:
            pass
        with notifying(tmp_path, None) as bench:
            fails(bench)
        with notifying(tmp_path, to_command(inbox), FakeClock(bench.clock.now() + timedelta(hours=1))) as bench:
            fails(bench)
            (message,) = inbox.wait_for(1)
            until_settled(bench, 2)
        assert [each["job"]["id"] for each in inbox.messages] == [message["job"]["id"]] == [2]

    def test_new_target_gets_no_earlier_moments(self, tmp_path: Path, inbox: Inbox) -> None:
        file = tmp_path / "profile" / "history" / notifications.FILE
        with notifying(tmp_path, to_command(inbox)) as bench:
            as_of_start = file.read_bytes()
            until_settled(bench, fails(bench))
        file.write_bytes(as_of_start)
        later = FakeClock(bench.clock.now() + timedelta(hours=1))
        with web_hook() as server:
            settings = replace(to_command(inbox), url=NotifyUrl(server.url))
            with notifying(tmp_path, settings, later) as bench:
                until_settled(bench, fails(bench), 2)
            assert [message["job"]["id"] for message in server.messages] == [2]

    def test_owners_that_live_shortly_give_up_after_a_day(self, tmp_path: Path) -> None:
        with web_hook(503) as server:
            with notifying(tmp_path, to_hook(server)) as bench:
                job_id = fails(bench)
                server.wait_for(1)
            later = FakeClock(bench.clock.now() + notifier.GIVE_UP + timedelta(hours=1))
            with notifying(tmp_path, to_hook(server), later) as bench:
                server.wait_for(2)
            ((kind, _),) = deliveries(bench.job(job_id))
        assert kind is EventKind.NOT_NOTIFIED

    def test_archived_job_is_not_notified_about(self, tmp_path: Path) -> None:
        with web_hook(503, 200) as server:
            with notifying(tmp_path, to_hook(server)) as bench:
                job_id = fails(bench)
                server.wait_for(1)
            with notifying(tmp_path, None) as bench:
                bench.rows(f"BACKUP JOB {job_id} {job_id}")
            with notifying(tmp_path, to_hook(server)) as bench:
                until_settled(bench, fails(bench))
            assert [message["job"]["id"] for message in server.messages] == [1, 2]

    @pytest.mark.parametrize(
        "content", [b"", b"{", b'{"format":9}', b'{"since":{},"settled_to":-5000000000,"open":[99]}']
    )
    def test_file_that_cannot_be_used(self, tmp_path: Path, inbox: Inbox, content: bytes) -> None:
        file = tmp_path / "profile" / "history" / notifications.FILE
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        with notifying(tmp_path, to_command(inbox)) as bench:
            until_settled(bench, fails(bench))
        assert len(inbox.messages) == 1


class TestOtherMoments:
    def test_paused(self, tmp_path: Path, inbox: Inbox) -> None:
        with notifying(tmp_path, to_command(inbox, NotifyOn.PAUSED)) as bench:
            bench.rows('ADMIN COMPACT test2; PAUSE JOB 1 WITH because = "backup"')
            until_settled(bench, 1)
            bench.advance(60)
            bench.rows("RESUME JOB 1; PAUSE JOB 1")
            until_settled(bench, 1, 2)
        first, second = inbox.messages
        who = describe_requester(bench.session.requested_by)
        assert first["text"] == f"local: job 1 (compact test2) was paused by {who}: backup"
        assert (second["event"], second["text"]) == (
            "paused",
            f"local: job 1 (compact test2) was paused by {who}",
        )

    def test_stop_names_its_requester_and_reason(self, tmp_path: Path, inbox: Inbox) -> None:
        with notifying(tmp_path, to_command(inbox, NotifyOn.STOPPED)) as bench:
            bench.rows("ADMIN COMPACT test2")
            operations = [bench.storage.operation("test2", host) for host in ("h1", "h2")]
            bench.rows('STOP JOB 1 WITH because = "wrong space"')
            for operation in operations:
                operation.stop()
            until_settled(bench, 1)
        (message,) = inbox.messages
        who = describe_requester(bench.session.requested_by)
        assert message["text"] == f"local: job 1 (compact test2) was stopped by {who}: wrong space"

    def test_slow_once(self, tmp_path: Path, inbox: Inbox) -> None:
        settings = replace(to_command(inbox, NotifyOn.SLOW), slow_after=17.0)
        with notifying(tmp_path, settings) as bench:
            bench.rows("ADMIN COMPACT test2")
            bench.storage.operation("test2", "h1").finish()
            bench.events.wait_for(lambda: bench.job(1).ended_tasks == 1)
            bench.clock.pass_sleep(17)
            until_settled(bench, 1)
            slow = [event for event in bench.job(1).events if event.kind is EventKind.SLOW]
            assert [event.reason for event in slow] == ["running for 0:17"]
            bench.rows("ADMIN COMPACT solo")
            bench.storage.operation("solo", "h3")
            bench.clock.pass_sleep(17)
            until_settled(bench, 2)
        assert [message["job"]["id"] for message in inbox.messages] == [1, 2]
        assert "1 of 2 hosts done" in inbox.messages[0]["text"]

    def test_skipped_run_of_a_schedule(self, tmp_path: Path, inbox: Inbox) -> None:
        settings = to_command(inbox, NotifyOn.SKIPPED)
        with notifying(tmp_path, settings) as bench:
            bench.execute('CREATE SCHEDULE hourly AT "@hourly" DO ADMIN FLUSH solo')
        later = FakeClock(bench.clock.now() + timedelta(hours=3))
        with notifying(tmp_path, settings, later) as bench:
            (message,) = inbox.wait_for(1)
            schedules = bench.engine.engine.schedules
            eventually(lambda: schedules.all()[0].runs[0].notified)
            assert list(schedules.all()[0].runs[0].notified) == ["command"]
        with notifying(tmp_path, settings, later) as bench:
            pass
        assert message["text"] == f"local: schedule 'hourly' was skipped 3 times: {NOT_OWNED}"
        assert (message["schedule"]["name"], message["schedule"]["count"]) == ("hourly", 3)
        assert len(inbox.messages) == 1


def test_file_bounds_the_search(tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "STRIDE", 2)
    file = tmp_path / "profile" / "history" / notifications.FILE
    with notifying(tmp_path, to_command(inbox)) as bench:
        bench.rows("ADMIN COMPACT solo")
        for _ in range(4):
            until_settled(bench, fails(bench))
        progress = eventually(
            lambda: (found := notifications.load_progress(file.parent)) and found.settled_to >= 3 and found
        )
        assert isinstance(progress, notifications.NotifyProgress)
        assert 1 in progress.open
    assert file.stat().st_mode & 0o077 == 0


class TestPage:
    PAGE = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()

    def test_message_on_the_page(self, tmp_path: Path, inbox: Inbox) -> None:
        (text,) = re.findall(r"```json\n(.*?)```", self.PAGE, re.DOTALL)
        with notifying(tmp_path, to_command(inbox)) as bench:
            until_settled(bench, fails(bench))
        (sent,) = inbox.messages
        page = json.loads(text)
        assert [*page] == [*sent]
        assert [*page["job"]] == [*sent["job"]]
        assert [*page["job"]["failed_hosts"][0]] == [*sent["job"]["failed_hosts"][0]]

    def test_settings_on_the_page(self, tmp_path: Path) -> None:
        (text,) = re.findall(r"```toml\n(.*?)```", self.PAGE, re.DOTALL)
        (tmp_path / "config.toml").write_text(text)
        settings = read_config(tmp_path / "config.toml").notify
        assert settings.on == NotifySettings().on
        assert settings.targets == ("command", "url")
        assert {f"`{on}`" for on in NotifyOn} <= {*self.PAGE.split()} | {*re.findall(r"`\w+`", self.PAGE)}
