"""Whatever goes wrong under a flush or compact ends in a StorageError with the plain reason."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode
from jobtui.storage.base import Placement
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.worker.database import Database, DatabaseHandle
from jobtui.storage.local.worker.manifest_guard import ManifestGuard
from jobtui.storage.local.worker.openers import OwnOpener
from jobtui.storage.local.worker.options import SharedOptions
from tests.support.disks import fill_up, mount, unmount
from tests.support.storage import (
    Watched,
    compact,
    dumped,
    failure_of,
    flush,
    held_open,
    layer_pairs,
    layered,
    layers,
    moving_compact,
    space_at,
    storage_at,
)


def test_compact_without_room_reports_needed_and_free(small_disk, tmp_path):
    disk = small_disk("12m")

    async def run():
        async with space_at(tmp_path / "root", {"h1": disk / "h1"}) as storage:
            held = await layers(storage, 2, 3.5)
            error = await failure_of(compact(storage))
            assert error.code is ErrorCode.DISK_FULL
            assert "MiB needed" in error.detail
            assert "free" in error.detail
            assert (error.host, error.space) == ("h1", "nba")
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_disk_that_fills_during_compact_fails_only_that_one(small_disk, tmp_path):
    disk = small_disk("24m")

    async def run():
        async with layered(tmp_path / "root", 2, 4, rate=8 << 20, hosts={"h1": disk / "h1"}) as (storage, held):
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            fill_up(disk / "stuff")
            error = await failure_of(compacting)
            assert error.code is ErrorCode.DISK_FULL
            assert "the disk is full" in error.detail
            assert "free" in error.detail
            (disk / "stuff").unlink()
            assert await dumped(storage) == sorted(held.items())
            outcome = await compact(storage)
            assert outcome.after.files < outcome.before.files
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_full_disk_fails_a_flush_without_data_loss(small_disk, tmp_path):
    disk = small_disk("12m")

    async def run():
        async with space_at(tmp_path / "root", {"h1": disk / "h1"}) as storage:
            pairs = layer_pairs(0, 3)
            await storage.load("nba", pairs)
            fill_up(disk / "stuff")
            error = await failure_of(flush(storage))
            assert error.code is ErrorCode.DISK_FULL
            assert "needed" in error.detail
            assert "free" in error.detail
            (disk / "stuff").unlink()
            assert await dumped(storage) == sorted(pairs)
            assert (await flush(storage)).after.memtable == 0

    asyncio.run(run())


def test_load_that_a_full_disk_refuses_fails(small_disk, tmp_path):
    disk = small_disk("8m")

    async def run():
        async with space_at(tmp_path / "root", {"h1": disk / "h1"}) as storage:
            error = await failure_of(storage.load("nba", layer_pairs(0, 12)))
            assert error.code is ErrorCode.DISK_FULL

    asyncio.run(run())


def test_corrupt_block_fails_the_compact_and_the_dump(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await layers(storage, 2, 1)
            await storage.close()
            table = min((tmp_path / "h1" / "nba").glob("*.sst"))
            flip(table, table.stat().st_size // 2)
            error = await failure_of(compact(storage))
            assert error.code is ErrorCode.CORRUPT
            assert "corrupt" in error.detail
            assert (await failure_of(dumped(storage))).code is ErrorCode.CORRUPT

    asyncio.run(run())


def test_missing_manifest_is_named(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await layers(storage, 1, 0.1)
            await storage.close()
            manifest = next((tmp_path / "h1" / "nba").glob("MANIFEST-*"))
            manifest.unlink()
            error = await failure_of(compact(storage))
            assert error.code is ErrorCode.MISSING
            assert manifest.name in error.detail

    asyncio.run(run())


@pytest.mark.parametrize("killed", [False, True], ids=["after a clean end", "after a kill"])
@pytest.mark.parametrize("cut", [1, 20, 100])
def test_cut_manifest_is_noticed_and_deletes_nothing(tmp_path, killed, cut):
    async def run():
        async with space_at(tmp_path) as storage:
            held = await layers(storage, 3, 0.1)
            if killed:
                await kill(storage)
            await storage.close()
            database = tmp_path / "h1" / "nba"
            manifest = database / (database / "CURRENT").read_text().strip()
            whole = manifest.read_bytes()
            tables = set(database.glob("*.sst"))
            manifest.write_bytes(whole[:-cut])
            for work in (flush, compact):
                error = await failure_of(work(storage))
                assert error.code is ErrorCode.CORRUPT
                assert f"{manifest.name} was cut" in error.detail
                assert f"{len(whole) - cut} bytes and had {len(whole)}" in error.detail
            assert set(database.glob("*.sst")) == tables
            manifest.write_bytes(whole)
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_files_missing_from_the_manifest_are_reported(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            database = tmp_path / "h1" / "nba"
            await layers(storage, 1, 0.1)
            manifest = database / (database / "CURRENT").read_text().strip()
            short = manifest.stat().st_size
            await layers(storage, 3, 0.1)
            newer = sorted(database.glob("*.sst"))[1:]
            await storage.close()
            os.truncate(manifest, short)
            error = await failure_of(compact(storage))
            assert error.code is ErrorCode.CORRUPT
            assert "3 (" in error.detail
            assert all(table.name in error.detail for table in newer)

    asyncio.run(run())


def test_cut_manifest_is_noticed_without_a_note_of_ours(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            database = tmp_path / "h1" / "nba"
            await layers(storage, 1, 0.1)
            manifest = database / (database / "CURRENT").read_text().strip()
            short = manifest.stat().st_size
            await layers(storage, 2, 0.1)
            await storage.close()
            os.truncate(manifest, short)
            (database / "jobtui.json").unlink()
            error = await failure_of(compact(storage))
            assert error.code is ErrorCode.CORRUPT
            assert "does not name these SST files" in error.detail
            assert "move them elsewhere" in error.detail
            assert len(list(database.glob("*.sst"))) == 3

    asyncio.run(run())


def test_remains_of_a_killed_compact_are_no_damage(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 4, rate=8 << 20) as (storage, held):
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            await kill(storage)
            assert (await failure_of(compacting)).code is ErrorCode.HOST_DIED
            outcome = await compact(storage)
            assert [level.files for level in outcome.after.levels if level.files] == [1]
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


@pytest.mark.parametrize("opened", [False, True], ids=["before it was opened", "while it is open"])
def test_deleted_directory_is_missing(tmp_path, opened):
    async def run():
        async with space_at(tmp_path) as storage:
            await layers(storage, 2, 0.1)
            if not opened:
                await storage.close()
            shutil.rmtree(tmp_path / "h1" / "nba")
            for work in (compact, flush):
                error = await failure_of(work(storage))
                assert error.code is ErrorCode.MISSING
                assert str(tmp_path / "h1" / "nba") in error.detail
            assert (await failure_of(storage.stats("nba", "h1"))).code is ErrorCode.MISSING
            assert (await failure_of(storage.load("nba", [(b"k", b"v")]))).code is ErrorCode.MISSING
            assert not (tmp_path / "h1" / "nba").exists()

    asyncio.run(run())


def test_directory_deleted_during_a_compact_fails_it(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 4, rate=8 << 20) as (storage, _):
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            shutil.rmtree(tmp_path / "h1" / "nba")
            assert (await failure_of(compacting)).code is ErrorCode.MISSING

    asyncio.run(run())


def test_lock_of_another_program_is_reported(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await layers(storage, 1, 0.1)
            await storage.close()
            with held_open(tmp_path / "h1" / "nba"):
                for work in (flush(storage), compact(storage), storage.stats("nba", "h1")):
                    error = await failure_of(work)
                    assert error.code is ErrorCode.LOCKED
                    assert "another program has the database open" in error.detail
            assert (await compact(storage)).after.files == 1

    asyncio.run(run())


@pytest.mark.parametrize("opened", [False, True], ids=["before it was opened", "while it is open"])
def test_disk_that_is_read_only_is_access(small_disk, tmp_path, opened):
    disk = small_disk("24m")

    async def run():
        async with space_at(tmp_path / "root", {"h1": disk / "h1"}) as storage:
            await layers(storage, 2, 1)
            await storage.load("nba", [(b"more", b"more")])
            if not opened:
                await storage.close()
                mount("-o", "remount,ro", disk)
            else:  # a disk with files open for writing cannot be remounted; its directory can be covered
                mount("--bind", disk, disk)
                mount("-o", "remount,ro,bind", disk)
            try:
                error = await failure_of(compact(storage))
                assert error.code is ErrorCode.ACCESS
                assert "may not write" in error.detail
            finally:
                if opened:
                    unmount(disk)

    asyncio.run(run())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_directory_without_permission_is_access(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await layers(storage, 2, 0.1)
            await storage.close()
            (tmp_path / "h1" / "nba").chmod(0o500)
            try:
                assert (await failure_of(compact(storage))).code is ErrorCode.ACCESS
            finally:
                (tmp_path / "h1" / "nba").chmod(0o700)

    asyncio.run(run())


def test_unwritable_host_fails_create_and_shows_in_hosts(small_disk, tmp_path):
    disk = small_disk("2m")
    mount("-o", "remount,ro", disk)

    async def run():
        async with storage_at(tmp_path / "root", {"h1": None, "h2": disk / "h2"}) as storage:
            error = await failure_of(storage.create_space("nba", Placement()))
            assert error.code is ErrorCode.ACCESS
            assert error.host == "h2"
            assert await storage.spaces() == ()
            assert list((tmp_path / "root" / "h1").iterdir()) == []
            assert await storage.create_space("test2", Placement(hosts=("h1",)))
            up = {host.name: host.up for host in await storage.hosts()}
            assert up == {"h1": True, "h2": False}

    asyncio.run(run())


def flip(file: Path, offset: int) -> None:
    with open(file, "r+b") as out:
        out.seek(offset)
        byte = out.read(1)[0]
        out.seek(offset)
        out.write(bytes([byte ^ 0xFF]))


async def kill(storage) -> None:
    pid = storage.worker("h1", adopted=False).pid
    os.kill(pid, 9)


class TestManifestGuard:
    """The check before a database is opened, without RocksDB."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        directory = tmp_path / "db"
        directory.mkdir()
        (directory / "CURRENT").write_text("MANIFEST-000004\n")
        (directory / "MANIFEST-000004").write_bytes(bytes(100))
        (directory / "000007.sst").write_bytes(bytes(10))
        return directory

    @pytest.mark.parametrize("name", ["elsewhere", "MANIFEST-1/../../other"])
    def test_other_content_of_current_is_damage(self, database, name):
        (database / "elsewhere").touch()
        (database / "MANIFEST-1").mkdir()
        (database.parent / "other").touch()
        (database / "CURRENT").write_text(name)
        with pytest.raises(WorkerError, match="it does not name a MANIFEST") as caught:
            ManifestGuard(database, database / "note").check(lambda: {"000007.sst"})
        assert caught.value.code is ErrorCode.CORRUPT

    @pytest.mark.parametrize(
        ("lost_end", "code", "advice"),
        [
            (False, ErrorCode.UNSUPPORTED, "open it once with its own program"),
            (True, ErrorCode.CORRUPT, "It was cut, or a program crashed"),
        ],
    )
    def test_unnamed_table_of_an_adopted_database_is_refused(self, database, lost_end, code, advice):
        guard = ManifestGuard(database, database / "note", foreign=True, lost_end=lambda: lost_end)
        with pytest.raises(WorkerError, match=advice) as caught:
            guard.check(set)
        assert caught.value.code is code

    @pytest.mark.parametrize("unreadable", [False, True])
    def test_cut_one_is_refused_though_it_names_every_table(self, database, unreadable):
        def named() -> set[str]:
            if unreadable:
                raise RuntimeError("Corruption: bad block")
            return {"000007.sst"}

        guard = ManifestGuard(database, database / "note")
        guard.before_opening(lambda: {"000007.sst"})
        os.truncate(database / "MANIFEST-000004", 60)
        advice = r"RocksDB: Corruption: bad block" if unreadable else "Nothing was opened or deleted"
        with pytest.raises(WorkerError, match=advice):
            guard.check(named)


class TestHandle:
    """The lifetime of a worker's handle of one of jobtui's own databases."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> OwnOpener:
        opener = OwnOpener(tmp_path / "db", SharedOptions())
        opener.create()
        return opener

    def test_replaced_database_is_reported_missing(self, opener):
        database = Database(opener)
        with database.use(write=True):
            pass
        other = opener.path.with_name("other")
        shutil.copytree(opener.path, other)
        opener.path.rename(opener.path.with_name("moved"))
        other.rename(opener.path)
        replaced = pytest.raises(WorkerError, match="was deleted and another put in its place")
        with replaced, database.use(write=True):
            pass
        database.close()

    def test_unusable_handle_is_not_read(self, opener):
        database = Database(opener)
        with database.use(write=True) as handle:
            handle.cancel()
            assert database.peek(lambda _: "read", "default") == "default"
        database.close()

    def test_work_is_repeated_only_if_a_stop_broke_the_handle(self, opener):
        database, handles = Database(opener), list[DatabaseHandle]()

        def work(handle: DatabaseHandle) -> None:
            handles.append(handle)
            if len(handles) == 1:
                handle.cancel()
            if len(handles) < 4:
                raise RuntimeError("Corruption: bad block")

        with pytest.raises(WorkerError, match="bad block"):
            database.run(work, write=True)
        assert len(handles) == 2
        database.close()

    @pytest.mark.parametrize("stopped", [False, True])
    def test_close_that_fails_is_reported_unless_a_stop_caused_it(self, opener, monkeypatch, stopped):
        def fail() -> None:
            raise RuntimeError("IO error: no space")

        database = Database(opener)
        with database.use(write=True) as handle:
            if stopped:
                handle.cancel()
        monkeypatch.setattr(opener, "after_close", fail)
        if stopped:
            database.close()
        else:
            with pytest.raises(WorkerError, match="no space"):
                database.close()
