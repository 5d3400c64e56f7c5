r"""The text formats of key-value pairs, which `jobtui load` reads and `jobtui dump` writes without loss.

JSON lines: an object a line.
    {"key": "k", "value": "v"}       text, stored as its UTF-8
    {"key": "k", "value": {"a": 1}}  any other JSON value is stored as compact JSON
    {"key": "k", "value": null}      deletes the key
    {"key_base64": "/wA=", "value_base64": "AQI="}   bytes that are not UTF-8

CSV (RFC 4180) and TSV: a key and a value a line.
    k,v      text, stored as its UTF-8
    k,       an empty value
    k        deletes the key, and so does k,\N; a file with only such lines is rejected unless the caller states
             that deletions are meant: it may have another separator, or have lost its values
    A first line key,value or key,value,base64 is a header. The column base64 names the columns (key, value
    or both) that are written in base64.
    TSV has no quotes but \t, \n, \r and \\ (as PostgreSQL and MySQL write it).

A blank line is skipped. Anything else is an error that names the file and the line, and so is a file that
seems to use another separator or format than it would be read with.
"""

from __future__ import annotations

import enum

# a key and its value; None deletes the key
Pair = tuple[bytes, bytes | None]

NULL = r"\N"
HEADER = ("key", "value", "base64")


class InvalidLine(Exception):
    """What is wrong with a line; the reader adds the file and the number of the line."""


class PairFormat(enum.StrEnum):
    """The text formats, see the module."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"


_BY_SUFFIX = {
    ".jsonl": PairFormat.JSONL,
    ".ndjson": PairFormat.JSONL,
    ".json": PairFormat.JSONL,
    ".csv": PairFormat.CSV,
    ".tsv": PairFormat.TSV,
    ".tab": PairFormat.TSV,
}


def format_of(name: str) -> PairFormat | None:
    """Return the format that belongs to the file's suffix, None if there is none."""
    dot = name.rfind(".")
    return _BY_SUFFIX.get(name[dot:].lower()) if dot >= 0 else None
