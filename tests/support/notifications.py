"""An engine with notifications, and the programs and servers that receive them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobtui.engine.notify_settings import NotifyOn, NotifySettings, NotifyUrl
from jobtui.model import EventKind, Job, Status
from tests.support.clock import FakeClock
from tests.support.engines import WAIT, Bench, open_bench
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import eventually
from tests.support.web_hooks import WebHookServer

SPACES = {"nba": ("h1",), "test2": ("h1", "h2"), "solo": ("h3",)}


class Inbox:
    """A command that writes each message that it gets into a file of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.script = directory / "hook"
        self.script.write_text(f"#!/bin/sh\nf=$(mktemp {directory}/.XXXX) && cat > $f && mv $f $f.json\n")
        self.script.chmod(stat.S_IRWXU)

    @property
    def messages(self) -> list[dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in self.directory.glob(".*.json")]
        return sorted(found, key=lambda message: (message["at"], message["id"]))

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        eventually(lambda: len(self.messages) >= count)
        return self.messages


def to_command(inbox: Inbox, *on: NotifyOn) -> NotifySettings:
    return NotifySettings(on=on or (NotifyOn.FAILED,), command=(str(inbox.script),), timeout=WAIT)


def to_hook(server: WebHookServer, *on: NotifyOn, timeout: float = WAIT) -> NotifySettings:
    return NotifySettings(on=on or (NotifyOn.FAILED,), url=NotifyUrl(server.url), timeout=timeout)


@contextmanager
def notifying(root: Path, settings: NotifySettings | None, clock: FakeClock | None = None) -> Iterator[Bench]:
    with open_bench(root / "profile", ScriptedStorage(SPACES), clock=clock, notify=settings) as bench:
        yield bench


def fails(bench: Bench, space: str = "nba", host: str = "h1") -> int:
    """Have a new job fail; return its id."""
    done = sum((o.space, o.host) == (space, host) for o in bench.storage.begun)
    job_id = int(bench.rows(f"ADMIN COMPACT {space}")[0][0])
    bench.storage.operation(space, host, nth=done).fail()
    bench.events.until(job_id, Status.FAILED)
    return job_id


def deliveries(job: Job | None) -> list[tuple[EventKind, str]]:
    assert job is not None
    kinds = (EventKind.NOTIFIED, EventKind.NOT_NOTIFIED)
    return [(event.kind, event.reason) for event in job.events if event.kind in kinds]


def until_settled(bench: Bench, job_id: int, count: int = 1) -> list[tuple[EventKind, str]]:
    bench.events.wait_for(lambda: any(len(deliveries(job)) >= count for job in bench.events.jobs(job_id)))
    return deliveries(bench.job(job_id))
