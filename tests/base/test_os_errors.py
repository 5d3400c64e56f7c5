from __future__ import annotations

import errno
import os
import resource
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobtui.formatting import format_local_time, to_local
from jobtui.os_errors import describe_os_error, explain_shortage


def error(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.fixture(params=[(7, 7), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)], ids=["limited", "unlimited"])
def limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: request.param)
    return int(request.param[0])


@pytest.mark.parametrize(
    ("number", "option"),
    [(errno.EMFILE, "-n"), (errno.EFBIG, "-f"), (errno.EAGAIN, "-u"), (errno.ENOMEM, "-v")],
)
def test_limit_is_named_if_there_is_one(limit: int, number: int, option: str) -> None:
    message = describe_os_error(error(number))
    assert message.startswith(os.strerror(number))
    assert (f"(ulimit {option})" in message) is (limit == 7)


def test_limit_of_data_is_named_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = resource.RLIMIT_DATA
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (7 if which == data else resource.RLIM_INFINITY, 7)
    )
    assert "(ulimit -d)" in describe_os_error(error(errno.ENOMEM))
    assert "(ulimit" not in describe_os_error(error(errno.EFBIG))


@pytest.mark.parametrize(
    ("number", "message"), [(errno.EDQUOT, "quota -s"), (errno.ENFILE, "fs.file-max"), (errno.EIO, "")]
)
def test_other_errors_keep_the_systems_message(number: int, message: str) -> None:
    assert describe_os_error(error(number)).startswith(os.strerror(number))
    assert message in describe_os_error(error(number))


def test_free_inodes_are_no_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Disk:
        f_files, f_favail = 10, 0

    assert describe_os_error(error(errno.ENOSPC), tmp_path) == os.strerror(errno.ENOSPC)
    monkeypatch.setattr(os, "statvfs", lambda _path: Disk)
    assert "no free inodes" in describe_os_error(error(errno.ENOSPC), tmp_path / "missing")
    Disk.f_files = 0  # as btrfs and NFS say: they count none
    assert "no free inodes" not in describe_os_error(error(errno.ENOSPC), tmp_path)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (RuntimeError("can't start new thread"), "no more threads can be started"),
        (MemoryError(), "there is not enough memory"),
        (ImportError("/lib/x.so: failed to map segment from shared object"), "there is not enough memory"),
        (ImportError("No module named 'x'"), ""),
        (OverflowError("timestamp too large to convert to C _PyTime_t"), "the system's clock is wrong"),
        (OSError(errno.EMFILE, "Too many open files", "/lib/x.py"), "/lib/x.py: Too many open files"),
        (RuntimeError("something else"), ""),
        (FileNotFoundError(errno.ENOENT, "No such file"), ""),
    ],
)
def test_shortage_is_distinguished_from_a_defect(raised: Exception, message: str) -> None:
    assert explain_shortage(raised).startswith(message)
    assert bool(explain_shortage(raised)) is bool(message)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles", "garbage/nowhere"])
@pytest.mark.parametrize("year", [1, 1969, 2262, 9999])
def test_times_at_the_ends_of_the_calendar(year: int, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        first, last = (1, 1, 0, 0, 0), (12, 31, 23, 59, 59)
        for rest in (first, last):
            moment = datetime(year, *rest, tzinfo=UTC)
            assert format_local_time(moment)
            assert to_local(moment) == moment
    finally:
        monkeypatch.undo()
        time.tzset()
