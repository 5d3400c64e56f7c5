"""Small disks to fill, to make read-only and to cover, for tests run as root on Linux."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.history.format.disk import Disk

Mount = Callable[[str], Path]


@contextmanager
def small_disks(parent: Path) -> Iterator[Mount]:
    """Yield a function that mounts a tmpfs of a size ("12m"); skip the test if that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted: list[Path] = []

    def mount_small(size: str) -> Path:
        where = parent / f"disk{len(mounted)}"
        where.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"a small disk could not be mounted: {done.stderr.strip()}")
        mounted.append(where)
        return where

    try:
        yield mount_small
    finally:
        for where in reversed(mounted):
            subprocess.run(["umount", "-l", where], check=True)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def unmount(disk: Path) -> None:
    subprocess.run(["umount", "-l", str(disk)], check=True)


@contextmanager
def covered_read_only(disk: Path) -> Iterator[None]:
    """Cover the disk with a read-only view of it: with files open for writing it cannot be remounted."""
    mount("--bind", disk, disk)
    mount("-o", "remount,ro,bind", disk)
    try:
        yield
    finally:
        unmount(disk)


def free_bytes(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def fill_up(file: Path) -> None:
    """Write a file until the disk is full."""
    with open(file, "wb", buffering=0) as out:
        size = 1 << 20
        while size >= 512:
            try:
                out.write(bytes(size))
            except OSError:
                size //= 2


class DiskFault:
    """A fault of the history's disk: while it is set, every write or every sync fails."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.on_write = 0
        self.on_sync = 0
        for name in ("write", "create"):
            patch.setattr(Disk, name, self._failing(getattr(Disk, name), "on_write"))
        for name in ("sync", "sync_data", "sync_directory"):
            patch.setattr(Disk, name, self._failing(getattr(Disk, name), "on_sync"))

    def _failing(self, operation, which):  # type: ignore[no-untyped-def]  # any operation
        def operate(disk: Disk, *arguments: object) -> object:
            if number := getattr(self, which):
                raise OSError(number, os.strerror(number))
            return operation(disk, *arguments)

        return operate
