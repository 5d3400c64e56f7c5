"""What the WAL of a database must hold before it is opened; everything else in it is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from jobtui.storage.local.adoption import ReplayStrictness
from tests.support.adoptable import adoptable, refusal, set_option, survey

CF = "CFOptions"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return adoptable(tmp_path / "db")


class TestWal:
    """Records written by hand behind those of the database."""

    @staticmethod
    def append(
        database: Path, *entries: bytes, count: int = 1, sequence: int = 10_000, number: int = 0
    ) -> None:
        """Add a batch to the WAL; its checksum does not matter, since the WAL is not replayed here."""
        wal = max(database.glob("*.log"))
        batch = struct.pack("<QI", sequence, count) + b"".join(entries)
        with open(wal, "ab") as file:
            file.write(struct.pack("<IHB", 0, len(batch), 1) + batch)

    def test_merge_without_an_operator_is_refused(self, database):
        self.append(database, b"\x02\x03key\x01v")
        assert "holds merges, and its OPTIONS file names no merge operator" in refusal(database).reason

    def test_merge_with_a_certain_operator_is_safe(self, database):
        set_option(database, "merge_operator", "UInt64AddOperator", CF)
        self.append(database, b"\x02\x03key\x08" + bytes(8))
        survey(database)

    @pytest.mark.parametrize("kind", [18, 19])
    def test_other_kinds_of_transactions_are_refused(self, database, kind):
        self.append(database, bytes([kind]), b"\x0a\x03xid")
        assert "WritePrepared or WriteUnprepared" in refusal(database).reason

    def test_batches_numbered_as_one_are_of_other_transactions(self, database):
        for sequence in (10_000, 10_001):
            self.append(database, b"\x01\x01a\x01v", b"\x01\x01b\x01v", count=2, sequence=sequence)
        assert "WritePrepared" in refusal(database).reason

    def test_prepared_transaction_needs_two_phases(self, database):
        self.append(database, b"\x09", b"\x01\x01a\x01v", b"\x0a\x03xid")
        assert "were prepared" in refusal(database).reason
        set_option(database, "allow_2pc", "true")
        survey(database)

    @pytest.mark.parametrize("kind", [16, 17, 20, 21, 26, 127, 255])
    def test_unknown_contents_are_refused(self, database, kind):
        self.append(database, bytes([kind]) + b"\x01a\x01v")
        refusal(database)

    @pytest.mark.parametrize("kind", [9, 10, 11, 130, 131])
    def test_records_that_are_not_known_are_refused(self, database, kind):
        self.append(database, b"\x01\x01a\x01v")
        with open(max(database.glob("*.log")), "ab") as file:
            file.write(struct.pack("<IHB", 0, 4, kind) + b"\x07\0\0\0")
        refusal(database)

    @pytest.mark.parametrize("rest", [b"", b"\0" * 5000])
    def test_compressed_file_without_records_is_safe(self, database, rest):
        header = struct.pack("<IHB", 0, 4, 9) + b"\x07\0\0\0"
        wal = max(database.glob("*.log"))
        wal.write_bytes(header + rest)
        survey(database)
        wal.write_bytes(header)
        self.append(database, b"\x01\x01a\x01v")
        assert "is compressed" in refusal(database).reason

    @pytest.mark.parametrize("torn", [b"\0", b"\0" * 7, b"\0" * 5000, struct.pack("<IHB", 1, 900, 1) + b"half"])
    def test_only_a_torn_end_is_omitted(self, database, torn):
        with open(max(database.glob("*.log")), "ab") as file:
            file.write(torn)
        assert survey(database).strictness is ReplayStrictness.TORN_TAIL

    @pytest.mark.parametrize("older", [0, 1], ids=["whole", "with older records"])
    def test_recycled_file_is_refused_unless_whole(self, database, older):
        wal = max(database.glob("*.log"))
        with open(wal, "ab") as file:
            for sequence, number in ((10_000, int(wal.stem)), (10_001, int(wal.stem) - older)):
                batch = struct.pack("<QI", sequence, 1) + b"\x01\x01a\x01v"
                file.write(struct.pack("<IHBI", 0, len(batch), 5, number) + batch)
        if older:
            assert "recycle_log_file_num" in refusal(database).reason
        else:
            assert survey(database).strictness is ReplayStrictness.ABSOLUTE

    def test_torn_end_before_another_file_is_refused(self, database):
        wal = max(database.glob("*.log"))
        with open(wal, "ab") as file:
            file.write(b"\0\0\0")
        following = wal.with_name(f"{int(wal.stem) + 1:06d}.log")
        following.write_bytes(b"")
        self.append(database, b"\x01\x01a\x01v")
        assert "ends in the middle of a record" in refusal(database).reason
