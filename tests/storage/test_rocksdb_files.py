"""The readers of RocksDB's files, against files that RocksDB itself wrote."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobtui.storage.local.rocksdb_files import ByteReader, Unreadable, options
from jobtui.storage.local.rocksdb_files.manifest import ManifestFamily, RocksdbManifest, parse_manifest
from jobtui.storage.local.rocksdb_files.options import NEWEST, newest_first, parse_options
from jobtui.storage.local.rocksdb_files.tables import read_blob_compression, read_table
from jobtui.storage.local.rocksdb_files.wal import RecordReader, read_wal
from tests.support.adoptable import adoptable, options_file

_LOAD = """
import json, sys
from pathlib import Path
from rocksdict import Options

directory, text = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
unknown = []
for mark, names in json.loads(sys.argv[3]).items():
    for name in names:
        (directory / "OPTIONS-000007").write_text(text.replace(mark, f"{mark}\\n  {name}=?"))
        try:
            Options.load_latest(str(directory))
        except Exception as error:
            if "Could not find option" in str(error):
                unknown.append(name)
print(json.dumps(unknown))
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return adoptable(tmp_path / "db")


def test_this_build_knows_every_known_option(tmp_path, database):
    (tmp_path / "loaded").mkdir()
    names = {
        "[DBOptions]": sorted(options.DATABASE),
        '[CFOptions "default"]': sorted(options.FAMILY),
        '[TableOptions/BlockBasedTable "default"]': sorted(options.TABLE),
    }
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, tmp_path / "loaded", options_file(database), json.dumps(names)],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


def test_newest_version_is_that_of_this_build(database):
    assert parse_options(options_file(database).read_bytes()).version == NEWEST


def test_options_are_ordered_by_number():
    assert newest_first(["OPTIONS-000009", "OPTIONS-1000000", "OPTIONS-000010.dbtmp", "CURRENT"]) == [
        "OPTIONS-1000000",
        "OPTIONS-000009",
    ]


def test_family_with_an_odd_name_is_read(database):
    text = options_file(database).read_text().replace('"edges"', r'"a\#b\:c\\d "q""')
    assert 'a#b:c\\d "q"' in parse_options(text.encode()).families


def test_manifest_names_families_and_files(database):
    manifest = parse_manifest((database / (database / "CURRENT").read_text().strip()).read_bytes())
    assert [family.name for family in manifest.families.values()] == ["default", "edges"]
    on_disk = {int(path.stem) for path in database.glob("*.sst")}
    assert manifest.tables == on_disk - manifest.gone
    assert {family.comparator for family in manifest.families.values()} == {"leveldb.BytewiseComparator"}


def test_manifest_cut_anywhere_is_shorter_or_unreadable(database):
    data = (database / (database / "CURRENT").read_text().strip()).read_bytes()
    whole = parse_manifest(data)
    for end in range(len(data)):
        try:
            cut = parse_manifest(data[:end])
        except Unreadable:
            continue
        assert len(cut.tables) <= len(whole.tables) or cut.gone != whole.gone


def test_wal_names_the_families_written(database):
    wal = max(database.glob("*.log"))
    content = read_wal(wal.read_bytes(), int(wal.stem))
    assert not content.merged


@pytest.mark.parametrize("kind", ["*.log", "MANIFEST-*"])
def test_bytes_changed_anywhere_raise_nothing_else(database, kind):
    """Damage is reported as such, and never ends a reader otherwise."""
    file = max(database.glob(kind))
    data = file.read_bytes()[:600]
    for at in range(len(data)):
        for value in (0, 1, 127, 255):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                read_wal(changed, 8) if kind == "*.log" else parse_manifest(changed)
            except Unreadable:
                continue


def test_records_longer_than_a_block_are_whole():
    block, first = 32 << 10, b"a" * ((32 << 10) - 7)
    data = b"\0\0\0\0" + len(first).to_bytes(2, "little") + b"\2" + first
    assert len(data) == block
    data += b"\0\0\0\0" + (3).to_bytes(2, "little") + b"\4" + b"end"
    assert list(RecordReader(data)) == [first + b"end"]


def framed(kind: int, payload: bytes) -> bytes:
    return bytes(4) + len(payload).to_bytes(2, "little") + bytes([kind]) + payload


FULL, FIRST, MIDDLE, LAST = range(1, 5)


@pytest.mark.parametrize("kinds", [(LAST,), (MIDDLE,), (FIRST, FIRST), (FIRST, FULL)])
def test_parts_of_records_have_an_order(kinds):
    with pytest.raises(Unreadable, match="without an end or a beginning"):
        list(RecordReader(b"".join(framed(kind, b"part") for kind in kinds)))


@pytest.mark.parametrize(
    ("kind", "finding"), [(9, "compressed"), (10, "timestamps"), (11, "timestamps"), (77, "not known")]
)
def test_other_kinds_of_records_are_named(kind, finding):
    with pytest.raises(Unreadable, match=finding):
        list(RecordReader(framed(kind, b"part") + framed(FULL, b"more")))


def test_wal_that_states_no_compression_is_read():
    assert list(RecordReader(framed(9, bytes(4)) + framed(FULL, b"more"))) == [b"more"]


def test_no_field_goes_beyond_its_record():
    assert ByteReader(b"ab").take(2) == b"ab"
    with pytest.raises(Unreadable, match="ends in the middle"):
        ByteReader(b"ab").take(3)


def test_manifest_without_records_is_refused():
    with pytest.raises(Unreadable, match="holds nothing"):
        parse_manifest(b"")


@pytest.mark.parametrize(
    ("tag", "before", "after"),
    [(7, b"", b""), (100, b"", b"\1\2"), (102, b"\0", b"\1\2"), (103, b"", b"\1\2\1")],
)
def test_file_in_a_manifest_of_any_version_is_read(tag, before, after):
    keys = b"".join(bytes([len(key) + 8]) + key + bytes(8) for key in (b"a", b"bc"))
    file = bytes([tag]) + b"\1\5" + before + b"\x7f" + keys + after
    family = parse_manifest(framed(FULL, file + b"\2\x09")).families[0]
    assert {number: (one.smallest, one.largest) for number, one in family.files.items()} == {5: (b"a", b"bc")}
    assert family.log == 9


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        (b"\x10", "old BlobDB"),
        (b"\x11", "old BlobDB"),
        (b"\x15", "timestamps"),
        (b"\x63", "a kind of entry that is not known"),
    ],
)
def test_other_entries_of_a_wal_are_named(entry, finding):
    batch = bytes(8) + (1).to_bytes(4, "little") + entry
    with pytest.raises(Unreadable, match=finding):
        read_wal(framed(FULL, batch), 8)


def test_comment_in_a_wal_is_passed_over():
    batch = bytes(8) + bytes(4) + b"\x03\x02hi"
    assert not read_wal(framed(FULL, batch), 8).written


def test_value_of_a_wal_may_have_any_length():
    batch = bytes(8) + (2).to_bytes(4, "little") + b"\x01\x01k\xc8\x01" + b"c" * 200 + b"\x04\x07\x01k"
    assert read_wal(framed(FULL, batch), 8).written == {0, 7}


def test_entry_of_a_wal_ends_within_its_record():
    batch = bytes(8) + (1).to_bytes(4, "little") + b"\x01\x01k\x05v"
    with pytest.raises(Unreadable, match="ends in the middle"):
        read_wal(framed(FULL, batch), 8)


def test_options_of_the_database_are_required(database):
    text = re.sub(r"(?s)\[DBOptions\].*?(?=\[CFOptions)", "", options_file(database).read_text())
    with pytest.raises(Unreadable, match="has no options of the database"):
        parse_options(text.encode())


@pytest.mark.parametrize("section", ['[CFOptions "default"]', '[CFOptions "edges"]'])
def test_options_of_each_family_are_required(database, section):
    text = options_file(database).read_text().replace(section, section.replace('"]', '2"]'))
    with pytest.raises(Unreadable, match="lacks the options of a column family"):
        parse_options(text.encode())


@pytest.mark.parametrize(
    "header",
    [
        (2395959).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(21),
        (2395958).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(22),
        (2395959).to_bytes(4, "little") + (2).to_bytes(4, "little") + bytes(22),
    ],
    ids=["short", "another file", "newer"],
)
def test_blob_file_has_a_known_header(tmp_path, header):
    file = tmp_path / "000001.blob"
    file.write_bytes(header)
    with pytest.raises(Unreadable, match="not a blob file"):
        read_blob_compression(file)
    file.write_bytes((2395959).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(22))
    assert read_blob_compression(file)


def test_compressed_properties_are_not_taken_for_plain_ones(database):
    file = next(database.glob("*.sst"))
    data = bytearray(file.read_bytes())
    data[-53 - 5] = 1  # after the block that names the others: what it is compressed with
    file.write_bytes(data)
    with pytest.raises(Unreadable, match="compressed properties"):
        read_table(file)


@pytest.mark.parametrize("length", [2, 1 << 31])
def test_properties_have_a_sensible_size(database, length):
    file = next(database.glob("*.sst"))
    data = bytearray(file.read_bytes())
    data[-53 + 13 : -53 + 17] = length.to_bytes(4, "little")
    file.write_bytes(data)
    with pytest.raises(Unreadable, match="cannot be read"):
        read_table(file)


def test_recycled_file_ends_where_its_old_records_begin():
    def record(number: int, payload: bytes) -> bytes:
        return bytes(4) + len(payload).to_bytes(2, "little") + b"\5" + number.to_bytes(4, "little") + payload

    reader = RecordReader(record(9, b"new") + record(4, b"old"), 9)
    assert list(reader) == [b"new"]
    assert reader.recycled


def test_sst_file_names_its_compression(database):
    table = read_table(next(database.glob("*.sst")))
    assert (table.compression, table.comparator, table.merges) == ("Snappy", "leveldb.BytewiseComparator", 0)


def test_sst_file_cut_anywhere_is_unreadable(tmp_path, database):
    data = next(database.glob("*.sst")).read_bytes()
    cut = tmp_path / "000001.sst"
    for end in range(0, len(data), 7):
        cut.write_bytes(data[:end])
        with pytest.raises(Unreadable):
            read_table(cut)


@pytest.mark.parametrize(
    ("magic", "finding"),
    [
        (0xDB4775248B80FB57, "in the format of LevelDB"),
        (0x8242229663BF9564, "in the format PlainTable"),
        (1, "has no end: it was cut, or is encrypted"),
    ],
)
def test_sst_file_of_another_format_is_named(database, magic, finding):
    file = next(database.glob("*.sst"))
    file.write_bytes(file.read_bytes()[:-8] + magic.to_bytes(8, "little"))
    with pytest.raises(Unreadable, match=finding):
        read_table(file)


def test_sst_file_of_a_newer_format_is_named(database):
    file = next(database.glob("*.sst"))
    data = file.read_bytes()
    file.write_bytes(data[:-12] + (7).to_bytes(4, "little") + data[-8:])
    with pytest.raises(Unreadable, match=r"in a newer format \(7; this jobtui reads up to 6\)"):
        read_table(file)


def test_footer_alone_is_too_short(database):
    file = next(database.glob("*.sst"))
    file.write_bytes(file.read_bytes()[-52:])
    with pytest.raises(Unreadable, match="has no end"):
        read_table(file)


def test_pipe_in_place_of_an_sst_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "000001.sst")
    with pytest.raises(Unreadable, match="is not a regular file"):
        read_table(tmp_path / "000001.sst")


def test_known_options_are_words():
    for names in (options.DATABASE, options.FAMILY, options.TABLE):
        assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in names)


@pytest.mark.parametrize(
    ("logs", "wals", "expected"),
    [
        ({"a": 12, "b": 4}, [4, 12], True),  # a flush switched to 12
        (
            {"a": 12, "b": 4},
            [4, 15],
            False,
        ),  # another one switched to 15 and deleted 12; the MANIFEST lost that
        ({"a": 6, "b": 6}, [5, 9], True),  # 5 was replayed, and the opening made 9 before MANIFEST-000010
        ({"a": 6, "b": 6}, [11], True),  # the same of an older RocksDB, which makes the WAL after it
        ({"a": 6, "b": 6}, [15], False),
        ({"a": 6, "b": 6}, [5], False),
        ({"a": 6}, [], False),
    ],
)
def test_first_wal_after_a_flush_or_a_replay(logs, wals, expected):
    families = {number: ManifestFamily(name, log=log) for number, (name, log) in enumerate(logs.items())}
    assert RocksdbManifest(families).has_first_wal(10, wals) is expected
