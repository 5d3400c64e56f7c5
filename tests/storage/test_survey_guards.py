"""Rare findings in the files of an adopted database, each decisive for opening it."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode
from jobtui.storage.local import adoption
from jobtui.storage.local.adoption import Survey, Surveyor
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.option_rules import BYTEWISE, Refusal, check_family
from jobtui.storage.local.rocksdb_files import Unreadable
from jobtui.storage.local.rocksdb_files.manifest import parse_manifest
from jobtui.storage.local.rocksdb_files.options import parse_options
from jobtui.storage.local.rocksdb_files.tables import TableFile, read_table
from jobtui.storage.local.rocksdb_files.wal import RecordReader, Tail, read_wal
from tests.support.adoptable import adoptable, options_file, refusal, set_option, survey

FULL, FIRST, MIDDLE, LAST = range(1, 5)
RECYCLED = 4  # added to a kind of record
BLOCK = 32 << 10
STATS = "___rocksdb_stats_history___"
# tags of a MANIFEST
LOG, DELETED, ADDED, FAMILY, NAME, DROPPED = b"\2", b"\6", b"\x67", b"\xc8\1", b"\xc9\1", b"\xca\1"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return adoptable(tmp_path / "db")


def framed(kind: int, payload: bytes) -> bytes:
    return struct.pack("<IHB", 0, len(payload), kind) + payload


def batch(*entries: bytes, sequence: int = 10_000) -> bytes:
    return framed(FULL, struct.pack("<QI", sequence, len(entries)) + b"".join(entries))


def text(content: bytes) -> bytes:
    return bytes([len(content)]) + content


def added(number: int, path: int = 0) -> bytes:
    """Return the edit that adds an SST file; `path` is the number of its directory."""
    key = text(b"key" + bytes(8))
    return ADDED + bytes([0, number, 9]) + key * 2 + bytes(2) + b"\x41" + text(bytes([path])) + b"\1"


def add_edit(database: Path, edit: bytes) -> None:
    with open(database / (database / "CURRENT").read_text().strip(), "ab") as manifest:
        manifest.write(framed(FULL, edit))


def add_to_wal(database: Path, *batches: bytes) -> Path:
    wal = max(database.glob("*.log"))
    with open(wal, "ab") as file:
        file.write(b"".join(batches))
    return wal


class TestManifest:
    def test_file_in_another_directory_of_its_program_is_refused(self, database):
        number = min(int(file.stem) for file in database.glob("*.sst"))
        add_edit(database, added(number))
        survey(database)
        add_edit(database, added(number, path=1))
        assert "db_paths or cf_paths" in refusal(database).reason

    def test_former_statistics_in_the_database_are_refused(self, database):
        add_edit(database, FAMILY + b"\7" + NAME + text(STATS.encode()) + b"\1" + text(BYTEWISE.encode()))
        assert "do not have the same column families" in refusal(database).reason
        file = options_file(database)
        sections = re.findall(r'(?s)\[\w+(?:/\w+)? "edges"\].*?(?=\[|\Z)', file.read_text())
        assert len(sections) == 2
        file.write_text(file.read_text() + "".join(sections).replace("edges", STATS))
        assert "it once kept statistics in itself" in refusal(database).reason

    def test_files_of_a_dropped_family_are_gone(self):
        edits = (FAMILY + b"\7" + NAME + text(b"cold"), FAMILY + b"\7" + added(12), FAMILY + b"\7" + DROPPED)
        manifest = parse_manifest(b"".join(framed(FULL, edit) for edit in edits))
        assert [family.name for family in manifest.families.values()] == ["default"]
        assert manifest.gone == {12}

    def test_endless_name_is_refused(self):
        with pytest.raises(Unreadable, match="has a name that is too long"):
            parse_manifest(framed(FULL, FAMILY + b"\7" + NAME + b"\x81\x08" + b"a" * 1025))


class TestRecords:
    def test_next_block_begins_where_no_header_fits(self):
        first = framed(FULL, b"a" * (BLOCK - 7 - 3))
        assert list(RecordReader(first + bytes(3) + framed(FULL, b"b"))) == [first[7:], b"b"]

    def test_end_between_two_parts_is_torn(self):
        reader = RecordReader(framed(FULL, b"whole") + framed(FIRST, b"begin"))
        assert list(reader) == [b"whole"]
        assert reader.tail is Tail.TORN

    def test_plain_record_in_a_recycled_file_is_an_older_one(self):
        own = struct.pack("<I", 9)
        recycled = struct.pack("<IHB", 0, len(b"new"), FULL + RECYCLED) + own + b"new"
        reader = RecordReader(recycled + framed(FULL, own), 9)
        assert list(reader) == [b"new"]
        assert reader.tail is Tail.RECYCLED

    def test_record_shorter_than_a_batch_is_refused(self):
        with pytest.raises(Unreadable, match="has a record that is too short"):
            read_wal(framed(FULL, bytes(11)), 8)


class TestWal:
    def test_entries_that_their_family_has_flushed_do_not_count(self, database):
        wal = add_to_wal(database, batch(b"\x02\x03key\x01v"))
        assert "holds merges" in refusal(database).reason
        add_edit(database, LOG + bytes([int(wal.stem) + 1]))
        survey(database)

    @pytest.mark.parametrize("end", [11, 12], ids=["commit", "rollback"])
    def test_transaction_that_ended_is_not_prepared(self, database, end):
        add_to_wal(database, batch(b"\x09", b"\x01\x01a\x01v", b"\x0a\x03xid"))
        assert "were prepared" in refusal(database).reason
        add_to_wal(database, batch(bytes([end]) + b"\x03xid", sequence=10_003))
        survey(database)

    def test_stated_directory_may_be_its_own(self, database):
        set_option(database, "wal_dir", ".")
        assert "depends on where its program was started" in refusal(database).reason
        assert survey(database, database).wal_directory is None


class TestTables:
    def test_merges_of_an_operator_not_in_the_options_are_refused(self, database, monkeypatch):
        file = TableFile("NoCompression", BYTEWISE, "my.Sum", 3)
        monkeypatch.setattr(adoption, "read_table", lambda path: file)
        assert "holds merges of the operator my.Sum, and its OPTIONS file says" in refusal(database).reason
        file = TableFile("NoCompression", BYTEWISE, "StringAppendOperator", 3)
        set_option(database, "merge_operator", "{id=StringAppendOperator;delimiter=,;}", "CFOptions")
        survey(database)

    def test_file_without_properties_is_refused(self, database):
        file = next(database.glob("*.sst"))
        file.write_bytes(file.read_bytes().replace(b"rocksdb.properties", b"rocksdb.propertie5"))
        with pytest.raises(Unreadable, match="has no properties"):
            read_table(file)

    def test_properties_beyond_the_end_are_refused(self, tmp_path):
        footer = b"\1" + b"\xff\xff\x7f" + b"\x64" + bytes(36) + struct.pack("<IQ", 5, 0x88E241B785F4CFF7)
        (tmp_path / "000001.sst").write_bytes(footer)
        with pytest.raises(Unreadable, match="has properties that cannot be read"):
            read_table(tmp_path / "000001.sst")


class TestDirectory:
    @pytest.mark.parametrize("name", ["archive", "lost"])
    def test_link_where_old_files_are_deleted_is_refused(self, tmp_path, database, name):
        (tmp_path / "elsewhere").mkdir()
        (database / name).symlink_to(tmp_path / "elsewhere")
        assert f"{name}, where RocksDB keeps and deletes old WAL files, is a link" in refusal(database).reason

    def test_missing_file_is_named(self, database):
        name = (database / "CURRENT").read_text().strip()
        (database / name).unlink()
        error = refusal(database)
        assert (error.code, error.reason.partition(": ")[2]) == (
            ErrorCode.MISSING,
            f"{name} is missing; restore a backup",
        )

    @pytest.mark.parametrize(("number", "code"), [(errno.EACCES, ErrorCode.ACCESS), (errno.EIO, ErrorCode.IO)])
    def test_file_that_cannot_be_read_is_named(self, database, number, code):
        class Failing(Surveyor):
            def _survey(self) -> Survey:
                raise OSError(number, os.strerror(number), str(database / "CURRENT"))

        with pytest.raises(WorkerError, match=r"CURRENT: it cannot be read \(") as caught:
            Failing(database).survey()
        assert caught.value.code is code

    def test_family_name_that_is_no_text_is_refused(self, database):
        family = parse_options(options_file(database).read_bytes()).families["default"]
        check_family("caf\xe9", family, BYTEWISE)
        with pytest.raises(Refusal, match="whose name is not UTF-8"):
            check_family("caf\udce9", family, BYTEWISE)
