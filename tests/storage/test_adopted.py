"""Work on a database of another program, which is left as that program knows it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.base import CompactionRequest, Placement, Space
from tests.support.storage import Watched, compact, dumped, failure_of, flush, storage_at

ROWS = 300


@pytest.fixture
def owned(tmp_path, ldb) -> Path:
    """A database of an older RocksDB: several files, a column family of its own, overwrites and a delete."""
    database = tmp_path / "theirs" / "db"
    database.parent.mkdir()
    ldb(database, "--create_if_missing", "put", "first", "one")
    ldb(database, "create_column_family", "edges")
    for layer in range(3):
        rows = [f"key{number:04d} value{number + layer}" for number in range(ROWS)]
        ldb(database, "batchput", *" ".join(rows).split())
        ldb(database, "batchput", "--column_family=edges", *" ".join(rows[:50]).split())
    ldb(database, "delete", "key0007")
    return database


def options_files(database: Path) -> list[str]:
    return sorted(path.name for path in database.glob("OPTIONS-*") if path.suffix != ".dbtmp")


def adopting(database: Path) -> Placement:
    return Placement(directories=(str(database),))


def test_owner_reads_an_adopted_database_after_a_compact(tmp_path, owned, ldb):
    rows, edges = ldb(owned, "scan"), ldb(owned, "scan", "--column_family=edges")
    newest = options_files(owned)[-1]
    content = (owned / newest).read_bytes()
    host = str(owned)
    messages: list[str] = []

    async def run():
        async with storage_at(tmp_path / "root", notices=messages) as storage:
            assert await storage.create_space("chain", adopting(owned)) == Space("chain", (host,), adopted=True)
            before = await storage.stats("chain", host)
            assert before.files > 3
            outcome = await compact(storage, host, "chain")
            assert len([level for level in outcome.after.levels if level.files]) == 1
            assert outcome.after.files < outcome.before.files
            assert outcome.after.bytes < outcome.before.bytes
            pairs = await dumped(storage, "chain")
            assert len(pairs) == ROWS
            assert (b"key0001", b"value3") in pairs

    asyncio.run(run())
    assert messages == [f"Of chain on {host} the default column family alone is dumped, without edges"]
    assert options_files(owned)[-1] == newest
    assert (owned / newest).read_bytes() == content
    assert not (owned / "rocksdict-config.json").exists()
    assert ldb(owned, "scan") == rows
    assert ldb(owned, "scan", "--column_family=edges") == edges
    ldb(owned, "put", "after", "wards")
    assert "after : wards" in ldb(owned, "scan")


def test_measuring_writes_no_options_and_takes_no_lock(tmp_path, owned):
    host = str(owned)
    before = {path.name: path.stat().st_mtime_ns for path in owned.iterdir() if path.name != "LOG"}

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(owned))
            assert (await storage.stats("chain", host)).entries
            assert await dumped(storage, "chain")

    asyncio.run(run())
    after = {path.name: path.stat().st_mtime_ns for path in owned.iterdir() if path.name != "LOG"}
    assert {name: after[name] for name in before} == before
    assert options_files(owned) == sorted(name for name in before if name.startswith("OPTIONS"))
    assert "rocksdict-config.json" not in after


def test_idle_worker_exits_and_restarts_on_demand(tmp_path, owned, monkeypatch):
    monkeypatch.setattr("jobtui.storage.local.backend.ADOPTED_IDLE_SECONDS", 0.05)
    host = str(owned)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(owned))
            await flush(storage, host, "chain")
            pid = storage.worker(host, adopted=True).pid
            if pid is not None:
                await ended(pid)
            assert storage.worker(host, adopted=True).pid is None
            assert (await storage.stats("chain", host)).files

    asyncio.run(run())


def test_directory_is_restored_after_a_kill(tmp_path, ldb):
    owned = tmp_path / "db"
    large = tmp_path / "rows"
    large.write_text("".join(f"key{number:07d} ==> {number:0200d}\n" for number in range(200_000)))
    ldb(owned, "--create_if_missing", "put", "first", "one")
    with open(large) as rows:  # which writes that one into an SST file
        subprocess.run(["ldb", f"--db={owned}", "load"], stdin=rows, check=True)
    newest = options_files(owned)[-1]
    host = str(owned)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(owned))
            watched = Watched()
            work = asyncio.ensure_future(
                storage.compact("chain", host, CompactionRequest(), watched, watched.control)
            )
            await watched.reported.wait()
            assert options_files(owned)[-1] == newest
            assert not (owned / "rocksdict-config.json").exists()
            os.kill(storage.worker(host, adopted=True).pid, signal.SIGKILL)
            await asyncio.wait([work])
            assert options_files(owned)[-1] == newest
            assert not (owned / "rocksdict-config.json").exists()
            assert (await compact(storage, host, "chain")).after.files == 1
            assert len(await dumped(storage, "chain")) == 200_001
        assert options_files(owned)[-1] == newest

    asyncio.run(run())
    assert ldb(owned, "get", "key0199999") == f"{199_999:0200d}\n"


def test_owner_at_work_locks_out_jobs_but_not_stats(tmp_path, owned):
    host = str(owned)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(owned))
            with held(owned / "LOCK"):
                error = await failure_of(compact(storage, host, "chain"))
                assert error.code is ErrorCode.LOCKED
                assert "another program has the database open" in error.detail
                assert (await storage.stats("chain", host)).files
            assert not (await compact(storage, host, "chain")).stopped

    asyncio.run(run())


THREE_FLUSHES = """
import sys
from rocksdict import Options, Rdict

options = Options(raw_mode=True)
database = Rdict(sys.argv[1], options=options, column_families={"default": options})
for layer in range(3):
    for number in range(100):
        database[b"key%d" % number] = b"value%d" % layer
    database.flush(True)
"""


@pytest.mark.parametrize("cut", [30, 200], ids=["the last record", "all of it"])
def test_cut_manifest_is_noticed_and_nothing_is_deleted(tmp_path, cut):
    database = tmp_path / "db"
    subprocess.run([sys.executable, "-c", THREE_FLUSHES, database], check=True)
    manifest = database / (database / "CURRENT").read_text().strip()
    os.truncate(manifest, manifest.stat().st_size - cut)
    tables = set(database.glob("*.sst"))

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            try:
                await storage.create_space("chain", adopting(database))
            except StorageError as error:
                return error
            return await failure_of(compact(storage, str(database), "chain"))

    error = asyncio.run(run())
    assert error.code is ErrorCode.CORRUPT
    assert manifest.name in error.detail
    assert set(database.glob("*.sst")) == tables
    assert len(tables) >= 3


UNIVERSAL = """
import os, sys
from rocksdict import DBCompactionStyle, Options, Rdict

options = Options(raw_mode=True)
options.set_compaction_style(DBCompactionStyle.universal())
options.set_num_levels(1)
options.set_disable_auto_compactions(True)
options.set_write_buffer_size(1 << 20)
database = Rdict(sys.argv[1], options=options, column_families={"default": options})
for layer in range(3):
    for number in range(4000):
        database[b"key%06d" % number] = os.urandom(500) + bytes([layer])
    database.flush(True)
database.close()
"""


def test_universal_database_with_one_level_is_no_failure(tmp_path):
    database = tmp_path / "db"
    subprocess.run([sys.executable, "-c", UNIVERSAL, database], check=True)
    host = str(database)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            for _ in range(2):
                outcome = await compact(storage, host, "chain")
                assert not outcome.stopped
                assert [level.files for level in outcome.after.levels] == [1]
            pairs = await dumped(storage, "chain")
            assert len(pairs) == 4000
            assert {value[-1] for _, value in pairs} == {2}

    asyncio.run(run())


def test_stop_on_adopted_database_keeps_its_options(tmp_path):
    database = tmp_path / "db"
    subprocess.run([sys.executable, "-c", UNIVERSAL, database], check=True)
    options = options_files(database)
    host = str(database)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            watched = Watched()
            watched.cancel.set()
            assert (await storage.compact("chain", host, CompactionRequest(), watched, watched.control)).stopped
            for _ in range(5):
                watched = Watched()
                compacting = asyncio.ensure_future(
                    storage.compact("chain", host, CompactionRequest(), watched, watched.control)
                )
                await asyncio.sleep(0)
                watched.cancel.set()
                await compacting
            assert len(await dumped(storage, "chain")) == 4000

    asyncio.run(run())
    assert options_files(database)[-1] == options[-1]


def test_directory_is_adopted_once_under_any_path(tmp_path, owned):
    link = tmp_path / "link"
    link.symlink_to(owned)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            twice = Placement(directories=(str(owned), str(owned) + "/../db"))
            assert (await failure_of(storage.create_space("chain", twice))).code is ErrorCode.REJECTED
            await storage.create_space("chain", adopting(owned))
            for other in (owned, link, Path(f"{owned}/")):
                error = await failure_of(storage.create_space("other", adopting(other)))
                assert error.code is ErrorCode.REJECTED
                assert "chain" in error.detail

    asyncio.run(run())


def test_directory_without_a_database_is_not_adopted(tmp_path):
    (tmp_path / "empty").mkdir()

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("nba", Placement())
            for directory, code in (
                (tmp_path / "empty", ErrorCode.MISSING),
                (tmp_path / "none", ErrorCode.MISSING),
                (Path("relative"), ErrorCode.REJECTED),
                (tmp_path / "root" / "h1" / "nba", ErrorCode.REJECTED),
            ):
                assert (await failure_of(storage.create_space("chain", adopting(directory)))).code is code
            assert [space.name for space in await storage.spaces()] == ["nba"]
        assert list((tmp_path / "empty").iterdir()) == []

    asyncio.run(run())


def test_drop_deletes_nothing_and_load_is_refused(tmp_path, owned, ldb):
    rows = ldb(owned, "scan")

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(owned))
            error = await failure_of(storage.load("chain", [(b"k", b"v")]))
            assert error.code is ErrorCode.UNSUPPORTED
            await storage.drop_space("chain")
            assert await storage.spaces() == ()
            await storage.create_space("again", adopting(owned))

    asyncio.run(run())
    assert ldb(owned, "scan") == rows


def test_hosts_show_an_adopted_directory_without_opening_it(tmp_path, owned):
    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(owned))
            shown = {host.name: host for host in await storage.hosts()}[str(owned)]
            assert shown.up
            assert shown.size > 0
            (owned / "CURRENT").rename(owned / "CURRENT.away")
            shown = {host.name: host for host in await storage.hosts()}[str(owned)]
            assert not shown.up
            assert "no database" in shown.detail

    asyncio.run(run())


@contextmanager
def held(lock: Path) -> Iterator[None]:
    with open(lock, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


async def ended(pid: int) -> None:
    """Wait for the end of a process that the storage will end by itself."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, lambda: over.done() or over.set_result(None))
    try:
        await asyncio.wait_for(over, 10)
        while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC240, PTH110, ASYNC110
            await asyncio.sleep(0.005)  # until it has been taken leave of
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
