"""CREATE SPACE and DROP SPACE are atomic, and never change foreign files."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode
from jobtui.storage.base import Placement, Space
from jobtui.storage.local import layout
from jobtui.storage.local.catalog import Catalog
from jobtui.storage.local.worker.openers import OwnOpener
from jobtui.storage.local.worker.options import SharedOptions
from tests.storage.test_names import HOSTILE
from tests.support.storage import dumped, failure_of, flush, layers, space_at, storage_at

THREE = {"h1": None, "h2": None, "h3": None}


@pytest.mark.parametrize(
    ("placement", "hosts"),
    [
        (Placement(), ("h1", "h2", "h3")),
        (Placement(count=1), ("h3",)),
        (Placement(count=2), ("h1", "h3")),
        (Placement(hosts=("h2", "h1", "h2")), ("h2", "h1")),
    ],
)
def test_space_is_placed_on_the_emptiest_hosts_by_default(tmp_path, placement, hosts):
    async def run():
        async with storage_at(tmp_path, THREE) as storage:
            await storage.create_space("there", Placement(hosts=("h1", "h2")))
            await storage.create_space("too", Placement(hosts=("h2",)))
            assert await storage.create_space("nba", placement) == Space("nba", hosts)
            for host in hosts:
                assert (tmp_path / host / "nba" / "CURRENT").exists()
                assert (await storage.stats("nba", host)).files == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        (Placement(count=4), "4 hosts were asked for; there are 3: h1, h2, h3"),
        (Placement(count=0), "0 hosts"),
        (Placement(hosts=("h1", "h9")), "Host 'h9' does not exist; there are h1, h2, h3"),
    ],
)
def test_placement_that_cannot_be_is_refused(tmp_path, placement, words):
    async def run():
        async with storage_at(tmp_path, THREE) as storage:
            error = await failure_of(storage.create_space("nba", placement))
            assert error.code is ErrorCode.REJECTED
            assert words in error.detail
            assert await storage.spaces() == ()

    asyncio.run(run())


def test_existing_space_is_not_created_again(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await storage.load("nba", [(b"k", b"v")])
            error = await failure_of(storage.create_space("nba", Placement()))
            assert error.code is ErrorCode.REJECTED
            assert await dumped(storage) == [(b"k", b"v")]

    asyncio.run(run())


def test_dropped_space_is_deleted_and_its_name_is_free(tmp_path):
    async def run():
        async with space_at(tmp_path, THREE) as storage:
            await layers(storage, 1, 0.5)
            await storage.drop_space("nba")
            assert await storage.spaces() == ()
            assert [list((tmp_path / host).iterdir()) for host in THREE] == [[], [], []]
            await storage.create_space("nba", Placement())
            assert await dumped(storage) == []

    asyncio.run(run())


def test_space_without_a_usable_directory_can_be_dropped(tmp_path):
    import shutil

    async def run():
        async with space_at(tmp_path, THREE) as storage:
            shutil.rmtree(tmp_path / "h1" / "nba")
            await storage.drop_space("nba")
            assert await storage.spaces() == ()

    asyncio.run(run())


def test_failed_deletion_is_reported_and_retried_at_start(tmp_path, monkeypatch):
    notices: list[str] = []

    async def run():
        async with storage_at(tmp_path, notices=notices) as storage:
            await storage.create_space("nba", Placement())
            with monkeypatch.context() as patched:
                patched.setattr("jobtui.storage.local.layout.shutil.rmtree", refuse)
                await storage.drop_space("nba")
            assert await storage.spaces() == ()
            assert any("could not be deleted" in text for text in notices)
        async with storage_at(tmp_path) as storage:
            assert list((tmp_path / "h1").iterdir()) == []

    asyncio.run(run())


def test_data_on_an_unconfigured_host_is_reported_on_drop(tmp_path):
    notices: list[str] = []

    async def run():
        async with storage_at(tmp_path, {"h1": None, "h2": None}) as storage:
            await storage.create_space("nba", Placement())
        async with storage_at(tmp_path, {"h2": None}, notices=notices) as storage:
            await storage.drop_space("nba")
        assert notices == ["what the space nba held on h1 stays there: not in the configuration"]
        assert (tmp_path / "h1" / "nba" / "CURRENT").exists()
        assert not (tmp_path / "h2" / "nba").exists()

    asyncio.run(run())


def test_failed_creation_leaves_nothing_to_delete(tmp_path):
    (tmp_path / "h1").write_text("in the way")
    notices: list[str] = []

    async def run():
        async with storage_at(tmp_path, notices=notices) as storage:
            await failure_of(storage.create_space("nba", Placement()))
            assert storage.catalog.pending == ()
        assert notices == []

    asyncio.run(run())


def test_name_whose_deletion_failed_is_free_once_it_succeeds(tmp_path, monkeypatch):
    async def run():
        async with space_at(tmp_path) as storage:
            await storage.load("nba", [(b"old", b"data")])
            with monkeypatch.context() as patched:
                patched.setattr("jobtui.storage.local.layout.shutil.rmtree", refuse)
                await storage.drop_space("nba")
                error = await failure_of(storage.create_space("nba", Placement()))
                assert error.code is ErrorCode.REJECTED
                assert "the data of the dropped space 'nba' cannot be deleted" in error.detail
            await storage.create_space("nba", Placement())
            assert await dumped(storage) == []
        assert [path.name for path in (tmp_path / "h1").iterdir()] == ["nba"]

    asyncio.run(run())


def test_hostile_names_make_spaces_like_others_and_stay_inside(tmp_path, long):
    root = tmp_path / "root"
    bystander = tmp_path / "etc"
    bystander.write_text("untouched")
    names = set(HOSTILE if long else HOSTILE[::3]) - {"\udc80"}

    async def run():
        async with storage_at(root) as storage:
            error = await failure_of(storage.create_space("\udc80", Placement()))
            assert error.code is ErrorCode.REJECTED
            for name in names:
                await storage.create_space(name, Placement())
            for name in names:
                await storage.load(name, [(b"name", name.encode())])
        async with storage_at(root) as storage:
            assert {space.name for space in await storage.spaces()} == names
            for name in names:
                assert await dumped(storage, name) == [(b"name", name.encode())]
                await storage.drop_space(name)
            assert list((root / "h1").iterdir()) == []

    asyncio.run(run())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["etc", "root"]
    assert bystander.read_text() == "untouched"


def test_host_can_have_any_name(tmp_path):
    async def run():
        hosts = {"../up": None, "CON": None, "con": None}
        async with space_at(tmp_path / "root", hosts) as storage:
            await flush(storage, "../up")
            assert [host.name for host in await storage.hosts()] == list(hosts)
        assert [path.name for path in tmp_path.iterdir()] == ["root"]

    asyncio.run(run())


def test_link_in_place_of_a_space_is_never_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("data")

    async def run():
        async with space_at(tmp_path / "root") as storage:
            await storage.close()
            directory = tmp_path / "root" / "h1" / "nba"
            directory.rename(tmp_path / "moved")
            directory.symlink_to(elsewhere)
            await storage.drop_space("nba")
            assert not directory.is_symlink()

    asyncio.run(run())
    assert (elsewhere / "precious").read_text() == "data"


@pytest.mark.parametrize("step", range(1, 4))
def test_crash_while_creating_a_space_leaves_no_trace(tmp_path, monkeypatch, step):
    """The catalog is saved before and after the databases are made: a crash saves it no more."""
    count = 0
    save = Catalog.save

    def dying_save(catalog: Catalog) -> None:
        nonlocal count
        count += 1
        if count >= step:
            raise SystemError("crash")
        save(catalog)

    async def crash():
        async with storage_at(tmp_path, THREE) as storage:
            monkeypatch.setattr(Catalog, "save", dying_save)
            monkeypatch.setattr("jobtui.storage.local.spaces.SpaceManager._delete_databases", nothing)
            if step == 3:
                await storage.create_space("nba", Placement())
            else:
                with pytest.raises(SystemError):
                    await storage.create_space("nba", Placement())

    async def start_again():
        async with storage_at(tmp_path, THREE) as storage:
            return await storage.spaces()

    asyncio.run(crash())
    monkeypatch.undo()
    spaces = asyncio.run(start_again())
    if step == 3:
        assert [space.name for space in spaces] == ["nba"]
    else:
        assert spaces == ()
        assert [path for host in THREE for path in (tmp_path / host).glob("*")] == []


async def nothing(*_: object) -> None:
    """A process that crashed clears nothing away."""


def refuse(path: Path) -> None:
    raise PermissionError(13, "Permission denied")


class TestDirectories:
    """A new database survives a crash of the machine only if the names of its files do."""

    def test_new_database_is_synced_then_its_place(self, tmp_path, monkeypatch):
        synced: list[tuple[Path, bool]] = []

        def note(directory: Path) -> None:
            synced.append((directory, (tmp_path / "nba" / "CURRENT").exists()))

        monkeypatch.setattr("jobtui.storage.local.worker.openers.sync_directory", note)
        OwnOpener(tmp_path / "nba", SharedOptions()).create()
        assert synced == [(tmp_path / "nba", True), (tmp_path, True)]

    def test_new_host_is_synced_in_its_parent(self, tmp_path, monkeypatch):
        synced: list[Path] = []
        monkeypatch.setattr(layout, "sync_directory", synced.append)
        layout.prepare_host(tmp_path / "host", "nba")
        assert synced == [tmp_path]

    def test_removal_is_synced(self, tmp_path, monkeypatch):
        synced: list[Path] = []
        (tmp_path / "nba").mkdir()
        monkeypatch.setattr(layout, "sync_directory", synced.append)
        layout.delete_database(tmp_path, "nba")
        assert synced == [tmp_path]

    def test_directory_is_synced_by_the_system(self, tmp_path, monkeypatch):
        synced: list[int] = []
        fsync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_ino), fsync(file)))
        layout.sync_directory(tmp_path)
        assert synced == [tmp_path.stat().st_ino]
