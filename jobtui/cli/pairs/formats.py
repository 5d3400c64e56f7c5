"""The file formats of key-value pairs, and what their readers and writers share."""

from __future__ import annotations

import enum

# a key and its value; None deletes the key
Pair = tuple[bytes, bytes | None]

NULL = r"\N"
HEADER = ("key", "value", "base64")


class Wrong(Exception):
    """What is wrong with a line, before it is known which one."""


class PairFormat(enum.StrEnum):
    """See the package's docstring."""

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
    """The format that a file's name tells; None where it tells none."""
    dot = name.rfind(".")
    return _BY_SUFFIX.get(name[dot:].lower()) if dot >= 0 else None
