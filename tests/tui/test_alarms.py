"""Alarms about a disk, a connection, damage, and a profile that is read-only."""

import asyncio
import random
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.formatting import DateOrder
from jobtui.history import History, Query, QueryResult, Sort, StoreError
from jobtui.model import ConnectionChanged, ConnectionState, ConnectionStatus
from jobtui.tui.data.job_rows import JobRows
from jobtui.tui.text.notices import connection_alarm
from jobtui.tui.text.spans import connection_span
from tests.support import made_jobs
from tests.support.clock import FakeClock
from tests.support.damaged import SMALL
from tests.support.dashboards import dashboard_bench, showing

NOW = FakeClock().now()


@pytest.mark.parametrize(
    ("link", "piece", "alarm"),
    [
        (ConnectionStatus(ConnectionState.CONNECTING, NOW), "◌ connecting", ""),
        (ConnectionStatus(ConnectionState.CONNECTED, NOW, address="10.0.0.5:9669"), "● 10.0.0.5:9669", ""),
        (
            ConnectionStatus(ConnectionState.CONNECTED, NOW, "10.0.0.5:9669", "no answer since 17:21:30"),
            "◌ 10.0.0.5:9669",
            "No answer since 17:21:30: the screen may be out of date",
        ),
        (
            ConnectionStatus(ConnectionState.REFUSED, NOW, detail="bad password"),
            "✖ refused",
            "Not connected: bad password. R tries again",
        ),
        (
            ConnectionStatus(ConnectionState.LOST, NOW, detail="no route", retry_in=8),
            "✖ lost",
            "no route. Tries again in 5 s, R does now",
        ),
        (ConnectionStatus(ConnectionState.LOST, NOW, detail="no route"), "✖ lost", "Connecting again"),
    ],
)
def test_connection_state_is_described(link: ConnectionStatus, piece: str, alarm: str) -> None:
    assert connection_span(link)[0] == piece
    text = connection_alarm(link, NOW, NOW + timedelta(seconds=3), "R", DateOrder.MONTH_FIRST)
    assert alarm in text
    assert bool(text) == bool(alarm)


def test_header_and_an_alarm_follow_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = [ConnectionStatus(ConnectionState.LOST, NOW, detail="connection reset", retry_in=30)]
    retried: list[int] = []
    monkeypatch.setattr(LocalClient, "connection", property(lambda self: links[-1]))
    monkeypatch.setattr(LocalClient, "reconnect", lambda self: retried.append(1))

    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            engine = shown.bench.engine
            engine.engine.events.publish([ConnectionChanged(links[-1])])
            await shown.shows("✖ lost", "No connection since", "connection reset", "in 30 s")
            await shown.press("R")
            assert retried
            links.append(ConnectionStatus(ConnectionState.CONNECTED, NOW, address="graph:9669"))
            engine.engine.events.publish([ConnectionChanged(links[-1])])
            await shown.shows("● graph:9669")
            await shown.shows_no_more("No connection since")

    asyncio.run(run())


def test_dismissed_alarm_stays_hidden_until_it_recurs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = ConnectionStatus(ConnectionState.LOST, NOW, detail="connection reset", retry_in=30)
    links = [lost]
    monkeypatch.setattr(LocalClient, "connection", property(lambda self: links[-1]))

    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            shown.bench.engine.engine.events.publish([ConnectionChanged(lost)])
            await shown.shows("No connection since", "in 30 s")
            await shown.press("escape")
            await shown.shows_no_more("No connection since")
            shown.bench.clock.advance(1.0)
            shown.dashboard.tick()
            await shown.pilot.pause()
            assert "No connection since" not in shown.screen
            links.append(ConnectionStatus(ConnectionState.CONNECTED, NOW, address="graph:9669"))
            shown.dashboard.tick()
            links.append(lost)
            shown.dashboard.tick()
            await shown.shows("No connection since")

    asyncio.run(run())


def test_alarm_is_hidden_where_it_does_not_fit(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            shown.bench.engine.engine.store.write_error = "The disk of the history is full"
            shown.dashboard.tick()
            await shown.shows("is full")
            await shown.pilot.resize_terminal(30, 6)
            await shown.shows("too small")
            assert "The disk" not in shown.screen

    asyncio.run(run())


def test_alarm_is_under_the_header_until_it_is_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            store = shown.bench.engine.engine.store
            store.write_error = "The disk of the history is full: make room, it continues by itself"
            shown.dashboard.tick()
            await shown.shows("The disk of the history is full")
            store.write_error = ""
            shown.dashboard.tick()
            await shown.shows_no_more("is full")

    asyncio.run(run())


def test_alarm_names_the_damaged_job_file_and_copy(tmp_path: Path) -> None:
    path, rng = Profile("local", tmp_path).history, random.Random(3)
    history = History.open(path)
    history.commit(*(made_jobs.ended(history.new_id(), rng) for _ in range(3))).result()
    history.close()
    (journal,) = path.glob("journal-*.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"put":{"id":2,', b'"put":{"id":2 ,', 1))

    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.shows("The history was damaged", journal.name, "of job 2", "quarantine/")

    asyncio.run(run())


def test_removed_jobs_do_not_end_the_dashboard(tmp_path: Path) -> None:
    path, rng = Profile("local", tmp_path).history, random.Random(3)
    history = History.open(path, limits=SMALL)
    for _ in range(90):
        history.commit(made_jobs.ended(history.new_id(), rng)).result()
    for first in (30, 50):
        history.archive(first, first + 9).result()
    history.close()
    shutil.rmtree(min(path.glob("archive/*")))
    segment = min(path.glob("seg-*.jsonl"))
    segment.write_bytes(segment.read_bytes()[:3000])

    reader = History.open(path, write=False)
    rows = JobRows(FakeClock().now, ())
    rows.show(reader.query(Query(sort=Sort.TOOK)))
    assert len({rows.key_at(index) for index in range(len(rows))}) > 40
    reader.close()

    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.shows("flush")
            await shown.press("end")
            await shown.shows("The history was damaged", segment.name)
            await shown.press("4", "end")
            await shown.shows(" 59 ")

    asyncio.run(run())


def test_profile_of_another_owner_is_live_and_offers_no_actions(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as owner:
            owner.bench.execute("ADMIN FLUSH nba")
            reader = ReadOnlyClient.open(Profile("local", tmp_path))
            async with showing(reader) as shown:
                await shown.shows("flush nba", "read only")
                assert "s stop" not in shown.screen
                owner.bench.execute("ADMIN COMPACT nba")
                await shown.shows("compact nba", "✔ 2")
                await shown.press("colon")
                await shown.paste("ADMIN FLUSH nba")
                await shown.press("enter")
                await shown.until(lambda: "reading only" in shown.transcript)
            reader.close()

    asyncio.run(run())


def refuses(*_: object) -> None:
    """Fail as a method of a history whose disk has an error."""
    raise StoreError("The history cannot be read: Input/output error")


def test_unreadable_history_is_reported_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.shows("✔ 2")
            monkeypatch.setattr(History, "recovered_as", refuses)
            monkeypatch.setattr(History, "is_archived", refuses)
            monkeypatch.setattr(History, "query", refuses)
            monkeypatch.setattr(History, "get", refuses)
            await shown.press("left_square_bracket")
            await shown.until(lambda: "Input/output error" in shown.detail)
            await shown.press("b")
            await shown.shows("Input/output error")
            await shown.press("greater_than_sign", "slash")
            await shown.paste("status:failed")
            await shown.press("enter", "colon")
            await shown.type("show job 1")
            await shown.pilot.pause()
            assert shown.app.is_running

    asyncio.run(run())


def test_marking_all_of_an_unreadable_history_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.shows("✔ 2")
            monkeypatch.setattr(QueryResult, "ids", refuses)
            for key in ("a", "i"):
                await shown.press(key)
                await shown.shows("Input/output error")
                shown.app.dismiss_toasts("")
                await shown.shows_no_more("Input/output error")
            assert not shown.dashboard.jobs.list.rows.marks

    asyncio.run(run())


def test_archive_whose_jobs_cannot_be_counted_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = History.query

    def refuses_in_the_loop(history: History, wanted: Query) -> QueryResult:
        if threading.current_thread() is threading.main_thread():
            raise StoreError("The history cannot be read: Input/output error")
        return query(history, wanted)

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.shows("✔ 2")
            shown.bench.execute("BACKUP JOB 1 2")
            await shown.press("4")
            await shown.shows("archive", "flush nba")
            monkeypatch.setattr(History, "query", refuses_in_the_loop)
            await shown.press("slash")
            await shown.paste("space:nba")
            await shown.shows("Input/output error")
            assert shown.app.is_running

    asyncio.run(run())
