"""The recorded answers of storaged's HTTP port about a space, and their use in jobs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from jobtui.engine.cluster.inventory import JobSizes
from jobtui.errors import ErrorCode
from jobtui.model import Level, SpaceStats, Status
from jobtui.storage.nebula import properties
from jobtui.storage.nebula.properties import (
    PROPERTIES,
    STALL_PROPERTIES,
    StoragedStats,
    http_address,
    level0_files,
    parse_properties,
)
from jobtui.storage.nebula.settings import Address, ClusterSettings
from jobtui.storage.nebula.storaged import AdminCall
from tests.support.clock import FakeClock
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import failure, run
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_product import ClusterBench, working_on
from tests.support.replay import Record, captures
from tests.support.storaged_double import StoragedDouble

LEVELS = (
    "Level Files Size(MB)\n-----\n  0        {}        {}\n  1        {}        {}\n  2        0        0\n"
)


def engine(size: int, *levels: int, memtable: int = 2048, running: int = 0) -> dict[str, str]:
    """The properties of one data directory: `levels` are the files and MB of levels 0 and 1."""
    values = (size, memtable, 5022, 0, size, running, 0, LEVELS.format(*(levels or (0, 0, 1, 3))))
    return {name: str(value) for name, value in zip(PROPERTIES, values, strict=True)}


def needy() -> dict[str, str]:
    """The properties of one data directory that a compaction would make smaller by 5 MiB."""
    return {
        **engine(9 << 20, 9, 9, 0, 0),
        "rocksdb.estimate-live-data-size": str(4 << 20),
        "rocksdb.estimate-pending-compaction-bytes": str(7 << 20),
    }


@pytest.fixture
def storaged() -> Iterator[StoragedDouble]:
    with StoragedDouble({"nba"}) as storaged:
        yield storaged


def stats_of(storaged: StoragedDouble, clock: FakeClock | None = None) -> StoragedStats:
    return StoragedStats(settings_of(storaged), clock=clock)


def settings_of(storaged: StoragedDouble) -> ClusterSettings:
    return settings_at(storaged.port)


def settings_at(port: int) -> ClusterSettings:
    return ClusterSettings(addresses=(Address("127.0.0.1", 1),), storaged={"h": Address("127.0.0.1", port)})


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A port that gives this answer to every request, and closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


class TestRecorded:
    def test_level_statistics_before_and_after_a_compact(self) -> None:
        texts = [
            record["body"]
            for record in captures("storaged.jsonl")
            if record["path"].endswith("property=rocksdb.levelstats")
        ]
        sizes = [3354679, 3394534, 3388520]  # after FLUSH, while COMPACT runs, after COMPACT
        bodies = [answer(size, text) for size, text in zip(sizes, texts[-3:], strict=True)]
        levels = [parse_properties(body).stats.levels for body in bodies]
        assert [[level.files for level in each] for each in levels] == [[4, 1], [5, 1], [0, 1]]
        assert [sum(level.bytes for level in each) for each in levels] == sizes

    @pytest.mark.parametrize(
        "record",
        [one for one in captures("storaged.jsonl") if one["method"] == "GET" and "body cut" not in one["note"]],
        ids=lambda one: one["path"][:50],
    )
    def test_each_recorded_answer_is_read_as_it_was(self, record: Record) -> None:
        async def test() -> None:
            head = f"HTTP/1.1 {record['status']} {record['reason']}\r\n"
            body = record["body"].encode()
            lines = {**record["headers"], "Content-Length": str(len(body))}
            head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            async with answering(f"{head}\r\n".encode() + body) as port:
                address = Address("127.0.0.1", port)
                assert await properties._get(address, record["path"]) == (
                    record["status"],
                    record["body"].strip(),
                )
                if record["path"].startswith("/admin?") and "&op=" in record["path"]:
                    message = await AdminCall("h", address, "s3", "flush", 5.0).start()
                    assert message == record["body"]

        run(test())

    def test_each_recorded_property_is_a_number_for_each_directory(self) -> None:
        for record in captures("storaged.jsonl"):
            if "property=rocksdb.total-sst" in record["path"]:
                assert record["body"].count('"Engine 0"') == record["path"].count("rocksdb.", 20)


def answer(size: int, levels: str) -> str:
    numbers = ",".join(f'{{"Engine 0": "{number}"}}' for number in (size, 1, 1, 0, 1, 0, 0))
    return f"[{numbers},{levels.strip()[1:-1]}]"


class TestStall:
    @pytest.mark.parametrize(
        ("stopped", "rates", "text"),
        [
            ("0", ("0", "0"), ""),
            ("1", ("0", "16777216"), "writes are stopped"),
            ("0", ("16777216", "8388608"), "writes are limited to 8 MiB/s"),
        ],
    )
    def test_over_all_data_directories(
        self, storaged: StoragedDouble, stopped: str, rates: tuple[str, str], text: str
    ) -> None:
        storaged.engines["nba"] = [
            {STALL_PROPERTIES[0]: "0", STALL_PROPERTIES[1]: rates[0]},
            {STALL_PROPERTIES[0]: stopped, STALL_PROPERTIES[1]: rates[1]},
        ]
        assert run(stats_of(storaged).fetch_stall("nba", "h")) == text

    def test_unknown_figures_are_no_stall(self, storaged: StoragedDouble) -> None:
        assert run(stats_of(storaged).fetch_stall("elsewhere", "h")) == ""


class TestStats:
    def test_data_directories_are_added_up(self, storaged: StoragedDouble) -> None:
        storaged.engines["nba"] = [engine(10 << 20, 2, 1, 1, 9), engine(5 << 20, 1, 0, 1, 5, running=1)]
        figures = run(stats_of(storaged).fetch("nba", "h"))
        assert figures.stats.bytes == 15 << 20
        assert figures.stats.levels == (Level(3, 1 << 20), Level(2, 14 << 20))
        assert (figures.stats.memtable, figures.stats.entries, figures.stats.pending) == (4096, 10044, 0)
        assert (level0_files(figures.stats), figures.now.compactions, figures.now.flushes) == (3, 1, 0)
        assert figures.now.directories == (10 << 20, 5 << 20)
        assert figures.stats == replace(figures.now, compactions=0, directories=())  # what a job records

    def test_space_that_is_not_there_is_missing(self, storaged: StoragedDouble) -> None:
        error = run(failure(stats_of(storaged).fetch("other", "h")))
        assert (error.code, "Space not found: other" in error.detail) == (ErrorCode.MISSING, True)

    def test_unknown_property_is_reported_and_not_retried_soon(
        self, storaged: StoragedDouble, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            clock = FakeClock()
            stats = stats_of(storaged, clock)
            monkeypatch.setattr("tests.support.storaged_double.KNOWN", frozenset())
            for _ in range(3):
                error = await failure(stats.fetch("nba", "h"))
                assert (error.code, "Property not found" in error.detail) == (ErrorCode.UNSUPPORTED, True)
            assert storaged.queries == ["/rocksdb_property"]
            monkeypatch.undo()
            clock.advance(60)
            assert (await stats.fetch("nba", "h")).stats.bytes == 0

        run(test())

    def test_other_servers_are_distinguished(self, storaged: StoragedDouble) -> None:
        storaged.noise = True
        error = run(failure(stats_of(storaged).fetch("nba", "h")))
        assert error.code is ErrorCode.UNREACHABLE

    def test_closed_port(self, storaged: StoragedDouble) -> None:
        stats = stats_of(storaged)
        storaged.die()
        error = run(failure(stats.fetch("nba", "h")))
        assert (error.code, "no storaged at" in error.detail) == (ErrorCode.UNREACHABLE, True)

    def test_one_of_several_storageds_needs_an_address(self) -> None:
        async def test() -> None:
            stats = StoragedStats(ClusterSettings(addresses=(Address("127.0.0.1", 1),)))
            error = await failure(stats.fetch("nba", "10.0.0.5:9779"))
            assert 'storaged = { "10.0.0.5:9779" = "10.0.0.5:PORT" }' in error.detail

        asyncio.run(test())
        assert http_address(ClusterSettings(addresses=(Address("a", 1),)), "::1") == Address("::1", 19779)


GOOD = [{"Engine 0": "1"} for _ in PROPERTIES[:-1]] + [{"Engine 0": LEVELS.format(1, 1, 0, 0)}]


class TestNoStoraged:
    """A port that answers, but not as a storaged does: no size is shown, and nothing is guessed."""

    @pytest.mark.parametrize(
        ("index", "value"),
        [
            (0, {"Engine 0": "-1"}),
            (0, {"Engine 0": "1e3"}),
            (0, {"Engine 0": str(1 << 63)}),
            (0, {"Engine 0": "9" * 5000}),
            (0, {}),
            (2, {"Engine 1": "1"}),
            (2, {"Engine 0": 1}),
            (2, None),
            (7, {"Engine 0": "  99999999999        1        1\n"}),
            (7, {"Engine 0": "  0        99999999999999999999        1\n"}),
        ],
    )
    def test_figure_that_rocksdb_does_not_have(self, index: int, value: object) -> None:
        parse_properties(json.dumps(GOOD))
        with pytest.raises((ValueError, msgspec.DecodeError)):
            parse_properties(json.dumps([*GOOD[:index], value, *GOOD[index + 1 :]]))

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>", ErrorCode.UNSUPPORTED),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", ErrorCode.UNSUPPORTED),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe", ErrorCode.UNSUPPORTED),
            (
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                ErrorCode.UNSUPPORTED,
            ),
            (
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4000\r\n\r\n" + b"\x1b[31m " * 667,
                ErrorCode.UNSUPPORTED,
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", ErrorCode.UNREACHABLE),
            (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", ErrorCode.UNREACHABLE),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
                ErrorCode.UNREACHABLE,
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n[", ErrorCode.UNREACHABLE),
            (b"x" * (1 << 17), ErrorCode.UNREACHABLE),
            (b"", ErrorCode.UNREACHABLE),
        ],
        ids=[
            "html",
            "list",
            "bytes",
            "redirect",
            "400",
            "huge",
            "digits",
            "chunked",
            "cut",
            "endless",
            "silent",
        ],
    )
    def test_other_answer(self, answer: bytes, code: ErrorCode) -> None:
        error = run(failure(answered(answer)))
        assert (error.code, len(error.detail) < 400, error.detail.isprintable()) == (code, True, True)

    def test_port_that_hangs_costs_one_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test() -> None:
            monkeypatch.setattr("jobtui.storage.nebula.properties.STATS_SECONDS", 0.05)
            with socket.create_server(("127.0.0.1", 0)) as listener:  # the system accepts; no answer follows
                stats = StoragedStats(settings_at(listener.getsockname()[1]), clock=FakeClock())
                for _ in range(3):
                    assert (await failure(stats.fetch("nba", "h"))).code is ErrorCode.TIMEOUT
                listener.settimeout(0)
                listener.accept()[0].close()
                with pytest.raises(BlockingIOError):
                    listener.accept()

        run(test())

    def test_200_spaces_are_queried_over_few_connections(self) -> None:
        async def test() -> None:
            open_now: set[int] = set()
            most = 0
            body = json.dumps(GOOD).encode()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal most
                open_now.add(id(writer))
                most = max(most, len(open_now))
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                open_now.discard(id(writer))
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1") as server:
                stats = StoragedStats(settings_at(server.sockets[0].getsockname()[1]))
                found = await asyncio.gather(*(stats.fetch(f"s{n}", "h") for n in range(200)))
            assert {one.stats.bytes for one in found} == {1}
            assert most <= properties.MAX_REQUESTS

        run(test())


async def answered(answer: bytes) -> object:
    """Return the figures of a host whose port gives this answer."""
    async with answering(answer) as port:
        return await StoragedStats(settings_at(port)).fetch("nba", "h")


class TestJobs:
    @pytest.fixture
    def cluster(self) -> Cluster:
        return Cluster({"nba": ["h"]})

    @pytest.fixture
    def prod(self, cluster: Cluster, storaged: StoragedDouble, tmp_path: Path) -> Iterator[ClusterBench]:
        addresses = {"h": Address("127.0.0.1", storaged.port)}
        with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path, storaged=addresses) as bench:
            bench.caught_up()
            yield bench

    def test_compact_has_its_sizes_before_and_after(
        self, prod: ClusterBench, cluster: Cluster, storaged: StoragedDouble
    ) -> None:
        storaged.engines["nba"] = [engine(9 << 20, 3, 9, 0, 0)]
        prod.execute("ADMIN COMPACT nba")
        (task,) = prod.events.until(1, Status.RUNNING).tasks
        assert task.before is not None
        assert task.before.levels == (Level(3, 9 << 20),)
        storaged.engines["nba"] = [engine(4 << 20)]
        cluster.finish(1)
        job = prod.events.until(1, Status.FINISHED)
        assert job.tasks[0].reclaimed == 5 << 20
        (row,) = prod.rows("SHOW SPACES")
        assert row[2] == "4 MiB"

    def test_advice_and_explain_of_what_storaged_reports(
        self, prod: ClusterBench, storaged: StoragedDouble
    ) -> None:
        storaged.engines["nba"] = [needy()]
        reason = "≈ 5 MiB of 9 MiB would be given back (a guess)"
        (row,) = prod.execute("SHOW ADVICE").results[-1].rows
        assert row.cells[:8] == ("nba", "h", "compact", "≈ 5 MiB", "", "9", "7 MiB", "2 KiB")
        assert row.cells[-1] == "ADMIN COMPACT nba"
        assert (row.values["reason"], row.values["size"]) == (reason, 9 << 20)
        (row,) = prod.execute("EXPLAIN ADMIN COMPACT nba").results[-1].rows
        assert row.values["Action"] == "compact"
        assert (row.values["Rewrites"], row.values["Gives Back"]) == (9 << 20, 5 << 20)
        assert "the reclaimed bytes are a guess" in row.values["Note"]

    def test_advice_on_a_host_that_reports_nothing(self, prod: ClusterBench, storaged: StoragedDouble) -> None:
        storaged.die()
        (row,) = prod.execute("SHOW ADVICE").results[-1].rows
        assert row.values["Verdict"] == "unknown"
        assert "no storaged at" in row.values["reason"]

    def test_host_without_figures_is_noted_once(
        self, prod: ClusterBench, cluster: Cluster, storaged: StoragedDouble
    ) -> None:
        storaged.die()
        for number in (1, 2):
            prod.execute("ADMIN COMPACT nba")
            prod.events.until(number, Status.RUNNING)
            cluster.finish(number)
            prod.events.until(number, Status.FINISHED)
        notes = [
            [event.reason for event in prod.job(number).events if event.reason.startswith("the sizes")]
            for number in (1, 2)
        ]
        assert [len(each) for each in notes] == [1, 0]
        assert notes[0][0].startswith("the sizes on h are not known: ")
        assert prod.job(1).tasks[0].before is None

    def test_job_of_another_client_has_no_sizes(
        self, prod: ClusterBench, cluster: Cluster, storaged: StoragedDouble
    ) -> None:
        storaged.engines["nba"] = [engine(4 << 20)]
        cluster.submit("nba", "COMPACT")
        assert prod.events.until(1, Status.RUNNING).tasks[0].before is None
        cluster.finish(1)
        (task,) = prod.events.until(1, Status.FINISHED).tasks
        assert (task.before, task.after, task.reclaimed) == (None, None, None)

    def test_job_that_waits_for_another_has_no_sizes(
        self, prod: ClusterBench, cluster: Cluster, storaged: StoragedDouble
    ) -> None:
        storaged.engines["nba"] = [engine(9 << 20, 3, 9, 0, 0)]
        first = cluster.submit("nba", "COMPACT")  # another client's
        (flush,) = prod.execute("ADMIN FLUSH nba").jobs
        prod.events.wait_for(lambda: flush not in sizes(prod))
        storaged.engines["nba"] = [engine(4 << 20)]  # the compact reclaims it, not the flush
        cluster.finish(first)
        cluster.finish(first + 1)
        (task,) = prod.events.until(flush, Status.FINISHED).tasks
        assert (task.before, task.reclaimed) == (None, None)

    def test_sizes_long_after_the_end_are_not_those_after_it(
        self, prod: ClusterBench, cluster: Cluster, storaged: StoragedDouble, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storaged.engines["nba"] = [engine(9 << 20, 3, 9, 0, 0)]
        prod.execute("ADMIN COMPACT nba")
        prod.events.until(1, Status.RUNNING)
        monkeypatch.setattr("jobtui.engine.cluster.inventory.LATE_SECONDS", 0.0)  # as if metad had been away
        cluster.finish(1)
        (task,) = prod.events.until(1, Status.FINISHED).tasks
        assert task.before is not None
        assert (task.after, task.reclaimed) == (None, None)

    def test_each_host_is_measured_when_its_task_ends(
        self, cluster: Cluster, storaged: StoragedDouble, tmp_path: Path
    ) -> None:
        cluster.spaces["nba"].hosts.append("h2")
        addresses = dict.fromkeys(("h", "h2"), Address("127.0.0.1", storaged.port))
        with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path, storaged=addresses) as prod:
            prod.caught_up()
            storaged.engines["nba"] = [engine(9 << 20, 3, 9, 0, 0)]
            prod.execute("ADMIN COMPACT nba")
            prod.events.until(1, Status.RUNNING)
            storaged.engines["nba"] = [engine(4 << 20)]
            cluster.finish(1, host="h")
            prod.events.wait_for(lambda: prod.job(1).tasks[0].after is not None)
            storaged.engines["nba"] = [engine(6 << 20)]
            cluster.finish(1)
            job = prod.events.until(1, Status.FINISHED)
        assert [task.reclaimed for task in job.tasks] == [5 << 20, 3 << 20]


def sizes(prod: ClusterBench) -> JobSizes:
    sync = prod.engine.engine.sync
    assert sync is not None
    return sync.sizes


def test_stats_record_is_what_the_history_keeps() -> None:
    assert parse_properties(answer(5, '[{"Engine 0": ""}]')).stats == SpaceStats((Level(0, 5),), 1, 1, 0)
