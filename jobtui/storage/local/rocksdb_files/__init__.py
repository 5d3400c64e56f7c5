"""RocksDB's files read as text and bytes, without RocksDB: nothing here opens a database or writes.

`options` reads OPTIONS files, `records` the record format that WAL and MANIFEST share, `manifest` and `wal`
what these records hold, `tables` the properties of SST files and the header of blob files. Every reader raises
Unreadable if it meets anything that it does not know.
"""

from __future__ import annotations


class Unreadable(Exception):
    """The error of a file with unknown content; the text completes "FILE …"."""
