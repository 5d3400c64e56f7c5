"""Root works on another user's database, and that user can use it afterwards."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.adoption_checks import Snapshot, work_on
from tests.support.foreign_owners import Owner, OwnerProgram

USER = 65534
UMASKS = [0o022, 0o077, 0o007]
KINDS = ["ordinary", "families", "blob_files", "wal_kept", "wal_recycled", "universal", "fifo_full"]


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user can reach, which tmp_path is not."""
    if os.geteuid() != 0:
        pytest.skip("only root can work on another user's database")
    path = Path(tempfile.mkdtemp(prefix="jobtui-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def owner_of(owners: OwnerProgram, public: Path, kind: str) -> Owner:
    program = public / "owner"
    shutil.copy2(owners.binary, program)
    theirs = public / "theirs"
    theirs.mkdir()
    os.chown(theirs, USER, USER)
    return Owner((str(program), kind), user=USER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pair kinds and umasks: the long form tries all pairs, the short form each kind and each umask."""
    if "umask" in metafunc.fixturenames:
        pairs = list(itertools.product(KINDS, UMASKS))
        if not metafunc.config.getoption("--long"):
            pairs = list(zip(KINDS, itertools.cycle(UMASKS), strict=False))
        metafunc.parametrize(("kind", "umask"), pairs, ids=[f"{kind}-{umask:o}" for kind, umask in pairs])


def test_users_database_stays_theirs(owners, public, monkeypatch, kind, umask):
    database, twin = public / "theirs" / "data", public / "theirs" / "twin"
    before = os.umask(umask)
    try:
        owner = owner_of(owners, public, kind)
        for each in (database, twin):
            owner.make(each, "killed")
        snapshot = Snapshot(database)
        os.umask(0o077)
        monkeypatch.chdir(public)
        answer = asyncio.run(work_on(public / "root", database))
    finally:
        os.umask(before)
    assert answer == (None, None)
    snapshot.check(answer)
    assert owner.dump(database) == owner.dump(twin)


def test_lock_made_by_root_is_the_users(owners, public, monkeypatch):
    """A copy may lack the LOCK file, which the owner must be able to open."""
    monkeypatch.chdir(public)
    owner = owner_of(owners, public, "ordinary")
    database = public / "theirs" / "data"
    owner.make(database, "killed")
    for name in ("LOCK", "IDENTITY"):
        (database / name).unlink()
    answer = asyncio.run(work_on(public / "root", database))
    assert answer.failure is None
    assert {path.stat().st_uid for path in database.iterdir()} == {USER}
    owner.dump(database)
