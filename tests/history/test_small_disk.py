"""A history on a real disk that is full or unmounted."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobtui.history import Health, History, Query, StoreFailed, StoreFull
from jobtui.history.verify import verify
from jobtui.history.write.store import Limits
from jobtui.model import Status
from tests.support import made_jobs
from tests.support.filled_history import SMALL, after_opening_again, filled_up, new_job
from tests.support.made_jobs import replace


def _mounted(path: Path, size: str) -> Callable[[], None] | None:
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)],
        capture_output=True,
        check=False,
    )
    return (
        (lambda: subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True) and None)
        if mount.returncode == 0
        else None
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a small disk can only be mounted as root")
    path = tmp_path / "small"
    unmount = _mounted(path, "1m")
    if unmount is None:
        pytest.skip("this machine does not allow mounting a tmpfs")
    yield path
    unmount()


def test_unmounted_disk_is_reported_as_gone(small_disk: Path) -> None:
    history = History.open(small_disk / "history")
    history.commit(new_job(history)).result()
    subprocess.run(["umount", "--lazy", str(small_disk)], check=True)
    with pytest.raises(StoreFailed, match="unmounted"):
        history.commit(new_job(history)).result()
    assert not any(small_disk.iterdir())
    history.close()


def test_really_full_disk_keeps_all_jobs_and_recovers(small_disk: Path) -> None:
    history = History.open(small_disk / "history", limits=Limits(journal=200_000, blanks=32_768))
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    jobs, _ = filled_up(history)
    assert history.health is Health.FULL
    for job in jobs.values():
        jobs[job.id] = replace(job, status=Status.STOPPED)
        try:
            history.commit(jobs[job.id]).result()
        except StoreFull:
            jobs[job.id] = job
            break
    assert sum(job.status is Status.STOPPED for job in jobs.values()) > 50
    assert after_opening_again(history.path) == jobs
    ballast.unlink()
    assert history.retry()
    job = new_job(history)
    history.commit(job).result()
    jobs[job.id] = job
    history.close()
    again = History.open(small_disk / "history")
    assert again.notes == ()
    again.close()
    assert after_opening_again(history.path) == jobs
    assert verify(history.path) == []


def test_history_on_a_completely_full_disk_is_readable(small_disk: Path) -> None:
    history = History.open(small_disk / "history", limits=SMALL)
    rng = random.Random(2)
    jobs = {job.id: job for job in (made_jobs.ended(history.new_id(), rng) for _ in range(60))}
    history.commit(*jobs.values()).result()
    history.close()
    with contextlib.suppress(OSError), open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(512))
    assert after_opening_again(history.path) == jobs
    again = History.open(small_disk / "history")
    assert again.query(Query()).page(0, 99) == list(jobs.values())
    with pytest.raises(StoreFull):
        again.commit(new_job(again)).result()
    again.close()
    assert after_opening_again(history.path) == jobs
