"""A database of another program while jobtui has it open for writing, and after a kill in that state."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.adoption_checks import Snapshot, twin_dump

KINDS = ["ordinary", "families", "wal_recycled", "wal_kept", "append_comma", "fifo_full", "auto_compactions"]
HOLD_OPEN = """
import sys
from pathlib import Path
from jobtui.storage.local.adoption import Surveyor
from jobtui.storage.local.worker.openers import AdoptedOpener
from jobtui.storage.local.worker.options import SharedOptions

database = Path(sys.argv[1])
opener = AdoptedOpener(database, Path(sys.argv[2]), Surveyor(database), SharedOptions())
opened = opener.open(read_only=False, limits=None)
print("open", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held_by_us(database: Path, notes: Path) -> Iterator[subprocess.Popen[bytes]]:
    """What a worker does, without a worker's end: it is killed."""
    notes.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, database, notes], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("kind", KINDS)
def test_kill_leaves_what_the_owner_can_open(tmp_path, owners, kind):
    owner = owners.of(kind)
    database = tmp_path / "theirs" / "data"
    owner.make(database, "killed")
    snapshot = Snapshot(database)
    with held_by_us(database, tmp_path / "notes"):
        pass
    snapshot.check_left_as_found()
    owner.load(database)
    assert owner.dump(database) == twin_dump(tmp_path, owner, "killed")


@pytest.mark.parametrize("lock", ["there", "missing"])
def test_owner_cannot_open_what_we_write(tmp_path, owners, lock):
    owner = owners.of("ordinary")
    database = tmp_path / "theirs" / "data"
    owner.make(database, "killed")
    if lock == "missing":  # as in a checkpoint, or another copy
        (database / "LOCK").unlink()
    with held_by_us(database, tmp_path / "notes"), pytest.raises(BlockingIOError):
        take_lock(database / "LOCK")


def take_lock(path: Path) -> None:
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
