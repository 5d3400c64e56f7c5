"""jobtui does no harm to databases of other programs, whatever their kind."""

from __future__ import annotations

import asyncio
import random

import pytest

from jobtui.errors import ErrorCode
from tests.support.adoption_checks import (
    ENDINGS,
    Snapshot,
    check_no_harm,
    compact_in_steps,
    end_in_the_middle,
    twin_dump,
)
from tests.support.foreign_owners import STATES

ACCEPTED = [
    *("append_comma", "append_two", "append_colon", "append_hash", "putoperator", "uint64add"),
    *("reverse_builtin", "prefix_fixed", "prefix_own", "filter", "ttl", "ttl_values", "periodic"),
    *("universal", "universal_1", "dynamic_levels", "no_style", "fifo", "fifo_full", "fifo_ttl", "fifo_family"),
    *("snappy", "lz4", "lz4hc", "bzip2", "zstd", "zstd_dictionary"),
    *("format_2", "xxh3", "ribbon", "checksums", "blob_files", "range_deletes", "wide", "ingested"),
    *("wal_itself", "wal_slash", "wal_dots", "wal_link", "wal_kept", "wal_recycled", "wal_tracked"),
    *("small_manifest", "db_paths_first", "write_committed"),
    *("tiered", "mixed_families"),
    *("ordinary", "families", "many_families", "odd_names", "atomic_flush", "auto_compactions"),
    *("direct_io", "mmap", "in_place", "vector_memtable"),
]
# the long form alone tries these: none of them has shown a fault that the ones above do not show
RARE = [
    *("filter_factory", "filter_policy", "partitioner", "partitioner_own", "hash_memtable", "max_operator"),
    *("blob_levels", "blob_merges", "kept_times", "tiered_level", "last_level_cold", "ingest_behind"),
    *("universal_incremental", "round_robin", "fifo_compacts", "zstd_parallel", "wal_manual", "two_queues"),
    *("single_deletes", "odd_keys", "recreated_family", "wide_delete"),
    *("hundreds_of_families", "prefix_capped", "ribbon_below"),
]
# what RocksDB reads back otherwise, or what cannot be distinguished from it
DELIMITERS = [
    *("semicolon", "newline", "tab", "backslash", "blank", "blanks", "empty", "brace", "open", "nul", "equals"),
    *("x01", "return"),
]
# an operator of the owner's under the name, or the nickname, of one of RocksDB's
NAMES = ["max", "put", "put_v1", "uint64add", "stringappend", "sortlist"]
# the text of a refusal for each finding
REFUSED = {
    **{f"counter{mode}": ("my.Sum", "merge operator") for mode in range(4)},
    "sum_family": ("my.Sum", "merge operator", "one"),
    "reverse": ("my.Reverse",),
    "timestamps": ("leveldb.BytewiseComparator.u64ts",),
    "wal_dir": ("WAL", "data-wal"),
    "wal_relative": ("WAL", "relative-wal"),
    "wal_inside": ("WAL", "data/wal"),
    "db_paths": ("db_paths",),
    "cf_paths": ("cf_paths",),
    "cold_family": ("cf_paths",),
    "tiered_blobs": ("preclude_last_level_data_seconds", "blob files"),
    "stats_on_disk": ("persist_stats_to_disk",),
    "encrypted": ("encrypted",),
    "zlib": ("Zlib",),
    "zlib_levels": ("Zlib",),
    "wal_zstd": ("compressed",),
    "plain_table": ("PlainTable",),
    "hash_index": ("my.Prefix",),
    "byte_names": ("UTF-8",),
    **{f"append_{name}": ("delimiter",) for name in DELIMITERS},
    **{f"sum_as_{name}": (name,) for name in NAMES},
    "sum_as_StringAppendOperator": ("delimiter",),
    "write_prepared": ("WritePrepared",),
    "write_unprepared": ("WriteUnprepared",),
}
RARELY_REFUSED = {
    "collectors": ("table_properties_collectors",),
    "cuckoo_table": ("CuckooTable",),
    "blob_zlib": ("Zlib",),
    "ttl_merges": ("TtlMergeOperator",),
}
# its owner takes up to a minute to make it
SLOW = {"hundreds_of_families"}
# the short form compacts these in steps: each kind of levels, keys, files and families once
IN_STEPS = ["ordinary", "families", "dynamic_levels", "range_deletes", "blob_files", "universal", "fifo_family"]
# tmpfs, the disk that the tests can fill, has no direct I/O
NOT_ON_TMPFS = {"direct_io"}
IN_THE_WAL = {"write_prepared", "write_unprepared", "wal_zstd"}


# kinds that a combination has at most one of: they set the same option, or exclude each other
ALTERNATIVES = [
    ["append_comma", "append_two", "putoperator", "uint64add"],
    ["prefix_fixed", "prefix_own"],
    ["universal", "dynamic_levels", "few_levels"],
    ["snappy", "lz4", "bzip2", "zstd", "zstd_dictionary"],
    ["format_2", "xxh3", "ribbon"],
    ["direct_io", "mmap", "in_place", "vector_memtable"],
    ["families", "mixed_families", "odd_names"],
    ["ingested", "wide", "range_deletes", "blob_files"],
    ["reverse_builtin", "filter", "ttl", "periodic", "checksums", "wal_recycled", "atomic_flush"],
]


def combinations(count: int) -> list[str]:
    """Return random combinations of kinds, the same ones in each run."""
    rng = random.Random(1)
    return [
        "+".join(rng.choice(kinds) for kinds in rng.sample(ALTERNATIVES, rng.randint(2, 5)))
        for _ in range(count)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The short form tries each kind as a program leaves it that was killed at its work."""
    long = metafunc.config.getoption("--long")
    accepted = [*ACCEPTED, *RARE] if long else ACCEPTED
    for fixture, values in {
        "state": STATES if long else ["killed"],
        "accepted_kind": accepted,
        "refused_kind": [*REFUSED, *RARELY_REFUSED] if long else REFUSED,
        "ended_kind": [*(kind for kind in accepted if kind not in SLOW), *combinations(20)]
        if long
        else ["ordinary"],
        "stepped_kind": accepted if long else IN_STEPS,
    }.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, values)


def test_accepted_kind_stays_its_owners(tmp_path, owners, monkeypatch, accepted_kind, state):
    monkeypatch.chdir(tmp_path)
    refusal = asyncio.run(check_no_harm(tmp_path, owners.of(accepted_kind), state))
    # while nothing is flushed, no file says where the owner keeps its SST files: it is read and not written
    assert refusal is None or (state == "unflushed" and "no SST file yet" in str(refusal))


def test_refused_kind_is_not_touched(tmp_path, owners, monkeypatch, refused_kind, state):
    monkeypatch.chdir(tmp_path)
    refusal = asyncio.run(check_no_harm(tmp_path, owners.of(refused_kind), state))
    if refused_kind in IN_THE_WAL and state == "flushed":
        return  # nothing unusual is left of it
    assert refusal is not None
    assert refusal.code is not ErrorCode.CORRUPT
    if "no SST file yet" not in str(refusal):  # which is found first, while nothing is flushed
        words = (REFUSED | RARELY_REFUSED)[refused_kind]
        assert [word for word in words if word not in str(refusal)] == []


def test_kind_compacted_in_steps_stays_its_owners(tmp_path, owners, monkeypatch, stepped_kind):
    """Paused after each step, and so opened and closed for each."""
    monkeypatch.setenv("OWNER_FILE_BYTES", "2000")
    monkeypatch.chdir(tmp_path)
    owner, database = owners.of(stepped_kind), tmp_path / "theirs" / "data"
    # its owner would be killed in the middle of a compaction of its own, which is refused
    state = "flushed" if stepped_kind == "auto_compactions" else "killed"
    owner.make(database, state)
    expected = twin_dump(tmp_path, owner, state)
    snapshot = Snapshot(database)
    steps = asyncio.run(compact_in_steps(tmp_path / "root", database))
    snapshot.check_left_as_found()
    owner.load(database)
    assert owner.dump(database) == expected
    if stepped_kind in {"ordinary", "families", "dynamic_levels", "range_deletes"}:
        assert steps > 2


@pytest.mark.parametrize("ending", ENDINGS)
def test_kind_ended_in_the_middle_continues(tmp_path, small_disk, owners, monkeypatch, ended_kind, ending):
    monkeypatch.setenv("OWNER_FILE_BYTES", "2000")
    monkeypatch.chdir(tmp_path)
    if ending == "full disk" and not NOT_ON_TMPFS.isdisjoint(ended_kind.split("+")):
        pytest.skip("its owner cannot create it on a tmpfs")
    disk = small_disk("64m") if ending == "full disk" else tmp_path
    owner, database = owners.of(ended_kind), disk / "theirs" / "data"
    state = "flushed" if ended_kind == "auto_compactions" else "killed"
    owner.make(database, state)
    expected = twin_dump(tmp_path, owner, state)
    snapshot = Snapshot(database)
    finished, steps = asyncio.run(end_in_the_middle(tmp_path / "root", database, ending))
    snapshot.check_left_as_found()
    owner.load(database)
    assert owner.dump(database) == expected
    if ended_kind in {"ordinary", "families", "dynamic_levels", "range_deletes"}:
        assert 0 < finished < steps
