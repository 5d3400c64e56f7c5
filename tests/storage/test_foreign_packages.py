"""jobtui does no harm to databases of Python packages that embed RocksDB, of versions from 6.14 to 11.1."""

from __future__ import annotations

import asyncio
import re

import pytest

from jobtui.errors import ErrorCode
from tests.support.adoption_checks import check_no_harm
from tests.support.foreign_owners import STATES, Package, package_owner

# what CI installs: the oldest RocksDB, the newest, two between them, and one that calls its directory its own
SHORT = [
    Package("faust-streaming-rocksdb==0.9.3", "faust"),
    Package("rocksdict==0.3.2", "rocksdict_raw"),
    Package("cozo-embedded==0.7.6", "cozo"),
    Package("rocksdict==0.3.28", "rocksdict_raw"),
]
LONG = [
    Package("rdbpython==0.2.7", "rdbpy"),
    Package("rocksdict==0.3.5", "rocksdict_raw"),
    Package("rocksdict==0.3.12", "rocksdict_raw"),
    Package("rocksdict==0.3.20", "rocksdict_raw"),
    Package("rocksdict==0.3.25", "rocksdict_raw"),
    Package("rocksq==0.3.0", "rocksq"),
    Package("pyoxigraph==0.3.22", "pyoxigraph"),
    Package("pyoxigraph==0.4.0", "pyoxigraph"),
]
# a comparator of its own, a newer RocksDB, no RocksDB: the text of its refusal
REFUSED_SHORT = {
    Package("rocksdict==0.3.2", "rocksdict"): "comparator rocksdict",  # its mode for Python objects
    Package("pyoxigraph==0.5.13", "pyoxigraph"): "RocksDB 11.0",
    Package("plyvel==1.5.1", "plyvel"): "LevelDB",
}
REFUSED_LONG = {
    Package("speedict==0.3.12", "speedict"): "Speedb",
    Package("rocksdb-py==0.0.6", "rocksdbpy"): "RocksDB 9.9",
    Package("pyrex-rocksdb==0.6.0", "pyrex"): "RocksDB 10.7",
    Package("amulet-rocksdb==1.0.6", "amulet"): "RocksDB 11.1",
}
UNTIL_THE_OWNER_OPENED_IT = re.compile(
    "no SST file yet|was interrupted in a flush or a compaction|lies in a file that held an older one"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    long = metafunc.config.getoption("--long")
    accepted, refused = SHORT + LONG * long, REFUSED_SHORT | (REFUSED_LONG if long else {})
    names = metafunc.fixturenames
    if "state" in names:
        metafunc.parametrize("state", STATES if long else ["killed"])
    if "finding" in names:
        metafunc.parametrize(
            ("package", "finding"),
            refused.items(),
            ids=[f"{each.adapter} {each.requirement}" for each in refused],
        )
    elif "package" in names:
        metafunc.parametrize("package", accepted, ids=[each.requirement for each in accepted])


def test_packages_database_stays_its_own(tmp_path, pytestconfig, monkeypatch, package, state):
    monkeypatch.chdir(tmp_path)
    owner = package_owner(pytestconfig, package)
    refusal = asyncio.run(check_no_harm(tmp_path, owner, state))
    # nothing is flushed yet, or the kill came in the middle of a flush or compaction of the package's own
    assert refusal is None or (state != "flushed" and UNTIL_THE_OWNER_OPENED_IT.search(str(refusal)))


def test_refused_packages_database_is_not_touched(tmp_path, pytestconfig, monkeypatch, package, finding, state):
    monkeypatch.chdir(tmp_path)
    owner = package_owner(pytestconfig, package)
    refusal = asyncio.run(check_no_harm(tmp_path, owner, state))
    assert refusal is not None
    assert refusal.code is not ErrorCode.CORRUPT
    assert finding in str(refusal)
