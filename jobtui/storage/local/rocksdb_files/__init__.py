"""RocksDB's files read as text and bytes, without RocksDB: nothing here opens a database or writes.

`options` reads OPTIONS files, `wal` WAL files and the record format that they share with the MANIFEST,
`manifest` the MANIFEST, `tables` the properties of SST files and the header of blob files. Every reader raises
Unreadable if it meets anything that it does not know.
"""

from __future__ import annotations


class Unreadable(Exception):
    """The error of a file with unknown content; the text completes "FILE …"."""


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
