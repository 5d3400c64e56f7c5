"""Databases with odd directory names, on mounts, under a quota, and with readers."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import AccessType, Options, Rdict

from jobtui.errors import ErrorCode
from jobtui.storage.base import Placement
from tests.support.adoptable import adoptable
from tests.support.adoption_checks import SPACE, Snapshot, work_on
from tests.support.disks import mount, unmount
from tests.support.storage import compact, dumped, failure_of, flush, layer_pairs, space_at, storage_at

LONGEST_NAME = "x" * 250


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A directory to mount something at, which is unmounted afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    where = tmp_path / "disk"
    where.mkdir()
    yield where
    while str(where) in Path("/proc/mounts").read_text():  # a bind mount of the same disk is no `is_mount`
        unmount(where)


def try_to_mount(*arguments: object) -> None:
    try:
        mount(*arguments)
    except subprocess.CalledProcessError:
        pytest.skip(f"this system mounts no such file system: {arguments}")


def btrfs(*words: object) -> None:
    subprocess.run(["btrfs", *map(str, words)], check=True, capture_output=True)


def pairs_of(database: Path) -> list[object]:
    """Return all pairs of both families as another program reads them."""
    options = Options(raw_mode=True)
    families = {"default": options, "edges": options}
    opened = Rdict(str(database), options, families, AccessType.read_only(False))
    edges = opened.get_column_family("edges")
    found: list[object] = [list(opened.items()), list(edges.items())]
    edges.close()
    opened.close()
    return found


def check_worked_on(tmp_path: Path, database: Path, name: str | None = None) -> None:
    """Let jobtui do everything with the database; its owner finds all pairs, files and modes."""
    expected, snapshot = pairs_of(database), Snapshot(database)
    if name is not None:
        name = os.path.join(database.parent, name)  # noqa: PTH118  # pathlib drops a trailing slash
    answer = asyncio.run(work_on(tmp_path / "root", database if name is None else Path(name)))
    assert answer == (None, None)
    snapshot.check(answer)
    assert pairs_of(database) == expected


class TestNames:
    @pytest.mark.parametrize(
        "name",
        ["données ☃ 数据", "с пробелом ", "a'b\"c\\d`e$f", "new\nline", "-rf", "%s{}", LONGEST_NAME],
        ids=["unicode", "blank", "quotes", "line feed", "option", "format", "250 bytes"],
    )
    def test_odd_name_is_worked_on(self, tmp_path: Path, name: str) -> None:
        check_worked_on(tmp_path, adoptable(tmp_path / "theirs" / name))

    @pytest.mark.parametrize("ending", ["/", "//", "/.", "/../data"])
    def test_other_spelling_is_the_same_directory(self, tmp_path: Path, ending: str) -> None:
        database = adoptable(tmp_path / "theirs" / "data")

        async def run() -> None:
            async with storage_at(tmp_path / "root") as storage:
                await storage.create_space(SPACE, Placement(directories=(f"{database}{ending}",)))
                (space,) = await storage.spaces()
                assert space.hosts == (str(database),)
                await flush(storage, str(database), SPACE)
                await compact(storage, str(database), SPACE)
                twice = storage.create_space("again", Placement(directories=(str(database),)))
                assert "theirs" in str(await failure_of(twice))

        expected, snapshot = pairs_of(database), Snapshot(database)
        asyncio.run(run())
        snapshot.check_left_as_found()
        assert pairs_of(database) == expected


class TestMounts:
    def test_overlay_leaves_the_lower_directory_alone(self, tmp_path: Path, disk: Path) -> None:
        lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
        upper.mkdir()
        work.mkdir()
        database = adoptable(lower / "data")
        expected, original = pairs_of(database), Snapshot(database)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        try_to_mount("-t", "overlay", "overlay", "-o", options, disk)
        check_worked_on(tmp_path, disk / "data")
        original.check_untouched()
        assert pairs_of(database) == expected

    def test_read_only_bind_mount_is_only_read(self, tmp_path: Path, disk: Path) -> None:
        database = adoptable(tmp_path / "theirs" / "data")
        expected, snapshot = pairs_of(database), Snapshot(database)
        try_to_mount("--bind", database.parent, disk)
        try_to_mount("-o", "remount,ro,bind", disk)
        view = str(disk / "data")

        async def run() -> None:
            async with storage_at(tmp_path / "root") as storage:
                await storage.create_space(SPACE, Placement(directories=(view,)))
                assert (await storage.stats(SPACE, view)).entries
                assert await dumped(storage, SPACE)
                for work in (flush, compact):
                    error = await failure_of(work(storage, view, SPACE))
                    assert "read-only" in str(error).lower()
                    assert error.code is not ErrorCode.CORRUPT

        asyncio.run(run())
        snapshot.check_untouched()
        assert pairs_of(database) == expected


class TestQuota:
    """On a file system that has free space, a directory may not grow further (EDQUOT)."""

    @pytest.fixture
    def limited(self, tmp_path: Path, disk: Path) -> Path:
        """A directory that can have a quota, without one."""
        if shutil.which("mkfs.btrfs") is None:
            pytest.skip("only btrfs has quotas that need no other support (Debian: btrfs-progs)")
        image = tmp_path / "image"
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
        try_to_mount("-o", "loop", image, disk)
        btrfs("subvolume", "create", disk / "limited")
        btrfs("quota", "enable", disk)
        return disk / "limited"

    def test_compaction_over_the_quota_loses_nothing(self, tmp_path: Path, limited: Path) -> None:
        pairs = layer_pairs(0, 14)

        async def run() -> None:
            async with space_at(tmp_path / "root", {"h1": limited / "h1"}) as storage:
                await storage.load("nba", pairs)
                await flush(storage)
                btrfs("qgroup", "limit", "20M", limited)
                error = await failure_of(compact(storage))
                assert error.code is ErrorCode.DISK_FULL
                assert "the quota of its user or directory is used up" in str(error)
                assert " free" not in str(error)  # the disk has room, which would be taken for a contradiction
                assert await dumped(storage) == pairs
            btrfs("qgroup", "limit", "none", limited)
            async with storage_at(tmp_path / "root", {"h1": limited / "h1"}) as storage:
                await compact(storage)
                assert await dumped(storage) == pairs

        asyncio.run(run())


class TestReaders:
    """Another instance reads the database while it is compacted."""

    @pytest.mark.parametrize("kind", ["secondary", "read-only"])
    def test_open_instance_still_reads_every_pair(self, tmp_path: Path, kind: str) -> None:
        database = adoptable(tmp_path / "theirs" / "data")
        expected = pairs_of(database)
        options = Options(raw_mode=True)
        access = (
            AccessType.secondary(str(tmp_path / "secondary"))
            if kind == "secondary"
            else AccessType.read_only(False)
        )
        reader = Rdict(str(database), options, {"default": options, "edges": options}, access)
        edges = reader.get_column_family("edges")
        snapshot = Snapshot(database)
        answer = asyncio.run(work_on(tmp_path / "root", database))
        assert answer == (None, None)
        snapshot.check(answer)
        assert [list(reader.items()), list(edges.items())] == expected
        if kind == "secondary":
            reader.try_catch_up_with_primary()
            assert [list(reader.items()), list(edges.items())] == expected
        edges.close()
        reader.close()
        assert pairs_of(database) == expected
