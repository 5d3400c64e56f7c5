"""Messages of RocksDB and the system become the right code and a plain reason."""

from __future__ import annotations

import errno
import os

import pytest

from jobtui.errors import ErrorCode
from jobtui.storage.local.errors import DiskSpace, classify, disk_full_error, rocksdb_error, system_error

WORDS = [
    (
        "IO error: No space left on device: While appending to file: /x/000012.sst: No space left",
        ErrorCode.DISK_FULL,
    ),
    ("Space limit reached: Compaction too large", ErrorCode.DISK_FULL),
    ("IO error: While appending: Disk quota exceeded", ErrorCode.DISK_FULL),
    ("IO error: lock hold by current process, acquire time 1 acquiring thread 2: /x/LOCK", ErrorCode.LOCKED),
    ("IO error: While lock file: /x/LOCK: Resource temporarily unavailable", ErrorCode.LOCKED),
    ("IO error: While open a file for appending: /x/LOG: Permission denied", ErrorCode.ACCESS),
    ("IO error: While mkdir: /x: Read-only file system", ErrorCode.ACCESS),
    ("Corruption: block checksum mismatch: stored = 1, computed = 2 in /x/000004.sst", ErrorCode.CORRUPT),
    ("Corruption: CURRENT file does not end with newline", ErrorCode.CORRUPT),
    (
        "IO error: No such file or directory: While open a file for random read: /x/000004.sst",
        ErrorCode.MISSING,
    ),
    ("Invalid argument: /x: does not exist (create_if_missing is false)", ErrorCode.MISSING),
    ("Not implemented: something", ErrorCode.UNSUPPORTED),
    (
        "Invalid argument: leveldb.BytewiseComparator: does not match existing comparator mine",
        ErrorCode.UNSUPPORTED,
    ),
    ("Invalid argument: Could not find option: x", ErrorCode.UNSUPPORTED),
    ("Invalid argument: Column family not found: edges", ErrorCode.UNSUPPORTED),
    (
        "Corruption: IO error: No such file or directory: While open a file for random read: /x/000008.sst: "
        "No such file or directory The file /x/MANIFEST-000019 may be corrupted.",
        ErrorCode.MISSING,
    ),
    ("IO error: While open a file for appending: /x/000012.sst: Invalid argument", ErrorCode.IO),
    ("IO error: Input/output error", ErrorCode.IO),
    ("an unforeseen error", ErrorCode.IO),
]


@pytest.mark.parametrize(("words", "code"), WORDS)
def test_rocksdb_messages_have_a_code(words, code):
    assert classify(words) is code
    error = rocksdb_error(words, "/x")
    assert error.code is code
    assert error.reason.startswith("/x: ")
    assert (words in error.reason) is (code is not ErrorCode.LOCKED)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.DISK_FULL),
        (errno.EACCES, ErrorCode.ACCESS),
        (errno.EROFS, ErrorCode.ACCESS),
        (errno.ENOENT, ErrorCode.MISSING),
        (errno.EIO, ErrorCode.IO),
    ],
)
def test_systems_errors_have_a_code(number, code):
    assert system_error(OSError(number, "words"), "/x").code is code


def test_errors_of_rocksdict_have_the_systems_code():
    error = system_error(PermissionError("Permission denied (os error 13)"), "/x")
    assert (error.code, error.reason) == (
        ErrorCode.ACCESS,
        "/x: jobtui may not write there (Permission denied)",
    )
    assert system_error(OSError("File exists (os error 17)"), "/x").code is ErrorCode.IO
    assert system_error(OSError("an unforeseen error"), "/x").code is ErrorCode.IO


def test_full_disk_is_reported_with_sizes():
    assert (
        disk_full_error("/x", 3 << 20, 1536).reason
        == "/x: there is not enough room: 3 MiB needed, 1.5 KiB free"
    )
    assert "5 B free" in rocksdb_error("No space left on device", "/x", DiskSpace(None, 5)).reason


def test_lock_is_explained_without_rocksdbs_message() -> None:
    for words in (words for words, code in WORDS if code is ErrorCode.LOCKED):
        assert (
            rocksdb_error(words, "/x").reason == "/x: another program has the database open (its LOCK is held)"
        )


def test_quota_is_no_full_disk(tmp_path):
    room = DiskSpace(14 << 20, 161 << 20)
    found = [
        rocksdb_error("IO error: While appending to file: /x/13.sst: Disk quota exceeded", str(tmp_path), room),
        system_error(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), str(tmp_path), room),
    ]
    for error in found:
        assert error.code is ErrorCode.DISK_FULL
        assert "the quota of its user or directory is used up" in error.reason
        assert "free" not in error.reason
