"""Small disks to fill, and a second RocksDB to adopt from."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.disks import Mount, small_disks
from tests.support.foreign_owners import OwnerProgram, owner_program


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a tmpfs of a size ("12m"); needs root on Linux."""
    with small_disks(tmp_path) as mount:
        yield mount


@pytest.fixture(scope="session")
def ldb() -> Callable[..., str]:
    """Runs RocksDB's own tool, of another RocksDB than ours: `ldb(directory, "scan")` gives what it prints."""
    if shutil.which("ldb") is None:
        _install_ldb()

    def run(directory: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["ldb", f"--db={directory}", *arguments], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def owners(request: pytest.FixtureRequest) -> OwnerProgram:
    """Makes and opens databases of many kinds, with another RocksDB than ours."""
    return owner_program(request.config)


def _install_ldb() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("ldb (Debian's rocksdb-tools) is not there, and only root with apt can install it")
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", "rocksdb-tools"],
    ):
        try:
            subprocess.run(
                command,
                capture_output=True,
                timeout=120,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        except subprocess.TimeoutExpired:
            pytest.skip("ldb (Debian's rocksdb-tools) could not be installed in time")
    if shutil.which("ldb") is None:
        pytest.skip("ldb (Debian's rocksdb-tools) could not be installed")
