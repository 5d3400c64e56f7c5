"""Work on adopted databases that could do harm: refused, left out, or done where it belongs."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode
from jobtui.storage.base import Placement
from jobtui.storage.local.adoption import Survey, Surveyor
from jobtui.storage.local.backend import LocalStorage
from jobtui.storage.local.catalog import CatalogEntry
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.worker import pairs
from jobtui.storage.local.worker.database import Database
from jobtui.storage.local.worker.openers import AdoptedOpener
from jobtui.storage.local.worker.options import SharedOptions
from jobtui.storage.local.worker.pairs import read_pairs
from tests.support.adoptable import adoptable, content, options_file, set_option
from tests.support.storage import compact, dumped, failure_of, flush, storage_at

pytestmark = pytest.mark.anyio
ONE = {"h1": None}

UNFLUSHED = """
import os, sys
from rocksdict import Options, Rdict

options = Options(raw_mode=True)
options.create_if_missing(True)
database = Rdict(sys.argv[1], options=options, column_families={"default": options})
database[b"first"] = b"1"
database.flush(True)
cold = database.create_column_family("cold", options)
for number in range(1000):
    database[b"key%d" % number] = b"value"
    if sys.argv[2] == "both":
        cold[b"key%d" % number] = b"value"
database.flush_wal(True)
os._exit(0)
"""

WRITE = """
import sys

with open(sys.argv[1], "r+b"):
    print("open", flush=True)
    sys.stdin.read()
"""

HOLD = """
import fcntl, sys

with open(sys.argv[1], "r+") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""

FIFO = """
import sys
from rocksdict import DBCompactionStyle, FifoCompactOptions, Options, Rdict

options, levelled = Options(raw_mode=True), Options(raw_mode=True)
options.create_if_missing(True)
options.set_compaction_style(DBCompactionStyle.fifo())
limit = FifoCompactOptions()
limit.max_table_files_size = 1000
options.set_fifo_compaction_options(limit)
options.set_disable_auto_compactions(True)
database = Rdict(sys.argv[1], options=options, column_families={"default": options})
users = database.create_column_family("users", levelled)
for family in (database, users):
    for layer in range(3):
        for number in range(500):
            family[b"%d-%d" % (layer, number)] = b"value" * 5
        family.flush(True)
users.close()
database.close()
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return adoptable(tmp_path / "db")


def adopting(*databases: Path) -> Placement:
    return Placement(directories=tuple(map(str, databases)))


def make(code: str, database: Path, *arguments: str) -> Path:
    subprocess.run([sys.executable, "-c", code, database, *arguments], check=True)
    (database / "rocksdict-config.json").unlink()
    return database


async def works(storage: LocalStorage, database: Path) -> list[ErrorCode]:
    """The codes that each way to open an adopted database fails with."""
    host = str(database)
    ways = (flush(storage, host, "chain"), compact(storage, host, "chain"), storage.stats("chain", host))
    return [(await failure_of(way)).code for way in (*ways, dumped(storage, "chain"))]


class TestReplaced:
    def test_directory_replaced_during_its_check_is_not_opened(self, tmp_path, database):
        other, link = adoptable(tmp_path / "other"), tmp_path / "link"
        link.symlink_to(database)
        before = content(database), content(other)

        class Replacing(Surveyor):
            def survey(self) -> Survey:
                found = super().survey()
                link.unlink()
                link.symlink_to(other)
                return found

        opener = AdoptedOpener(link, tmp_path / "notes", Replacing(link), SharedOptions())
        opened = Database(opener)
        for write in (True, False):
            link.unlink()
            link.symlink_to(database)
            replaced = pytest.raises(WorkerError, match="another directory was put in its place")
            with replaced, opened.use(write=write):
                pass
        assert (content(database), content(other)) == before


class TestLock:
    def test_database_open_in_its_owner_is_not_surveyed(self, tmp_path, database):
        class Counting(Surveyor):
            surveys = 0

            def survey(self) -> Survey:
                self.surveys += 1
                return super().survey()

        surveyor = Counting(database)
        opened = Database(AdoptedOpener(database, tmp_path / "notes", surveyor, SharedOptions()))
        command = [sys.executable, "-I", "-S", "-c", HOLD, database / "LOCK"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
            assert owner.stdout.readline() == b"held\n"
            locked = pytest.raises(WorkerError, match="another program has the database open")
            with locked, opened.use(write=True):
                pass
        assert surveyor.surveys == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say who has a file open")
    @pytest.mark.parametrize("lock", ["deleted", "replaced"])
    def test_owner_at_work_without_its_lock_is_noticed(self, tmp_path, database, lock):
        manifest = database / (database / "CURRENT").read_text().strip()
        opened = Database(AdoptedOpener(database, tmp_path / "notes", Surveyor(database), SharedOptions()))
        (database / "LOCK").unlink()
        if lock == "replaced":
            (database / "LOCK").touch()
        before = content(database)
        with open(manifest, "rb") as file:
            try:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            except OSError:
                pytest.skip("this file system does not say who has a file open")
        command = [sys.executable, "-I", "-S", "-c", WRITE, manifest]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
            assert owner.stdout.readline() == b"open\n"
            with (
                pytest.raises(WorkerError, match="although its LOCK is free") as caught,
                opened.use(write=True),
            ):
                pass
            with opened.use(write=False):
                pass  # reading does not disturb the owner
        assert caught.value.code is ErrorCode.LOCKED
        assert content(database) == before
        with open(manifest, "rb"), opened.use(write=True):
            pass  # programs that only read it do not count


class TestDump:
    def test_pair_that_no_reply_can_hold_is_refused(self, tmp_path, database, monkeypatch):
        monkeypatch.setattr(pairs, "MAX_PAIR_BYTES", 5)
        opened = Database(AdoptedOpener(database, tmp_path / "notes", Surveyor(database), SharedOptions()))
        with pytest.raises(WorkerError, match="is too long to be dumped"):
            read_pairs(opened, 1)


class TestDefect:
    @pytest.mark.parametrize("error", [ZeroDivisionError("float division by zero"), KeyError("default")])
    def test_is_not_reported_as_a_failing_disk(self, tmp_path, database, error):
        surveyor, notes = Surveyor(database), tmp_path / "notes"
        opened = Database(AdoptedOpener(database, notes, surveyor, SharedOptions()))

        def work(_: object) -> None:
            raise error

        with pytest.raises(WorkerError) as caught:
            opened.run(work, write=False)
        assert caught.value.reason == f"{database}: this is a defect of jobtui: {type(error).__name__}: {error}"

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (RuntimeError("can't start new thread"), "no more threads can be started"),
            (MemoryError(), "there is not enough memory"),
        ],
    )
    def test_shortage_of_threads_or_memory_is_named(self, tmp_path, database, error, said):
        where = Database(AdoptedOpener(database, tmp_path / "notes", Surveyor(database), SharedOptions()))
        assert where.as_worker_error(error).reason.startswith(f"{database}: {said}")


class TestRefused:
    async def test_copy_does_not_change_its_original(self, tmp_path, database):
        original = adoptable(tmp_path / "original")
        set_option(database, "wal_dir", str(original))
        before = content(original)
        async with storage_at(tmp_path / "root") as storage:
            error = await failure_of(storage.create_space("chain", adopting(database)))
            assert error.code is ErrorCode.UNSUPPORTED
            assert "looks like a copy" in error.detail
        assert content(original) == before

    async def test_database_that_became_unsafe_is_refused_everywhere(self, tmp_path, database):
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            set_option(database, "merge_operator", "my.Sum", "CFOptions")
            before = content(database)
            assert await works(storage, database) == [ErrorCode.UNSUPPORTED] * 4
            assert content(database) == before

    async def test_files_of_an_interrupted_compaction_are_not_corrupt(self, tmp_path, database):
        shutil.copy(next(database.glob("*.sst")), database / "000999.sst")
        before = content(database)
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            error = await failure_of(compact(storage, str(database), "chain"))
            assert error.code is ErrorCode.UNSUPPORTED
            assert "was interrupted" in error.detail
            assert "open it once with its own program" in error.detail
        assert content(database) == before

    async def test_family_without_sst_files_is_not_flushed(self, tmp_path):
        database = make(UNFLUSHED, tmp_path / "db", "both")
        before = content(database)
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            assert (await storage.stats("chain", str(database))).entries
            for work in (flush, compact):
                error = await failure_of(work(storage, str(database), "chain"))
                assert "column family cold has entries in the WAL and no SST file yet" in error.detail
        assert content(database) == before

    async def test_it_is_flushed_if_the_user_states_it(self, tmp_path):
        database = make(UNFLUSHED, tmp_path / "db", "both")
        storage = LocalStorage(tmp_path / "root", ONE, without_cf_paths=[f"{database}/"])
        await storage.start()
        try:
            await storage.create_space("chain", adopting(database))
            await flush(storage, str(database), "chain")
            assert len(await dumped(storage, "chain")) == 1001
        finally:
            await storage.close()

    async def test_family_with_sst_files_here_is_flushed(self, tmp_path):
        database = make(UNFLUSHED, tmp_path / "db", "default")
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await flush(storage, str(database), "chain")


class TestWal:
    async def test_damage_in_the_middle_loses_nothing(self, tmp_path):
        database = make(UNFLUSHED, tmp_path / "db", "default")
        wal = max(database.glob("*.log"))
        data = bytearray(wal.read_bytes())
        data[len(data) // 2] ^= 0xFF
        wal.write_bytes(data)
        async with storage_at(tmp_path / "root") as storage:
            error = await failure_of(storage.create_space("chain", adopting(database)))
            assert error.code in {ErrorCode.CORRUPT, ErrorCode.UNSUPPORTED}
        assert wal.read_bytes() == data

    @pytest.mark.parametrize("lost", [1, 9, 30])
    async def test_torn_end_loses_only_the_record_it_cut(self, tmp_path, lost):
        database = make(UNFLUSHED, tmp_path / "db", "default")
        wal = max(database.glob("*.log"))
        os.truncate(wal, wal.stat().st_size - lost)
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await flush(storage, str(database), "chain")
            assert len(await dumped(storage, "chain")) == 1000

    async def test_reserved_space_at_the_end_is_no_damage(self, tmp_path):
        database = make(UNFLUSHED, tmp_path / "db", "default")
        wal = max(database.glob("*.log"))
        os.truncate(wal, wal.stat().st_size + 50_000)
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await flush(storage, str(database), "chain")
            assert len(await dumped(storage, "chain")) == 1001

    async def test_stated_directory_is_worked_in(self, tmp_path, database):
        wal = tmp_path / "wal"
        wal.mkdir()
        for file in database.glob("*.log"):
            file.rename(wal / file.name)
        set_option(database, "wal_dir", str(wal))
        for path in (database, wal, *database.iterdir(), *wal.iterdir()):
            path.chmod(0o700 if path.is_dir() else 0o640)
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
        storage = LocalStorage(tmp_path / "root", ONE, wal_directories={str(database): wal})
        await storage.start()
        try:
            await storage.create_space("chain", adopting(database))
            await compact(storage, str(database), "chain")
        finally:
            await storage.close()
        assert list(wal.glob("*.log"))
        assert not list(database.glob("*.log"))
        files = [path.stat() for path in (*database.iterdir(), *wal.iterdir())]
        assert {(one.st_uid, one.st_gid) for one in files} == {(wal.stat().st_uid, wal.stat().st_gid)}
        assert {stat.S_IMODE(one.st_mode) for one in files} == {0o640}


class TestLeftAsFound:
    async def test_only_data_files_change(self, tmp_path, database):
        def others() -> dict[str, tuple[object, ...]]:
            data = ("MANIFEST-", "CURRENT")
            return {
                name: (*found[:3], (database / name).stat().st_mtime_ns)
                for name, found in content(database).items()
                if not name.endswith((".sst", ".log")) and not name.startswith(data)
            }

        before = others()
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await flush(storage, str(database), "chain")
            await compact(storage, str(database), "chain")
            await dumped(storage, "chain")
            assert others() == before
        assert others() == before

    async def test_both_options_files_of_the_owner_stay(self, tmp_path, database):
        shutil.copy(options_file(database), database / "OPTIONS-000001")
        names = sorted(path.name for path in database.glob("OPTIONS-*"))
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await compact(storage, str(database), "chain")
        assert sorted(path.name for path in database.glob("OPTIONS-*")) == names

    async def test_files_of_any_name_are_no_hindrance(self, tmp_path, database):
        (database / os.fsdecode(b"\xff\n\x1b[31m")).mkdir()
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await flush(storage, str(database), "chain")

    async def test_own_wal_is_never_compressed(self, tmp_path, database):
        """A compressed one would be refused at the next job."""
        set_option(database, "wal_compression", "kZSTD")
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await flush(storage, str(database), "chain")
            await compact(storage, str(database), "chain")

    async def test_fifo_families_are_left_out_and_named(self, tmp_path):
        database = make(FIFO, tmp_path / "db")
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            before = await dumped(storage, "chain")
            assert len(before) == 1500
            outcome = await compact(storage, str(database), "chain")
            assert "not compacted: default" in outcome.note
            assert [level.files for level in outcome.after.levels if level.files] == [3, 1]
            assert await dumped(storage, "chain") == before


class TestTwice:
    async def test_hard_linked_copy_is_found(self, tmp_path, database):
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            copy = tmp_path / "copy"
            shutil.copytree(database, copy, copy_function=os.link)
            error = await failure_of(storage.create_space("again", adopting(copy)))
            assert error.code is ErrorCode.REJECTED
            assert "is a hard-linked copy of" in error.detail
            assert "chain" in error.detail

    @pytest.fixture
    def mounted(self, tmp_path: Path, database: Path) -> Iterator[Path]:
        mounted = tmp_path / "mounted"
        mounted.mkdir()
        if subprocess.run(["mount", "--bind", database, mounted], capture_output=True).returncode:
            pytest.skip("mounting needs root")
        yield mounted
        subprocess.run(["umount", mounted], check=True)

    async def test_bind_mount_is_found(self, tmp_path, database, mounted):
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            error = await failure_of(storage.create_space("again", adopting(mounted)))
            assert "is the same directory as" in error.detail

    async def test_checkpoint_with_shared_sst_files_is_another(self, tmp_path, database):
        other = tmp_path / "checkpoint"
        other.mkdir()
        for file in database.iterdir():
            (os.link if file.suffix == ".sst" else shutil.copy)(file, other / file.name)
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await storage.create_space("again", adopting(other))
            await compact(storage, str(other), "again")
            assert len(await dumped(storage, "chain")) == 100


async def test_wal_counts_if_there_is_no_sst_file(tmp_path, database):
    for file in database.glob("*.sst"):
        file.unlink()
    wal = max(database.glob("*.log"))
    wal.write_bytes(bytes(5000))
    async with storage_at(tmp_path / "root") as storage:
        await storage.create_space("nba", Placement())
        adopted = storage.catalog.with_entry(CatalogEntry("chain", directories=(str(database),)))
        assert adopted.size("chain") == 5000
