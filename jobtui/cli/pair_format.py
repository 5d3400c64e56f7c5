r"""The text formats of key-value pairs that `jobtui load` and `jobtui dump` share.

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
seems to use another separator or format than it would be read with: with another separator it has no second
column, and a key alone deletes its pair, so that it would delete instead of load. Two keys in one field also
go unnoticed (`1;2,5` is not the key `1;2`).
"""

from __future__ import annotations

import enum

import msgspec

NULL = r"\N"
HEADER = ("key", "value", "base64")


class InvalidLine(Exception):
    """A line that is not a pair; the reader adds the file and the number of the line."""


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


_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_QUOTED = 60


class SeparatorCheck:
    """The check of one file, fed row by row as the file is read.

    Impossible rows are refused at once; `finish` refuses a file whose rows are only suspicious as a whole.
    """

    def __init__(self, separator: str, *, delete_keys: bool) -> None:
        """Create the check.

        `delete_keys`: the caller confirmed that keys alone are meant as deletions.
        """
        self._separator = separator
        self._delete_keys = delete_keys
        self._others = [other for other in _NAMES if other != separator]
        # separators that every key so far contains; commas in the keys of a TSV are common
        self._in_every_key = [other for other in self._others if separator == ","]
        self._first: tuple[int, str] | None = None
        self._has_values = False
        self.is_settled = False  # nothing about a row with a value can change the result any more

    def accept_header(self) -> None:
        """Accept a header: it states the separator, so that keys may contain any other one."""
        self._in_every_key = []

    def add(self, line: int, row: list[str], text: str) -> None:
        """Check a row that begins with this line and text. Raises InvalidLine."""
        if self._first is None:
            _refuse_json(text)
            self._first = line, text
        if len(row) > 1:
            self._has_values = True
        elif not self._delete_keys:
            for other in self._others:
                if other in text:
                    raise InvalidLine(self._describe(other, text))
        if self._in_every_key:
            quoted = text.startswith('"')
            self._in_every_key = [other for other in self._in_every_key if other in row[0] and not quoted]
        self.is_settled = self._has_values and not self._in_every_key

    def explain(self, text: str) -> str:
        """Return an explanation if the separator is the reason why a text could not be read, otherwise ""."""
        other = next((other for other in self._others if f'"{other}' in text or f'{other}"' in text), None)
        return self._describe(other, text) if other is not None else ""

    def many_columns(self, text: str) -> str:
        """Return a hint for a row with too many columns if another separator is the reason, otherwise ""."""
        key = text.split(self._separator)[0]
        other = next((other for other in self._others if self._separator == "," and other in key), None)
        return f"; {self._describe(other, text)}" if other is not None else ""

    def finish(self) -> tuple[int, str] | None:
        """Return the line and the reason if the whole file is suspicious, otherwise None."""
        if self._first is None or self._delete_keys:
            return None
        line, text = self._first
        if not self._has_values:
            name = _NAMES[self._separator][:-1]
            return line, (
                f"no line has a {name}, so that each would delete the pair of its key: {_quote(text)}; "
                "if that is meant, add --delete-keys"
            )
        if self._in_every_key:
            return line, (
                f"{self._describe(self._in_every_key[0], text)}; "
                "if the commas are right, begin the file with the line key,value"
            )
        return None

    def _describe(self, other: str, text: str) -> str:
        wanted = _NAMES[self._separator]
        if other == "\t":
            remedy = f"use --format tsv, or write {wanted}"
        elif other == "," and self._separator == "\t":
            remedy = "use --format csv"
        else:
            remedy = f"write {wanted} between key and value"
        return f"this looks like {_NAMES[other]} where {wanted} are expected: {_quote(text)}; {remedy}"


def _refuse_json(text: str) -> None:
    """Refuse a first row that is an object of JSON lines. Raises InvalidLine."""
    if not text.lstrip().startswith("{"):
        return
    try:
        msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return
    raise InvalidLine(f"this looks like JSON lines: {_quote(text)}; use --format jsonl")


def _quote(text: str) -> str:
    text = text.rstrip("\r\n")
    shown = text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"
    return f"'{shown}'".replace("\t", r"\t")
