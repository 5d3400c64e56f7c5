"""Databases of other programs that were made, changed or replaced in unusual ways."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rocksdict import AccessType, Options, Rdict

from jobtui.errors import ErrorCode
from jobtui.storage.base import Placement
from tests.support.adoptable import adoptable
from tests.support.storage import compact, dumped, failure_of, storage_at


def adopting(database: Path) -> Placement:
    return Placement(directories=(str(database),))


OF_MANY_STYLES = """
import sys
from rocksdict import DBCompactionStyle, Options, Rdict

styles = {"default": "level", "un": "universal", sys.argv[2]: "fifo"}
families = {}
for name, style in styles.items():
    families[name] = Options(raw_mode=True)
    families[name].create_missing_column_families(True)
    families[name].set_disable_auto_compactions(True)
    families[name].set_compaction_style(getattr(DBCompactionStyle, style)())
families["default"].set_error_if_exists(True)
database = Rdict(sys.argv[1], options=families["default"], column_families=families)
handles = [database, *(database.get_column_family(name) for name in styles if name != "default")]
for layer in range(3):
    for handle in handles:
        for number in range(100):
            handle[b"key%d" % number] = b"value%d" % layer
        handle.flush(True)
for handle in reversed(handles):
    handle.close()
"""


@pytest.mark.parametrize("name", ["fi", 'a "b"]', "a#b:c\\d\ne"])
def test_unmerged_files_that_must_stay_are_no_failure(tmp_path, name):
    database = tmp_path / "db"
    subprocess.run([sys.executable, "-c", OF_MANY_STYLES, database, name], check=True)
    host = str(database)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            for _ in range(2):
                outcome = await compact(storage, host, "chain")
                assert [level.files for level in outcome.after.levels if level.files] == [3, 2]
            assert len(await dumped(storage, "chain")) == 100

    asyncio.run(run())


@pytest.mark.parametrize("identity", ["another", "the same"])
def test_replaced_database_is_not_reported_as_cut(tmp_path, ldb, identity):
    database, backup = tmp_path / "db", tmp_path / "backup"

    def make(values: str) -> None:
        for value in values:
            ldb(database, "--create_if_missing", "put", "key", value)

    def manifest() -> Path:
        return database / (database / "CURRENT").read_text().strip()

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await compact(storage, str(database), "chain")
            was, size = manifest().name, manifest().stat().st_size
            database.rename(tmp_path / "gone")
            if identity == "another":
                make("01233")
            else:
                shutil.copytree(backup, database)
                ldb(database, "put", "key", "3")
            assert manifest().name == was
            assert manifest().stat().st_size < size
            await compact(storage, str(database), "chain")
            assert await dumped(storage, "chain") == [(b"key", b"3")]
            os.truncate(manifest(), manifest().stat().st_size - 1)
            error = await failure_of(compact(storage, str(database), "chain"))
            assert error.code is ErrorCode.CORRUPT
            assert "was cut" in error.detail

    make("0123")
    shutil.copytree(database, backup)
    asyncio.run(run())


LONG_VALUES_APART = """
import os, sys
from rocksdict import Options, Rdict

options = Options(raw_mode=True)
options.set_disable_auto_compactions(True)
options.set_enable_blob_files(True)
options.set_min_blob_size(100)
database = Rdict(sys.argv[1], options=options, column_families={"default": options})
for layer in range(3):
    for number in range(100):
        database[b"key%d" % number] = os.urandom(5000)
    database.flush(True)
database.close()
"""


def test_blob_files_count_in_the_reclaimed_bytes(tmp_path):
    database = tmp_path / "db"
    subprocess.run([sys.executable, "-c", LONG_VALUES_APART, database], check=True)

    def on_disk() -> int:
        return sum(file.stat().st_size for file in database.iterdir() if file.suffix in {".sst", ".blob"})

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            was = on_disk()
            outcome = await compact(storage, str(database), "chain")
            assert outcome.before.bytes == was > 1_500_000
            assert outcome.after.bytes == on_disk() < 600_000

    asyncio.run(run())


def test_files_keep_their_user_under_any_umask_of_root(tmp_path, ldb):
    if os.geteuid() != 0:
        pytest.skip("only root may work on another user's database")
    database = tmp_path / "db"
    for value in "01":
        ldb(database, "--create_if_missing", "put", "key", value)
    secret = tmp_path / "secret"
    secret.write_text("root's own")
    (database / "LOG.old.6").symlink_to(secret)
    os.link(secret, database / "LOG.old.7")
    for path in (database, *database.iterdir()):
        if path.lstat().st_nlink == 1 or path == database:
            os.chown(path, 65534, 65534, follow_symlinks=False)

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await compact(storage, str(database), "chain")

    umask = os.umask(0o077)
    try:
        asyncio.run(run())
    finally:
        os.umask(umask)
    assert secret.stat().st_uid == 0
    others = {path.name: path.stat() for path in database.iterdir() if not path.samefile(secret)}
    assert {(status.st_uid, status.st_gid) for status in others.values()} == {(65534, 65534)}
    assert {status.st_mode & 0o777 for status in others.values()} == {0o644}


def test_secondary_instance_still_reads_everything(tmp_path):
    """It holds no LOCK, and reads SST files that a compaction deletes meanwhile."""
    database, aside = adoptable(tmp_path / "db"), tmp_path / "secondary"
    options = Options(raw_mode=True)
    secondary = Rdict(
        str(database),
        options=options,
        column_families={"default": options, "edges": options},
        access_type=AccessType.secondary(str(aside)),
    )

    async def run():
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", adopting(database))
            await compact(storage, str(database), "chain")
            error = await failure_of(storage.create_space("aside", adopting(aside)))
            assert error.code is ErrorCode.MISSING

    asyncio.run(run())
    for _ in range(2):
        for family in (secondary, secondary.get_column_family("edges")):
            assert len([key for key in family.keys() if key != b"last"]) == 100  # noqa: SIM118  not a dict
        secondary.try_catch_up_with_primary()
    secondary.close()
