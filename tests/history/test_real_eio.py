"""A real disk failure: the kernel answers a sync with EIO."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobtui.history import Health, History, StoreError, StoreFailed
from jobtui.history.write.store import Limits
from tests.support import made_jobs
from tests.support.filled_history import new_job

if sys.platform != "linux":
    pytest.skip("only Linux makes a disk of memory that can be sealed", allow_module_level=True)

F_ADD_SEALS, F_SEAL_WRITE = 1033, 8


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A file system on a disk that is a piece of memory, and what makes each write to that disk fail."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a disk of memory can only be mounted as root, with mkfs.ext4")
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    memory = os.memfd_create("disk", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, 8 << 20)
    image = f"/proc/{os.getpid()}/fd/{memory}"
    for command in (
        ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", image],
        ["mount", "-o", "loop,errors=continue", image, str(mount_point)],
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            os.close(memory)
            pytest.skip("this machine does not allow mounting a disk in memory")

    def fail() -> None:
        try:
            fcntl.fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE)
        except OSError as error:
            pytest.skip(f"this machine cannot seal a disk of memory: {error}")

    try:
        yield mount_point, fail
    finally:
        subprocess.run(["umount", "--lazy", str(mount_point)], capture_output=True, check=False)
        os.close(memory)


@pytest.mark.parametrize("work", ["commit", "archive"])
def test_real_io_error_makes_it_read_only_without_loss(
    work: str, disk: tuple[Path, Callable[[], None]]
) -> None:
    mount_point, fails = disk
    rng = random.Random(2)
    history = History.open(mount_point / "history", limits=Limits(blanks=4096))
    jobs = [made_jobs.ended(history.new_id(), rng) for _ in range(8)]
    for job in jobs:
        history.commit(job).result()
    fails()
    refused = new_job(history)
    if work == "archive":
        with pytest.raises(StoreError, match="nothing was changed"):
            history.archive(1, 4).result()
    for _ in range(2):
        with pytest.raises(StoreFailed, match="can no longer be written"):
            history.commit(refused).result()
    assert history.health is Health.READ_ONLY
    assert "check that disk" in history.write_error
    assert [history.get(job.id) for job in jobs] == jobs
    assert history.get(refused.id) is None
    with contextlib.suppress(StoreError):
        history.close()
    reader = History.open(mount_point / "history", write=False)
    assert [reader.get(job.id) for job in jobs] == jobs
    assert reader.get(refused.id) is None
    reader.close()
