"""The reader of the properties of SST files and the headers of blob files."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from jobtui.storage.local.rocksdb_files import ByteReader, Unreadable

_BLOCK_BASED = 0x88E241B785F4CFF7
_LEVELDB = 0xDB4775248B80FB57
_KINDS = {
    0x8242229663BF9564: "PlainTable",
    0x4F3418EB7A8F13B8: "PlainTable",
    0x926789D0C5F17873: "CuckooTable",
}
_FOOTER = 53
_NEWEST_FORMAT = 6
_BLOCK_TRAILER = 5
_PROPERTIES = b"rocksdb.properties"
_MAX_BLOCK_BYTES = 16 << 20
_BLOB_MAGIC = 2395959
_BLOB_HEADER = 30
# as blob files and block trailers number them
_COMPRESSIONS = ("NoCompression", "Snappy", "Zlib", "BZip2", "LZ4", "LZ4HC", "Xpress", "ZSTD")


class TableFile(msgspec.Struct, frozen=True):
    """The properties of an SST file that determine whether this build can read it.

    `merges` is None in files of old versions, which did not count them.
    """

    compression: str
    comparator: str
    merge_operator: str
    merges: int | None


def read_table(path: Path) -> TableFile:
    """Read an SST file's properties.

    Raises:
        Unreadable: It has no end, or is of a kind that cannot be read here.
        OSError: The file cannot be read.
    """
    descriptor = _open(path)
    try:
        properties = _properties(descriptor)
    finally:
        os.close(descriptor)
    merges = properties.get(b"rocksdb.merge.operands")
    return TableFile(
        compression=_text(properties, "rocksdb.compression"),
        comparator=_text(properties, "rocksdb.comparator"),
        merge_operator=_text(properties, "rocksdb.merge.operator"),
        merges=ByteReader(merges).varint() if merges else None,
    )


def read_blob_compression(path: Path) -> str:
    """Return the name of a blob file's compression.

    Raises:
        Unreadable: It is not a blob file of a format that is known.
        OSError: The file cannot be read.
    """
    descriptor = _open(path)
    try:
        header = os.pread(descriptor, _BLOB_HEADER, 0)
    finally:
        os.close(descriptor)
    cursor = ByteReader(header)
    if len(header) < _BLOB_HEADER or cursor.fixed32() != _BLOB_MAGIC or cursor.fixed32() != 1:
        raise Unreadable("is not a blob file of a known format")
    return _COMPRESSIONS[header[13]] if header[13] < len(_COMPRESSIONS) else f"compression {header[13]}"


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("is not a regular file")
    return descriptor


def _properties(descriptor: int) -> dict[bytes, bytes]:
    size = os.fstat(descriptor).st_size
    footer = os.pread(descriptor, _FOOTER, max(0, size - _FOOTER))
    magic = int.from_bytes(footer[-8:], "little")
    if magic == _LEVELDB:
        raise Unreadable("is in the format of LevelDB")
    if magic in _KINDS:
        raise Unreadable(f"is in the format {_KINDS[magic]}")
    if magic != _BLOCK_BASED or len(footer) < _FOOTER:
        raise Unreadable("has no end: it was cut, or is encrypted")
    version = int.from_bytes(footer[-12:-8], "little")
    if version > _NEWEST_FORMAT:
        raise Unreadable(f"is in a newer format ({version}; this jobtui reads up to {_NEWEST_FORMAT})")
    start, length = _index_of_blocks(footer, version, size - _FOOTER)
    for name, handle in _entries(_block(descriptor, start, length)).items():
        if name == _PROPERTIES:
            found = ByteReader(handle)
            return _entries(_block(descriptor, found.varint(), found.varint()))
    raise Unreadable("has no properties")


def _index_of_blocks(footer: bytes, version: int, end: int) -> tuple[int, int]:
    cursor = ByteReader(footer, 1)
    if version < 6:
        return cursor.varint(), cursor.varint()
    cursor.position = 13
    length = cursor.fixed32()
    return end - length - _BLOCK_TRAILER, length


def _block(descriptor: int, start: int, length: int) -> bytes:
    if not 4 <= length <= _MAX_BLOCK_BYTES or start < 0:
        raise Unreadable("has properties that cannot be read")
    data = os.pread(descriptor, length + 1, start)
    if len(data) <= length:
        raise Unreadable("has properties that cannot be read")
    if data[length]:
        raise Unreadable("has compressed properties")
    return data[:length]


def _entries(block: bytes) -> dict[bytes, bytes]:
    """Return the keys and values of a block."""
    restarts = int.from_bytes(block[-4:], "little") & 0x7FFFFFFF
    cursor = ByteReader(block[: max(0, len(block) - 4 - 4 * restarts)])
    entries: dict[bytes, bytes] = {}
    key = b""
    while not cursor.at_end:
        shared, rest, length = cursor.varint(), cursor.varint(), cursor.varint()
        key = key[:shared] + cursor.take(rest)
        entries[key] = cursor.take(length)
    return entries


def _text(properties: Mapping[bytes, bytes], name: str) -> str:
    return properties.get(name.encode(), b"").decode("utf-8", "replace")
