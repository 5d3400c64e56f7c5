"""RocksDB's and the system's words become the right code and a plain reason."""

from __future__ import annotations

import errno

import pytest

from jobtui.errors import Code
from jobtui.storage.local.errors import Room, code_of, full, rocksdb_trouble, system_trouble

WORDS = [
    (
        "IO error: No space left on device: While appending to file: /x/000012.sst: No space left",
        Code.DISK_FULL,
    ),
    ("Space limit reached: Compaction too large", Code.DISK_FULL),
    ("IO error: While appending: Disk quota exceeded", Code.DISK_FULL),
    ("IO error: lock hold by current process, acquire time 1 acquiring thread 2: /x/LOCK", Code.LOCKED),
    ("IO error: While lock file: /x/LOCK: Resource temporarily unavailable", Code.LOCKED),
    ("IO error: While open a file for appending: /x/LOG: Permission denied", Code.ACCESS),
    ("IO error: While mkdir: /x: Read-only file system", Code.ACCESS),
    ("Corruption: block checksum mismatch: stored = 1, computed = 2 in /x/000004.sst", Code.CORRUPT),
    ("Corruption: CURRENT file does not end with newline", Code.CORRUPT),
    ("IO error: No such file or directory: While open a file for random read: /x/000004.sst", Code.MISSING),
    ("Invalid argument: /x: does not exist (create_if_missing is false)", Code.MISSING),
    ("Not implemented: something", Code.UNSUPPORTED),
    ("Invalid argument: leveldb.BytewiseComparator: does not match existing comparator mine", Code.UNSUPPORTED),
    ("Invalid argument: Could not find option: x", Code.UNSUPPORTED),
    ("Invalid argument: Column family not found: edges", Code.UNSUPPORTED),
    (
        "Corruption: IO error: No such file or directory: While open a file for random read: /x/000008.sst: "
        "No such file or directory The file /x/MANIFEST-000019 may be corrupted.",
        Code.MISSING,
    ),
    ("IO error: While open a file for appending: /x/000012.sst: Invalid argument", Code.IO),
    ("IO error: Input/output error", Code.IO),
    ("what nobody foresaw", Code.IO),
]


@pytest.mark.parametrize(("words", "code"), WORDS)
def test_rocksdbs_words_have_a_code(words, code):
    assert code_of(words) is code
    trouble = rocksdb_trouble(words, "/x")
    assert trouble.code is code
    assert trouble.reason.startswith("/x: ")
    assert words in trouble.reason


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, Code.DISK_FULL),
        (errno.EACCES, Code.ACCESS),
        (errno.EROFS, Code.ACCESS),
        (errno.ENOENT, Code.MISSING),
        (errno.EIO, Code.IO),
    ],
)
def test_the_systems_errors_have_a_code(number, code):
    assert system_trouble(OSError(number, "words"), "/x").code is code


def test_an_error_of_rocksdict_s_own_has_the_system_s_code_too():
    trouble = system_trouble(PermissionError("Permission denied (os error 13)"), "/x")
    assert (trouble.code, trouble.reason) == (Code.ACCESS, "/x: jobtui may not write there (Permission denied)")
    assert system_trouble(OSError("File exists (os error 17)"), "/x").code is Code.IO
    assert system_trouble(OSError("what nobody foresaw"), "/x").code is Code.IO


def test_a_full_disk_is_told_with_its_numbers():
    assert full("/x", 3 << 20, 1536).reason == "/x: there is not enough room: 3 MiB needed, 1.5 KiB free"
    assert "5 B free" in rocksdb_trouble("No space left on device", "/x", Room(None, 5)).reason
