"""Jobs that our engine runs itself, through each storaged's HTTP port."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState
from jobtui.storage.base import CompactionRequest, OperationControl, Space, TaskResult
from jobtui.storage.nebula.settings import Address, ClusterSettings, RunMode
from jobtui.storage.nebula.storaged import BODY_LIMIT, AdminCall, StoragedRunner
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import failure, run, settings_for
from tests.support.nebula_cluster import Cluster
from tests.support.storaged_double import StoragedDouble, detached_compact

HOST = "127.0.0.1"


def given(port: int, *, spaces: dict[str, tuple[str, ...]] | None = None) -> ClusterSettings:
    """A 1.x cluster: the settings list the spaces, and no graphd is used."""
    return ClusterSettings(
        name="old",
        run=RunMode.STORAGED,
        storaged_port=port,
        spaces=spaces or {"nba": (HOST,)},
        connect_timeout=1.0,
    )


async def work(runner: StoragedRunner, op: str = "compact", space: str = "nba", host: str = HOST) -> TaskResult:
    """What the work comes to, without the sizes before and after it."""
    if op == "flush":
        result = await runner.flush(space, host, lambda _: None, OperationControl())
    else:
        result = await runner.compact(space, host, CompactionRequest(), lambda _: None, OperationControl())
    return replace(result, before=None, after=None)


def closed_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def test_it_creates_no_spaces() -> None:
    assert not StoragedRunner(given(12000)).is_space_admin


@pytest.mark.parametrize("op", ["flush", "compact"])
def test_host_is_requested_once_and_ok_is_success(op: str) -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            runner = StoragedRunner(given(storaged.port))
            assert await work(runner, op) == TaskResult()
            assert storaged.asked == [("nba", op)]
            await runner.close()

    run(test())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("Can't find space nba", ErrorCode.MISSING),
        ("Compact failed! error=-3", ErrorCode.REJECTED),
        ("Flush failed! error=-8", ErrorCode.REJECTED),
        ("Unknown operation compact", ErrorCode.REJECTED),
        ("Error inside", ErrorCode.REJECTED),
        ("OK", ErrorCode.REJECTED),
        ("okay", ErrorCode.REJECTED),
        ("<html>\n<body>\x1b[2J Sign in </body>\n</html>", ErrorCode.REJECTED),
    ],
)
def test_other_body_with_status_200_is_a_failure(body: str, code: ErrorCode) -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            storaged.body = body
            error = await failure(work(StoragedRunner(given(storaged.port))))
            line = " ".join(body.replace("\x1b", "\\x1b").split())
            assert (error.code, error.detail, error.host, error.space) == (code, line, HOST, "nba")

    run(test())


def figures_of(size: int, level0_files: int) -> list[dict[str, str]]:
    """The properties of one data directory."""
    levels = f"Level Files Size(MB)\n-----\n  0        {level0_files}        1\n  1        1        3\n"
    return [{"rocksdb.total-sst-files-size": str(size), "rocksdb.levelstats": levels}]


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (0, ""),
        (2, ""),
        (3, "3 files at level 0 after it: data was written meanwhile, or it was not compacted"),
    ],
)
def test_level_0_that_does_not_shrink_puts_the_result_in_doubt(files: int, note: str) -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            storaged.engines["nba"] = figures_of(9 << 20, 3)
            storaged.hangs = True
            runner = StoragedRunner(given(storaged.port))
            control = OperationControl()
            working = asyncio.ensure_future(
                runner.compact("nba", HOST, CompactionRequest(), lambda _: None, control)
            )
            await asyncio.to_thread(storaged.wait_for_a_call)
            storaged.engines["nba"] = figures_of(4 << 20, files)
            storaged.go_on()
            result = await working
            assert result.before is not None
            assert result.after is not None
            assert (result.before.bytes, result.before.levels[0].files) == (9 << 20, 3)
            assert (result.after.bytes, result.after.levels[0].files) == (4 << 20, files)
            assert result.note == note

    run(test())


def test_empty_answer_is_a_failure_with_a_reason() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            storaged.body = ""
            assert (
                await failure(work(StoragedRunner(given(storaged.port))))
            ).detail == "storaged gave an empty answer"

    run(test())


def test_other_server_is_reported_as_no_storaged() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            runner = StoragedRunner(given(storaged.port))
            storaged.http_status = 404
            error = await failure(work(runner))
            assert (error.code, "HTTP 404" in error.detail) == (ErrorCode.REJECTED, True)
            storaged.noise = True
            error = await failure(work(runner))
            assert (error.code, "not a storaged" in error.detail) == (ErrorCode.REJECTED, True)

    run(test())


def test_body_without_end_is_a_reason_of_bearable_length() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            storaged.body = "x" * (1 << 20)
            error = await failure(work(StoragedRunner(given(storaged.port))))
            assert (error.code, len(error.detail) <= BODY_LIMIT + 1) == (ErrorCode.REJECTED, True)
            assert error.detail.endswith("x…")

    run(test())


def test_host_that_is_down_or_stalled_is_noticed() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            runner = StoragedRunner(given(storaged.port))
            assert (await runner.find_outage("nba", HOST), await runner.find_stall("nba", HOST)) == ("", "")
            storaged.engines["nba"] = [{"rocksdb.is-write-stopped": "1"}]
            assert await runner.find_stall("nba", HOST) == "writes are stopped"
        port = closed_port()
        down = StoragedRunner(given(port))
        assert await down.find_outage("nba", HOST) == f"no storaged at {HOST}:{port}: Connection refused"
        assert await down.find_stall("nba", HOST) == ""

    run(test())


def test_host_that_is_not_there_is_unreachable() -> None:
    async def test() -> None:
        port = closed_port()
        error = await failure(work(StoragedRunner(given(port))))
        assert error.code is ErrorCode.UNREACHABLE
        assert error.detail == f"no storaged at {HOST}:{port}: Connection refused"

    run(test())


def test_host_lost_during_work_has_died() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            storaged.hangs = True
            working = asyncio.ensure_future(work(StoragedRunner(given(storaged.port))))
            await asyncio.to_thread(storaged.wait_for_a_call)
            storaged.die()
            assert (await failure(working)).code is ErrorCode.HOST_DIED

    run(test())


def test_work_lasts_as_long_as_it_lasts() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            storaged.hangs = True
            runner = StoragedRunner(given(storaged.port))
            working = asyncio.ensure_future(work(runner))
            await asyncio.to_thread(storaged.wait_for_a_call)
            # other calls continue meanwhile
            storaged.hangs = False
            assert await work(runner, "flush") == TaskResult()
            assert not working.done()
            storaged.go_on()
            assert await working == TaskResult()

    run(test())


def test_stop_is_detached_and_settles_when_the_host_is_through() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            runner = StoragedRunner(given(storaged.port))
            outcome = await detached_compact(runner, storaged)
            assert (outcome.stopped, outcome.detached) == (True, True)
            assert outcome.released is not None
            assert not outcome.released.done()
            storaged.go_on()
            await outcome.released
            await runner.close()

    run(test())


def test_detached_host_that_dies_is_settled_too() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            runner = StoragedRunner(given(storaged.port))
            outcome = await detached_compact(runner, storaged)
            storaged.die()
            assert outcome.released is not None
            await outcome.released

    run(test())


def test_stop_before_the_request_is_sent_is_real(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            connect, may_connect = socket.create_connection, asyncio.Event()
            loop = asyncio.get_running_loop()

            def slowly(*arguments: object, **named: object) -> socket.socket:
                asyncio.run_coroutine_threadsafe(may_connect.wait(), loop).result(20)
                return connect(*arguments, **named)  # type: ignore[arg-type]  # arguments of any kind

            monkeypatch.setattr(socket, "create_connection", slowly)
            control = OperationControl()
            runner = StoragedRunner(given(storaged.port))
            working = asyncio.ensure_future(
                runner.compact("nba", HOST, CompactionRequest(), lambda _: None, control)
            )
            await asyncio.sleep(0)
            control.cancel.set()
            loop.call_soon(may_connect.set)
            assert await working == TaskResult(stopped=True)
            assert storaged.asked == []

    run(test())


def test_call_aborted_before_it_connects_sends_nothing() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            call = AdminCall(HOST, Address(HOST, storaged.port), "nba", "compact", 5.0)
            call.abort()
            assert (await failure(call.start())).code is ErrorCode.UNREACHABLE
            assert storaged.asked == []

    run(test())


def test_closing_lets_the_host_finish() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            storaged.hangs = True
            runner = StoragedRunner(given(storaged.port))
            working = asyncio.ensure_future(work(runner))
            await asyncio.to_thread(storaged.wait_for_a_call)
            await runner.close()
            assert (await failure(working)).code is ErrorCode.HOST_DIED

    run(test())


@pytest.mark.parametrize("name", ["图谱", "été", "a%41b", "a+b", "a=b", "we`ird", "what?", "back\\slash"])
def test_name_is_sent_unencoded_as_storaged_decodes_nothing(name: str) -> None:
    async def test() -> None:
        with StoragedDouble({name}) as storaged:
            runner = StoragedRunner(given(storaged.port, spaces={name: (HOST,)}))
            assert await work(runner, "flush", name) == TaskResult()
            assert storaged.asked == [(name, "flush")]

    run(test())


@pytest.mark.parametrize("name", ["a b", "a&op=compact", "a#b", "a\r\nGET /other", "a\tb", "\ud800"])
def test_name_impossible_in_http_is_never_sent(name: str) -> None:
    async def test() -> None:
        with StoragedDouble({name}) as storaged:
            runner = StoragedRunner(given(storaged.port, spaces={name: (HOST,)}))
            error = await failure(work(runner, "flush", name))
            assert error.code is ErrorCode.UNSUPPORTED
            assert storaged.asked == []

    run(test())


def test_1x_clusters_spaces_and_hosts_are_the_settings_own() -> None:
    async def test() -> None:
        with StoragedDouble({"nba"}) as storaged:
            down = f"{HOST}:{closed_port()}"
            settings = given(storaged.port, spaces={"nba": (HOST, down), "other": (HOST,)})
            runner = StoragedRunner(settings)
            await runner.start()
            assert runner.link is None
            assert await runner.spaces() == (Space("nba", (HOST, down)), Space("other", (HOST,)))
            hosts = {host.name: host for host in await runner.hosts()}
            assert (hosts[HOST].up, hosts[HOST].spaces) == (True, 2)
            assert (hosts[down].up, hosts[down].spaces) == (False, 1)
            assert "Connection refused" in hosts[down].detail
            assert await work(runner, "flush", "nba", HOST) == TaskResult()
            assert (await failure(work(runner, "flush", "nba", down))).code is ErrorCode.UNREACHABLE
            await runner.close()

    run(test())


def test_newer_clusters_spaces_and_hosts_come_from_graphd() -> None:
    async def test() -> None:
        async with AsyncExitStack() as stack:
            storaged = stack.enter_context(StoragedDouble({"nba"}))
            graphd = stack.enter_context(GraphdDouble(Cluster({"nba": [HOST, "10.255.255.1"]})))
            settings = settings_for(
                graphd,
                run=RunMode.STORAGED,
                storaged_port=storaged.port,
                storaged={"10.255.255.1": Address(HOST, closed_port())},
                connect_timeout=1.0,
            )
            runner = StoragedRunner(settings)
            await runner.start()
            stack.push_async_callback(runner.close)
            assert await runner.spaces() == (Space("nba", ("10.255.255.1", HOST)),)
            assert [(host.name, host.up) for host in await runner.hosts()] == [
                ("10.255.255.1", False),
                (HOST, True),
            ]
            assert runner.link is not None
            assert runner.link.state is ConnectionState.CONNECTED
            assert await work(runner) == TaskResult()
            graphd.down()
            assert (await failure(runner.spaces())).code is ErrorCode.UNREACHABLE
            assert runner.link.state is ConnectionState.LOST
            assert await work(runner, "flush") == TaskResult()  # the work itself needs no graphd

    run(test())


def test_storageds_on_one_machine_need_http_addresses() -> None:
    async def test() -> None:
        with (
            StoragedDouble({"nba"}) as storaged,
            GraphdDouble(Cluster({"nba": ["h:9779", "h:9789"]})) as graphd,
        ):
            settings = settings_for(
                graphd, run=RunMode.STORAGED, storaged={"h:9779": Address(HOST, storaged.port)}
            )
            runner = StoragedRunner(settings)
            await runner.start()
            assert await work(runner, "flush", "nba", "h:9779") == TaskResult()
            error = await failure(work(runner, "flush", "nba", "h:9789"))
            assert error.code is ErrorCode.UNSUPPORTED
            assert 'no address configured: storaged = { "h:9789" = "h:PORT" } in the profile' in error.detail
            assert [host.state for host in await runner.hosts()] == ["online", "no address configured"]
            await runner.close()

    run(test())


def test_host_that_is_named_by_its_ipv6_address_is_spoken_to() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster({"nba": ["10.0.0.5"]})) as graphd:
            runner = StoragedRunner(settings_for(graphd, run=RunMode.STORAGED, storaged_port=closed_port()))
            error = await failure(work(runner, "flush", "nba", "::1"))
            assert (error.code, error.detail.startswith("no storaged at [::1]:")) == (
                ErrorCode.UNREACHABLE,
                True,
            )

    run(test())


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 40\r\n\r\nok",
        b"Content-Length: 40\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ],
)
def test_answer_that_breaks_off_is_no_success(answer: bytes) -> None:
    async def test() -> None:
        with socket.create_server((HOST, 0)) as listener:

            def serve() -> None:
                listener.accept()[0].close()  # the request for the sizes before
                client, _ = listener.accept()
                with client:
                    client.recv(1 << 12)
                    client.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

            serving = asyncio.ensure_future(asyncio.to_thread(serve))
            error = await failure(work(StoragedRunner(given(listener.getsockname()[1]))))
            assert (error.code, "in the middle of its answer" in error.detail) == (ErrorCode.HOST_DIED, True)
            await serving

    run(test())


def test_statements_of_embedded_storage_are_unsupported() -> None:
    async def test() -> None:
        runner = StoragedRunner(given(12000))
        for call in (runner.drop_space("nba"), runner.load("nba", [])):
            assert (await failure(call)).code is ErrorCode.UNSUPPORTED
        with pytest.raises(StorageError, match="embedded storage only"):
            await anext(aiter(runner.dump("nba")))

    run(test())
