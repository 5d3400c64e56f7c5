"""The catalog of spaces works without a loop, survives damage and crashes, and never guesses."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.base import Placement, Space
from jobtui.storage.local.catalog import FILE, Catalog, CatalogEntry, PendingSpace
from jobtui.storage.local.layout import bytes_of_new_tables
from tests.support.storage import layers, space_at, storage_at

HOSTS = {"h1": None, "h2": None}


def saved(root: Path) -> Catalog:
    catalog = Catalog.open(root, HOSTS).with_entry(CatalogEntry("nba", ("h1", "h2")))
    catalog = catalog.with_entry(CatalogEntry("chain", directories=("/somewhere/db",)))
    catalog.save()
    return catalog


def test_empty_directory_is_an_empty_catalog(tmp_path):
    catalog = Catalog.open(tmp_path / "none", {})
    assert catalog.spaces() == ()
    assert [host.name for host in catalog.hosts()] == ["local0", "local1", "local2"]
    assert not (tmp_path / "none").exists()


def test_saved_catalog_is_read_back(tmp_path):
    saved(tmp_path)
    catalog = Catalog.open(tmp_path, HOSTS)
    assert catalog.spaces() == (Space("chain", ("/somewhere/db",), adopted=True), Space("nba", ("h1", "h2")))
    assert not catalog.damage
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_sizes_and_hosts_come_from_the_files(tmp_path):
    async def run():
        async with space_at(tmp_path, HOSTS) as storage:
            await layers(storage, 1, 0.5)

    asyncio.run(run())
    catalog = Catalog.open(tmp_path, HOSTS)
    assert catalog.size("nba") > 500_000
    assert catalog.size("nope") == 0
    hosts = catalog.hosts()
    assert [(host.name, host.up, host.spaces) for host in hosts] == [("h1", True, 1), ("h2", True, 1)]
    assert sum(host.size for host in hosts) == catalog.size("nba")
    assert all(host.free for host in hosts)


def test_unconfigured_host_and_lost_directory_are_reported(tmp_path):
    saved(tmp_path)
    hosts = {host.name: host for host in Catalog.open(tmp_path, {"h1": None}).hosts()}
    assert hosts["h2"].detail == "it is not in the configuration"
    assert not hosts["h2"].up
    assert not hosts["/somewhere/db"].up
    assert "/somewhere/db" in hosts["/somewhere/db"].detail


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\x00" * len(data),
        lambda data: data.replace(b"nba", b"nbb"),
        lambda data: b'{"crc":"00000000","catalogue":[]}',
        lambda data: b"\xff\xfe",
        lambda data: b'{"crc":"\xff","catalogue":[]}',
        lambda data: b'{"catalogue":' * 50_000,
    ],
    ids=["empty", "cut", "zeros", "changed", "other", "no text", "no UTF-8", "nested"],
)
def test_damaged_catalogue_is_rebuilt_from_the_hosts_and_kept(tmp_path, spoil):
    notices: list[str] = []

    async def run():
        async with space_at(tmp_path, HOSTS):
            pass
        spoiled = spoil((tmp_path / FILE).read_bytes())
        (tmp_path / FILE).write_bytes(spoiled)
        read_only = Catalog.open(tmp_path, HOSTS)
        assert read_only.damage
        assert (tmp_path / FILE).read_bytes() == spoiled
        async with storage_at(tmp_path, HOSTS, notices=notices) as storage:
            assert await storage.spaces() == (Space("nba", ("h1", "h2")),)
            assert await storage.stats("nba", "h1")
        assert [kept.read_bytes() for kept in tmp_path.glob(f"{FILE}.damaged-*")] == [spoiled]

    asyncio.run(run())
    assert any("nba" in text and FILE in text for text in notices)
    assert not Catalog.open(tmp_path, HOSTS).damage


def test_missing_catalog_is_rebuilt_with_long_names(tmp_path):
    notices: list[str] = []
    long = "Ü" * 4096

    async def run():
        async with storage_at(tmp_path) as storage:
            await storage.create_space(long, Placement())
        (tmp_path / FILE).unlink()
        async with storage_at(tmp_path, notices=notices) as storage:
            assert await storage.spaces() == (Space(long, ("h1",)),)

    asyncio.run(run())
    assert any("is missing" in text for text in notices)


def test_catalog_of_a_newer_version_is_not_changed(tmp_path):
    saved(tmp_path)
    import zlib

    content = json.dumps({"format": 99, "spaces": "who knows"})
    crc = f"{zlib.crc32(content.encode()):08x}"
    newer = f'{{"crc":"{crc}","catalogue":{content}}}'
    (tmp_path / FILE).write_text(newer)
    with pytest.raises(StorageError, match="newer jobtui") as caught:
        Catalog.open(tmp_path, HOSTS)
    assert caught.value.code is ErrorCode.UNSUPPORTED
    assert (tmp_path / FILE).read_text() == newer


def test_incomplete_file_next_to_it_changes_nothing(tmp_path):
    saved(tmp_path)
    (tmp_path / f".{FILE}.123").write_text("half of")
    assert len(Catalog.open(tmp_path, HOSTS).spaces()) == 2


@pytest.mark.parametrize(
    "hosts",
    [
        {"a": Path("/x/one"), "b": Path("/x/one")},
        {"a": Path("/x"), "b": Path("/x/one")},
        {"a": Path("/x/one/../two"), "b": Path("/x/two")},
    ],
)
def test_hosts_that_would_share_a_directory_are_refused(tmp_path, hosts):
    with pytest.raises(StorageError, match="share a directory") as caught:
        Catalog.open(tmp_path, hosts)
    assert caught.value.code is ErrorCode.REJECTED


def test_full_disk_keeps_the_old_catalog(small_disk):
    disk = small_disk("1m")
    before = saved(disk)
    with open(disk / "stuff", "wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(512))
        except OSError:
            pass
    large = before
    for number in range(300):
        large = large.with_entry(CatalogEntry(f"space{number}", ("h1", "h2")))
    with pytest.raises(StorageError) as caught:
        large.save()
    assert caught.value.code is ErrorCode.DISK_FULL
    assert Catalog.open(disk, HOSTS).spaces() == before.spaces()
    assert sorted(path.name for path in disk.iterdir()) == sorted([FILE, "stuff"])


def test_pending_spaces_are_deleted_after_a_crash(tmp_path):
    notices: list[str] = []

    async def run():
        async with storage_at(tmp_path, notices=notices) as storage:
            for name in ("kept", "made", "dropped"):
                await storage.create_space(name, Placement())
        catalog = Catalog.open(tmp_path, {"h1": None})
        half = catalog.without("dropped").without("made").with_pending(PendingSpace("never", ("h1",)))
        half.save()
        (tmp_path / "h1" / "dropped").rename(tmp_path / "h1" / "dropped.dropped")
        async with storage_at(tmp_path, notices=notices) as storage:
            assert [space.name for space in await storage.spaces()] == ["kept"]
        assert [path.name for path in (tmp_path / "h1").iterdir()] == ["kept"]
        assert Catalog.open(tmp_path, {"h1": None}).pending == ()

    asyncio.run(run())
    assert notices == []


def test_unknown_directories_are_reported_and_not_changed(tmp_path):
    notices: list[str] = []
    (tmp_path / "h1" / "stranger").mkdir(parents=True)
    (tmp_path / "h1" / "stranger" / "precious").write_text("data")

    async def run():
        async with storage_at(tmp_path, notices=notices) as storage:
            with pytest.raises(StorageError, match="exists already") as caught:
                await storage.create_space("stranger", Placement())
            assert caught.value.code is ErrorCode.REJECTED

    asyncio.run(run())
    assert len(notices) == 1
    assert "stranger" in notices[0]
    assert (tmp_path / "h1" / "stranger" / "precious").read_text() == "data"


def test_reading_it_imports_neither_asyncio_nor_rocksdict(tmp_path):
    code = (
        "import sys; from pathlib import Path; from jobtui.storage.local.catalog import Catalog;"
        "Catalog.open(Path(sys.argv[1]), {}).hosts();"
        "print(sorted({'asyncio', 'rocksdict'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_size_counts_wal_in_its_stated_directory(tmp_path):
    database, wal = tmp_path / "db", tmp_path / "wal"
    for directory in (database, wal):
        directory.mkdir()
    (wal / "000004.log").write_bytes(bytes(700))
    root = tmp_path / "root"
    Catalog(root, {}, {}).with_entry(CatalogEntry("theirs", (), (str(database),))).save()
    assert Catalog.open(root, {}, {f"{database}/": wal}).size("theirs") == 700
    assert Catalog.open(root, {}).size("theirs") == 0
    (database / "000005.sst").write_bytes(bytes(50))
    assert Catalog.open(root, {}, {str(database): wal}).size("theirs") == 50


def test_only_new_sst_files_count_as_new(tmp_path):
    for name, size in (("000001.sst", 10), ("000002.sst", 5), ("000003.log", 3)):
        (tmp_path / name).write_bytes(bytes(size))
    assert bytes_of_new_tables(tmp_path, {"000001.sst"}) == 5
