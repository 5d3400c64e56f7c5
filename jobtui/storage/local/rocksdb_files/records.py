"""The record format that WAL and MANIFEST files share: blocks of 32 KiB, records cut into fragments.

    crc 4 bytes | length 2 | type 1 | (recyclable types: number of the log file 4) | payload

Checksums are not verified here: RocksDB does that when it opens the database.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

from jobtui.storage.local.rocksdb_files import Unreadable

_BLOCK = 32 << 10
_HEADER = 7
_RECYCLABLE_HEADER = 11
_FULL, _FIRST, _MIDDLE, _LAST = range(1, 5)
_RECYCLABLE = range(5, 9)
_COMPRESSION = 9
_LENGTH_AND_KIND = struct.Struct("<4xHB")
_TIMESTAMP_SIZE = (10, 11)


class Tail(enum.Enum):
    """The end of a file of records."""

    WHOLE = "whole"
    TORN = "torn"  # in the middle of a record, as after the end of the program that wrote it
    RECYCLED = "recycled"  # with records of an earlier log in the same file


class RecordReader:
    """Reads the records of one file's `data`; `number` is the file's own, None for a MANIFEST.

    After the last record `tail` says how the file ends, and `recycled` whether its records are of the
    recyclable kind.
    """

    def __init__(self, data: bytes, number: int | None = None) -> None:
        self.tail = Tail.WHOLE
        self.recycled = False
        self._data = data
        self._number = number

    def __iter__(self) -> Iterator[bytes]:
        """Yield the payload of each whole record.

        A WAL holds a record for each write, millions of them, hence one loop without calls.

        Raises:
            Unreadable: A kind of record is not known; compressed records are among these, if there are any.
        """
        data, position, end = self._data, 0, len(self._data)
        parts: list[bytes] = []
        while position < end:
            left = _BLOCK - position % _BLOCK
            if left < _HEADER:
                position += left
                continue
            if end - position < _HEADER:
                self.tail = Tail.TORN
                return
            length, kind = _LENGTH_AND_KIND.unpack_from(data, position)
            header = _HEADER
            if not _FULL <= kind <= _LAST or self.recycled:
                if not kind and not length and not data[position:].strip(b"\0"):
                    self.tail = Tail.TORN  # space that was reserved and not written
                    return
                if kind in _RECYCLABLE:
                    header = _RECYCLABLE_HEADER
                if self._is_old(kind, position, header + length <= left):
                    self.tail = Tail.RECYCLED
                    return
            after = position + header + length
            if header + length > left:
                raise Unreadable("has a record that is longer than its block")
            if after > end:
                self.tail = Tail.TORN
                return
            payload = data[position + header : after]
            position = after
            if kind in _RECYCLABLE:
                self.recycled = True
                kind -= 4
            if kind == _FULL and not parts:
                yield payload
            elif not _FULL <= kind <= _LAST:
                # a WAL begins with its compression; before the first write there is nothing to decompress
                is_first = position == header + length
                if kind != _COMPRESSION or not is_first or data[position:].strip(b"\0"):
                    _refuse_unknown(kind, payload)
            elif kind == _FULL or (kind == _FIRST) is bool(parts):
                raise Unreadable("has a record without an end or a beginning")
            else:
                parts.append(payload)
                if kind == _LAST:
                    yield b"".join(parts)
                    parts = []
        if parts:
            self.tail = Tail.TORN

    def _is_old(self, kind: int, position: int, whole: bool) -> bool:
        """Return whether the record at the position is from an earlier use of a recycled file."""
        if self._number is None or not (self.recycled or kind in _RECYCLABLE):
            return False
        if kind not in _RECYCLABLE or not whole:
            return True
        number = self._data[position + _HEADER : position + _RECYCLABLE_HEADER]
        return int.from_bytes(number, "little") != self._number & 0xFFFFFFFF


def _refuse_unknown(kind: int, payload: bytes) -> None:
    if kind == _COMPRESSION:
        if payload.strip(b"\0"):
            raise Unreadable("is compressed (wal_compression)")
    elif kind in _TIMESTAMP_SIZE:
        raise Unreadable("has keys with user-defined timestamps")
    else:
        raise Unreadable(f"has a kind of record that is not known ({kind})")


class ByteReader:
    """A position in bytes that are read as RocksDB encodes numbers and texts.

    Every method raises Unreadable if the bytes end first.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        return self.position >= len(self.data)

    def varint(self) -> int:
        """Read a number of variable length."""
        value = shift = 0
        while True:
            if self.position >= len(self.data) or shift > 63:
                raise Unreadable("has a record that ends in the middle")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> bytes:
        """Read bytes with their length before them."""
        return self.take(self.varint())

    def fixed32(self) -> int:
        """Read four bytes."""
        return int.from_bytes(self.take(4), "little")

    def take(self, length: int) -> bytes:
        """Read that many bytes."""
        end = self.position + length
        if end > len(self.data):
            raise Unreadable("has a record that ends in the middle")
        taken = self.data[self.position : end]
        self.position = end
        return taken
