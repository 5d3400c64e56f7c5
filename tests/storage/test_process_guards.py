"""Guards of the processes around a database that rarely act: each test fails without the guard."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.base import Placement
from jobtui.storage.local import demo, errors, process
from jobtui.storage.local import protocol as p
from jobtui.storage.local.backend import LocalStorage
from jobtui.storage.local.catalog import Catalog, CatalogEntry
from jobtui.storage.local.errors import DiskSpace, WorkerError, rocksdb_error, system_error
from jobtui.storage.local.process import WorkerDied, WorkerProcess
from jobtui.storage.local.supervisor import WorkerSupervisor
from tests.support.adoptable import adoptable
from tests.support.storage import failure_of, space_at, storage_at

pytestmark = pytest.mark.anyio
LONGEST = 60.0
LOCKED = """
import fcntl, sys
lock = open(sys.argv[1], "r+")
fcntl.lockf(lock, fcntl.LOCK_EX)
print(flush=True)
input()
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[WorkerSupervisor]:
    """The supervisor of a host without databases, whose process is started by the first request."""
    notices: list[str] = []
    supervisor = WorkerSupervisor("h1", ["own", str(tmp_path), "--step", "1000000"], notices.append)
    yield supervisor
    await supervisor.kill_now()


async def spoken(script: str, *lines: bytes, notices: list[str] | None = None) -> WorkerProcess:
    """Return a worker whose process is this script of the shell, with the lines as its parameters."""
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        script,
        "sh",
        *lines,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return WorkerProcess("h1", process, (notices if notices is not None else []).append)


class TestProcess:
    async def test_process_that_closes_its_output_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def keeps_running(*_: object) -> None:
            return None

        monkeypatch.setattr(process, "_wait_exit", keeps_running)
        life = await spoken("exec >&- 2>&-; exec sleep 600")
        async with asyncio.timeout(LONGEST):
            await life.wait_ended()
        assert "SIGKILL" in life.exit_description

    async def test_progress_that_is_not_wanted_is_passed_over(self) -> None:
        progress = msgspec.json.encode(p.WorkerResponse(1, p.ProgressReply(None, None)))
        done = msgspec.json.encode(p.WorkerResponse(1, p.Done()))
        life = await spoken('read request; echo "$1"; echo "$2"; read request', progress, done)
        _, reply = life.send(p.Ping())
        async with asyncio.timeout(LONGEST):
            assert await reply == p.Done()
        await life.kill()

    async def test_reply_that_nothing_waits_for_is_passed_over(self) -> None:
        unknown, first, second = (
            msgspec.json.encode(p.WorkerResponse(number, p.Done())) for number in (99, 1, 2)
        )
        # written at once: the second of the same number comes before the first has been forgotten
        script = 'read request; printf "%s\\n%s\\n%s\\n" "$1" "$2" "$2"; read request; echo "$3"; read request'
        life = await spoken(script, unknown, first, second)
        async with asyncio.timeout(LONGEST):
            for _ in range(2):
                _, reply = life.send(p.Ping())
                assert await reply == p.Done()
        await life.kill()

    async def test_invalid_lines_are_reported_a_few_times(self) -> None:
        notices: list[str] = []
        life = await spoken("for each in 1 2 3 4 5; do echo no message; done", notices=notices)
        await life.wait_ended()
        assert len(notices) == process._MAX_GARBAGE_REPORTS

    async def test_last_lines_include_a_cut_one_but_no_blank_ones(self) -> None:
        life = await spoken("printf '\\n \\nout of luck' >&2; exit 3")
        await life.wait_ended()
        assert life.exit_description.endswith("exit status 3; its last lines on stderr: out of luck")

    async def test_abort_names_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "describe_limit", lambda number: f"the limit of error {number}")
        life = await spoken("kill -ABRT $$")
        await life.wait_ended()
        assert life.exit_description.endswith(f"the limit of error {errno.ENOMEM}")


class TestSupervisor:
    async def test_closed_one_starts_no_process(self, worker: WorkerSupervisor) -> None:
        await worker.close()
        with pytest.raises(WorkerError, match="h1 has been closed") as refused:
            await worker.request(p.Ping(), p.Ready)
        assert refused.value.code is ErrorCode.UNREACHABLE
        assert worker.pid is None

    async def test_process_that_died_at_rest_is_recorded_once(self, tmp_path: Path) -> None:
        exits: list[str] = []

        async def after_exit() -> None:
            exits.append("exit")

        worker = WorkerSupervisor("h1", ["own", str(tmp_path)], exits.append, after_exit=after_exit)
        await worker.request(p.Ping(), p.Ready)
        life = worker._process
        assert life is not None
        os.kill(life.pid, signal.SIGKILL)
        await life.wait_ended()
        await worker.request(p.Ping(), p.Ready)
        assert exits == ["exit"]
        assert "SIGKILL" in worker._crash_reason
        await worker.close()

    async def test_death_under_several_requests_is_one_crash(self, worker: WorkerSupervisor) -> None:
        await worker.request(p.Ping(), p.Ready)
        life = worker._process
        assert life is not None
        os.kill(life.pid, signal.SIGKILL)
        await life.wait_ended()
        for _ in range(2):
            await worker._on_death(life, WorkerDied(life.exit_description))
        assert worker._crashes == 1

    async def test_request_waits_for_a_pause_to_end(self, worker: WorkerSupervisor) -> None:
        worker._restart_at = worker._clock() + 0.05
        await worker.request(p.Ping(), p.Ready)

    async def test_other_reply_is_no_answer(self, worker: WorkerSupervisor) -> None:
        with pytest.raises(WorkerError, match=r"h1 gave no fitting answer \(Ready\)"):
            await worker.request(p.Ping(), p.StatsReply)

    async def test_requests_to_an_ended_operation_are_answered(self, worker: WorkerSupervisor) -> None:
        for command in (p.PauseOperation(99), p.SetWriteRate(99, 1), p.CancelOperation(99)):
            assert await worker.request(command, p.Done) == p.Done()

    async def test_busy_process_does_not_exit(self, worker: WorkerSupervisor) -> None:
        await worker._exit_idle()  # there is none yet
        await worker.request(p.Ping(), p.Ready)
        life = worker._process
        assert life is not None
        _, reply = life.send(p.Ping())
        await worker._exit_idle()
        assert worker._process is life
        await reply


class TestStorage:
    async def test_storage_that_has_not_started_has_no_catalog(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="has not been started"):
            _ = LocalStorage(tmp_path, {}).catalog

    async def test_host_that_left_the_config_is_named(self, tmp_path: Path) -> None:
        async with space_at(tmp_path, {"h1": None, "h2": None}):
            pass
        async with storage_at(tmp_path, {"h1": None}) as storage:
            error = await failure_of(storage.stats("nba", "h2"))
            assert (error.code, error.detail) == (ErrorCode.UNREACHABLE, "h2 is not in the configuration")
            assert list(storage.catalog.missing_databases()) == ["space 'nba': h2 is not in the config"]

    async def test_file_is_not_adopted(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        async with storage_at(tmp_path / "root") as storage:
            placement = Placement(directories=(str(tmp_path / "file"),))
            error = await failure_of(storage.create_space("chain", placement))
            assert error.detail.endswith("is a file, not a directory")

    async def test_figures_report_that_another_program_is_using_it(self, tmp_path: Path) -> None:
        database = adoptable(tmp_path / "db")
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", Placement(directories=(str(database),)))
            assert not (await storage.figures("chain", str(database))).refusal
            holder = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", LOCKED, database / "LOCK"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert holder.stdout is not None
            await holder.stdout.readline()
            figures = await storage.figures("chain", str(database))
            await holder.communicate(b"\n")
            assert "another program has the database open" in figures.refusal

    async def test_space_on_a_host_whose_directory_is_gone_is_dropped(self, tmp_path: Path) -> None:
        catalog = Catalog.open(tmp_path / "root", {"h1": tmp_path / "gone"})
        catalog.with_entry(CatalogEntry("nba", ("h1",))).save()
        async with storage_at(tmp_path / "root", {"h1": tmp_path / "gone"}) as storage:
            await storage.drop_space("nba")
            assert storage.catalog.pending == ()
        assert not (tmp_path / "gone").exists()


class TestDemo:
    async def test_rejected_write_is_tried_again_in_the_next_round(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Full(Exception):
            pass

        class Rejecting:
            loads = 0

            async def load(self, space: str, pairs: Sequence[Any]) -> None:
                self.loads += 1
                if self.loads > len(demo._GRAPHS):
                    raise Full
                raise StorageError(ErrorCode.DISK_FULL, "h1", space, "full")

            async def spaces(self) -> tuple[object, ...]:
                return ()

        monkeypatch.setattr(demo, "WRITE_SECONDS", 0.0)
        with pytest.raises(Full):
            await demo.write_gently(Rejecting())  # type: ignore[arg-type]


class TestErrors:
    def test_disk_without_inodes_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert errors.NO_INODES not in system_error(full, str(tmp_path)).reason
        monkeypatch.setattr(errors, "has_inodes", lambda path: False)
        assert errors.NO_INODES in system_error(full, str(tmp_path)).reason
        assert errors.NO_INODES in rocksdb_error("IO error: No space left on device: x", str(tmp_path)).reason
        assert errors.NO_INODES not in rocksdb_error("Corruption: x", str(tmp_path)).reason

    def test_full_disk_of_unknown_size_has_no_numbers(self) -> None:
        error = rocksdb_error("IO error: No space left on device: x", "/db", DiskSpace(None, None))
        assert ": (" not in error.reason
        assert ":  (" not in error.reason
