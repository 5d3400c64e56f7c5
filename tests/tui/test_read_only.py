"""The keys of a dashboard on a read-only profile: those that would write explain it, and none writes."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path

import pytest

from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.failover import FailoverClient
from jobtui.engine.profile import Profile
from jobtui.engine.reader import MEASURING, READ_ONLY, ReadOnlyClient
from jobtui.language import parse
from jobtui.tui.commands import COMMANDS, KeyCommand, KeyScope, commands
from tests.support.dashboards import DashboardBench, showing
from tests.support.engines import open_bench
from tests.support.scripted import ScriptedStorage
from tests.tui.test_every_command import WAYS

WRITING = {
    *("stop", "hold", "recover", "archive", "flush", "compact"),
    *("space_flush", "space_compact", "space_new", "space_drop"),
    *("host_flush", "host_compact", "advice_compact", "card_compact"),
    *("schedule_new", "schedule_pause", "schedule_run", "schedule_drop"),
}
"""The commands that change something, or write a statement that does into the command bar."""
LEAVING = {"quit", "interrupt", "suspend"}
TYPING = (KeyScope.BAR, KeyScope.FILTER)
"""The scopes in which keys are typed text, which the refusal of statements covers."""


def test_every_writing_command_exists() -> None:
    assert {command.id for command in COMMANDS} >= WRITING


@pytest.mark.parametrize("where", [where for where in KeyScope if where not in TYPING])
def test_no_key_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: KeyScope) -> None:
    """Press every key of a scope; only statements that read may reach the owner."""
    accepted: list[str] = []
    execute = FailoverClient.execute

    def watched(client: FailoverClient, text: str, session: Session) -> Future[ExecuteResult]:
        answer = execute(client, text, session)
        if any(not isinstance(one, (*READ_ONLY, *MEASURING)) for one in parse(text)):
            answer.add_done_callback(lambda done: accepted.append(text) if done.result().results else None)
        return answer

    async def run() -> None:
        with open_bench(tmp_path, ScriptedStorage({"nba": ("h1",)})) as bench:
            bench.execute('ADMIN COMPACT nba; CREATE SCHEDULE nightly AT "@daily" DO ADMIN FLUSH nba')
            bench.storage.operation("nba", "h1")
            client = FailoverClient(Profile("local", tmp_path, read_only=True))
            monkeypatch.setattr(FailoverClient, "execute", watched)
            try:
                async with showing(client, clock=bench.clock) as shown:
                    await shown.shows("compact nba", "read only")
                    for command in commands(where):
                        if command.id not in LEAVING:
                            await press(shown, where, command)
            finally:
                client.close()
            assert bench.engine.history.last_id() == 1
            assert not bench.job(1).paused
            assert [row[0] for row in bench.rows("SHOW SCHEDULES")] == ["nightly"]

    asyncio.run(run())
    assert accepted == []


def test_keys_and_example_change_once_a_profile_is_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with showing(ReadOnlyClient.open(Profile("local", tmp_path))) as shown:
            await shown.press("2")
            await shown.shows("spaces", "like SHOW JOBS or SHOW SPACES")
            assert "n new" not in shown.screen
            monkeypatch.setattr(ReadOnlyClient, "writable", True)
            shown.dashboard.tick()
            await shown.shows("n new", "like SHOW JOBS or ADMIN COMPACT demo")

    asyncio.run(run())


async def press(shown: DashboardBench, where: KeyScope, command: KeyCommand) -> None:
    """Press the first key of a command where it works; one that writes must say why it does not."""
    if shown.app.screen is not shown.dashboard or where not in shown.dashboard.active_scopes():
        await shown.press("escape", "escape", "1")
        await shown.until(lambda: shown.app.screen is shown.dashboard)
        await WAYS[where](shown)
    log = shown.dashboard.context.log
    log.clear()
    await shown.press(command.keys.split(",")[0])
    if command.id in WRITING:
        why = "has no effect here: the profile is read only"
        await shown.until(lambda: any(why in entry.text for entry in log))
