"""A dead worker is reported and restarted; none outlives its parent or leaves files behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobtui import __version__
from jobtui.errors import ErrorCode
from jobtui.storage.base import CompactionRequest, OperationControl
from jobtui.storage.local import protocol as p
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.process import ProtocolMismatch, _check_protocol
from jobtui.storage.local.supervisor import QUICK, RESTART_DELAYS, OperationStopped, WorkerSupervisor
from tests.support.storage import Watched, compact, dumped, failure_of, flush, layered, moving_compact, space_at

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at the process through /proc")


def test_killed_worker_is_reported_with_signal_and_restarted(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 3, rate=8 << 20) as (storage, held):
            worker = storage.worker("h1", adopted=False)
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            os.kill(worker.pid, signal.SIGKILL)
            error = await failure_of(compacting)
            assert error.code is ErrorCode.HOST_DIED
            assert "h1 was killed by SIGKILL" in error.detail
            assert (await compact(storage)).after.files == 1
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


@linux
def test_stderr_is_reported_to_running_operations(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 3, rate=8 << 20) as (storage, _):
            worker, watched = storage.worker("h1", adopted=False), Watched()
            compacting = await moving_compact(storage, watched)
            write(f"/proc/{worker.pid}/fd/2", b"\x1b[31mout of \x00memory\n" + b"more\n" * 500)
            await compacting
            assert r"\x1b[31mout of \x00memory" in watched.log
            assert watched.log.count("more") < 100

    asyncio.run(run())


@linux
def test_stderr_is_in_the_reason_and_stray_output_is_ignored(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await flush(storage)
            worker = storage.worker("h1", adopted=False)
            write(f"/proc/{worker.pid}/fd/1", b"printed by a library\n")
            write(f"/proc/{worker.pid}/fd/2", b"\x1b[31mout of \x00memory\n")
            assert await storage.stats("nba", "h1")
            looking = asyncio.ensure_future(storage.stats("nba", "h1"))
            os.kill(worker.pid, signal.SIGSEGV)
            await asyncio.wait([looking])
            if looking.exception() is None:  # it answered before it died
                error = await failure_of(storage.stats("nba", "h1"))
            else:
                error = looking.exception()
            assert "SIGSEGV" in error.detail
            assert r"printed by a library | \x1b[31mout of \x00memory" in error.detail

    asyncio.run(run())


@linux
def test_garbage_line_is_reported_and_skipped(tmp_path):
    async def run():
        notices: list[str] = []
        async with space_at(tmp_path) as storage:
            storage.notice = notices.append
            await flush(storage)
            pid = storage.worker("h1", adopted=False).pid
            garbage = b'no json\x1b[2J\n{"number":1}\n{"number":999999,"reply":{"is":"done"}}\n'
            write(answers_of(pid), garbage)
            assert (await flush(storage)).after is not None
            assert storage.worker("h1", adopted=False).pid == pid
            assert len(notices) == 2
            assert r"no json\x1b[2J" in notices[0]
            assert "\x1b" not in notices[0]

    asyncio.run(run())


HOSTILE = {
    "no UTF-8": b'{"number":0,"reply":{"is":"remark","text":"\xff"}}',
    "50,000 nested objects": b'{"number":' * 50_000,
    "a number of 5,000 digits": b'{"number":%b,"reply":{"is":"done"}}' % (b"9" * 5_000),
    "an unknown word": b'{"number":0,"reply":{"is":"reboot"}}',
    "wrong types": b'{"number":"0","reply":[]}',
    "NUL bytes": bytes(100),
}


@linux
@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_line_on_either_pipe_is_passed_over(tmp_path, line):
    async def run():
        notices: list[str] = []
        async with space_at(tmp_path) as storage:
            storage.notice = notices.append
            await flush(storage)
            worker = storage.worker("h1", adopted=False)
            pid = worker.pid
            write(answers_of(pid), line + b"\n")
            worker._process._process.stdin.write(line + b"\n")
            assert (await flush(storage)).after is not None
            assert worker.pid == pid
            assert len(notices) == 2

    asyncio.run(run())


def test_worker_of_another_protocol_is_ended_and_named(tmp_path, monkeypatch):
    async def run():
        worker = WorkerSupervisor("h1", ["own", str(tmp_path)], lambda text: None)
        monkeypatch.setattr(p, "PROTOCOL", p.PROTOCOL + 1)
        error = await error_of(worker.request(p.Ping(), p.Ready))
        assert error.code is ErrorCode.UNSUPPORTED
        assert f"jobtui {__version__} has been installed since" in error.reason
        assert worker.pid is None
        monkeypatch.undo()
        assert (await worker.request(p.Ping(), p.Ready)).version == __version__
        await worker.close()

    asyncio.run(run())


def test_worker_that_names_no_protocol_is_refused():
    with pytest.raises(ProtocolMismatch, match="another version of jobtui has been installed"):
        _check_protocol(p.Ready())


def test_crashing_worker_is_restarted_less_and_less_often(tmp_path):
    now = 1000.0
    waits: list[float] = []

    async def run():
        nonlocal now
        worker = WorkerSupervisor("h1", ["no such kind of arguments"], lambda text: None, clock=lambda: now)
        for _ in range(len(RESTART_DELAYS) + 2):
            error = await error_of(worker.request(p.Ping(), p.Ready, QUICK))
            assert error.code is ErrorCode.HOST_DIED
            assert "exit status 1" in error.reason
            start = now
            while (await error_of(worker.request(p.Ping(), p.Ready, QUICK))).reason.startswith(
                "h1 keeps dying"
            ):
                now += 0.25
            waits.append(now - start)
        await worker.close()

    asyncio.run(run())
    assert waits == sorted(waits)
    assert waits[0] == 0
    assert waits[-1] == 30


def test_restart_pause_refuses_stats_and_delays_work(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            worker = storage.worker("h1", adopted=False)
            for _ in range(3):
                os.kill(worker.pid or (await started(worker)), signal.SIGKILL)
                await worker_gone(storage)
            error = await failure_of(storage.stats("nba", "h1"))
            assert error.code is ErrorCode.HOST_DIED
            assert "keeps dying" in error.detail
            watched = Watched()
            compacting = asyncio.ensure_future(
                storage.compact("nba", "h1", CompactionRequest(), watched, watched.control)
            )
            await asyncio.sleep(0)
            watched.cancel.set()
            assert (await compacting).stopped
            assert await flush(storage)
            assert await storage.stats("nba", "h1")

    asyncio.run(run())


@linux
def test_worker_does_not_outlive_a_killed_parent(tmp_path):
    code = """
import asyncio, sys
from pathlib import Path
from jobtui.storage.base import CompactionRequest
from tests.support.storage import layered, Watched, layers, space_at, moving_compact

async def run():
    async with space_at(Path(sys.argv[1]), rate=1 << 20) as storage:
        await layers(storage, 1, 0.5)
        watched = Watched()
        asyncio.ensure_future(storage.compact("nba", "h1", CompactionRequest(), watched, watched.control))
        await watched.reported.wait()
        print(storage.worker("h1", adopted=False).pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(run())
"""
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        worker = os.pidfd_open(int(parent.stdout.readline()))
    finally:
        parent.kill()
        parent.communicate()
    ended, _, _ = select.select([worker], [], [], 10)
    os.close(worker)
    assert ended


@linux
def test_kernel_ends_a_worker_whose_pipe_outlives_its_parent(tmp_path):
    code = """
import os, subprocess, sys
words = [sys.executable, "-m", "jobtui.storage.local.worker", str(os.getpid()), "own", sys.argv[1]]
worker = subprocess.Popen(words, stdout=subprocess.PIPE)
assert b"here" in worker.stdout.readline()
print(worker.pid, flush=True)
worker.wait()
"""
    orders, held_open = os.pipe()  # another process that inherited it may well have it open
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=orders, stdout=subprocess.PIPE)
    try:
        worker = os.pidfd_open(int(parent.stdout.readline()))
    finally:
        parent.kill()
        parent.wait()
    ended, _, _ = select.select([worker], [], [], 10)
    if not ended:
        signal.pidfd_send_signal(worker, signal.SIGKILL)
    for descriptor in (worker, orders, held_open):
        os.close(descriptor)
    parent.stdout.close()
    assert ended


@linux
def test_worker_exits_with_its_pipe_without_kernel_help(tmp_path):
    worker = subprocess.Popen(
        [sys.executable, "-m", "jobtui.storage.local.worker", str(os.getpid()), "own", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert b'"here"' in worker.stdout.readline()
    worker.communicate(timeout=10)
    assert worker.returncode == 0


def test_ctrl_c_in_the_terminal_does_not_reach_a_worker(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await flush(storage)
            pid = storage.worker("h1", adopted=False).pid
            assert os.getsid(pid) != os.getsid(0)
            os.kill(pid, signal.SIGINT)
            assert await flush(storage)
            assert storage.worker("h1", adopted=False).pid == pid

    asyncio.run(run())


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_terminal_signals_do_not_end_a_new_worker(tmp_path, sent):
    def in_the_starters_group() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [sent])
        os.kill(os.getpid(), sent)

    worker = subprocess.Popen(
        [sys.executable, "-m", "jobtui.storage.local.worker", str(os.getpid()), "own", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=in_the_starters_group,
    )
    assert b'"here"' in worker.stdout.readline()
    if sent is signal.SIGTERM:
        worker.terminate()
        assert worker.wait(10) == -sent
    worker.communicate(timeout=10)


def test_early_exit_is_described(tmp_path, monkeypatch):
    make = asyncio.create_subprocess_exec

    async def made_and_ended(*words, **options):
        process = await make(*words, **options)
        await process.wait()
        return process

    async def run():
        monkeypatch.setattr(asyncio, "create_subprocess_exec", made_and_ended)
        worker = WorkerSupervisor("h1", ["no such kind of arguments"], lambda text: None)
        error = await error_of(worker.request(p.Ping(), p.Ready, QUICK))
        await worker.close()
        return error

    error = asyncio.run(run())
    assert error.code is ErrorCode.HOST_DIED
    assert "exit status 1" in error.reason


@linux
def test_dead_and_closed_workers_leave_nothing(tmp_path):
    files_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    children_before = children_of(os.getpid())  # the process that forks commands for other tests

    async def run():
        for _ in range(3):
            async with space_at(tmp_path / str(_)) as storage:
                worker = storage.worker("h1", adopted=False)
                os.kill(worker.pid, signal.SIGKILL)
                await worker_gone(storage)
                assert await flush(storage)
            assert children_of(os.getpid()) == children_before

    asyncio.run(run())
    assert len(os.listdir("/proc/self/fd")) <= files_before + 2  # noqa: PTH208


def write(pipe: Path | str, data: bytes) -> None:
    with open(pipe, "wb", buffering=0) as out:
        out.write(data)


def answers_of(pid: int) -> Path:
    """The worker's end of the pipe that its answers go through."""
    for descriptor in sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda path: int(path.name)):
        if int(descriptor.name) > 2 and os.readlink(descriptor).startswith("pipe:"):  # noqa: PTH115
            return descriptor
    raise AssertionError("the worker has no pipe")


def children_of(pid: int) -> list[int]:
    """Processes, zombies too, whose parent that is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[1]) == pid:
            found.append(int(stat.parent.name))
    return found


async def started(worker: WorkerSupervisor) -> int:
    await worker.request(p.Ping(), p.Ready)
    assert worker.pid is not None
    return worker.pid


async def worker_gone(storage) -> None:
    """Wait until the storage has noticed that its worker was killed."""
    error = await failure_of(storage.stats("nba", "h1"))
    assert error.code is ErrorCode.HOST_DIED


async def error_of(work) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        await work
    return caught.value


def test_stop_does_not_wait_for_a_worker_that_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr("jobtui.storage.local.supervisor.GRACE_SECONDS", 0.05)
    silent, began = tmp_path / "silent", tmp_path / "began"
    silent.write_text(f"#!/bin/sh\necho $$ >{began}.new\nmv {began}.new {began}\nexec sleep 1000\n")
    silent.chmod(0o700)

    async def run():
        worker = WorkerSupervisor("h1", ["own", str(tmp_path)], lambda _text: None)
        control = OperationControl()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(silent))
            working = asyncio.ensure_future(
                worker.run_operation(p.FlushDatabase(""), lambda _moved: None, control)
            )
            while not began.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # until the process is there
            control.cancel.set()
            with pytest.raises(OperationStopped):
                await asyncio.wait_for(working, 20)
        with pytest.raises(ProcessLookupError):
            os.kill(int(began.read_text()), 0)
        assert await worker.request(p.Ping(), p.Ready)
        await worker.close()

    asyncio.run(run())
