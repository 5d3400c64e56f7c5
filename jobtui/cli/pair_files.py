r"""Key-value pairs as text: what `jobtui load` reads and `jobtui dump` writes. A round trip loses no byte.

JSON lines: an object a line.
    {"key": "k", "value": "v"}       text, stored as its UTF-8
    {"key": "k", "value": {"a": 1}}  any other JSON value is stored as compact JSON
    {"key": "k", "value": null}      deletes the key
    {"key_base64": "/wA=", "value_base64": "AQI="}   bytes that are no text

CSV (RFC 4180) and TSV: a key and a value a line.
    k,v      text, stored as its UTF-8
    k,       an empty value
    k        deletes the key, and so does k,\N; a file of such lines alone is refused, unless the caller says
             that deletions are meant: it may have another separator, or have lost its values
    A first line that is key,value, or key,value,base64, is a header. In a file with the column base64
    that column names those of the other two, key, value or both, that are written in base64.
    TSV has no quotes but \t, \n, \r and \\ (as PostgreSQL and MySQL write it).

A blank line is passed over. Anything else is an error that names the file and the line, and so is a file that
seems to use another separator or format than it would be read by.
"""

from __future__ import annotations

import binascii
import csv
import enum
import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from jobtui.cli.errors import CommandError

__all__ = ["Pair", "PairError", "PairFormat", "format_of", "read_pairs", "write_pairs"]


# ---- merged from jobtui.cli.pairs.formats: ----
# The file formats of key-value pairs, and what their readers and writers share.
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


# ---- merged from jobtui.cli.pairs.reading: ----
# Text to key-value pairs, line by line; nothing is guessed.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# what the first bytes of a file say that is no text, and what to do about it
_FOREIGN = {
    b"\x1f\x8b": "this is compressed by gzip; load what zcat makes of it",
    b"PK\x03\x04": "this is a ZIP archive or a spreadsheet; save it as CSV with commas",
    b"\xff\xfe": "this is UTF-16; convert it: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "this is UTF-16; convert it: iconv -f UTF-16 -t UTF-8",
}


class PairError(CommandError):
    """A line that can't be read as a pair: the file, the line (from 1), and what is wrong with it."""

    def __init__(self, name: str, line: int, message: str) -> None:
        super().__init__(f"{name}:{line}: {message}")


def read_pairs(
    lines: Iterable[bytes], form: PairFormat, name: str, *, delete_keys: bool = False
) -> Iterator[Pair]:
    """Return the pairs of a file's lines (with their ends).

    Args:
        name: stands for the file in errors.
        delete_keys: the lines of a CSV or TSV may all be keys alone, each of which deletes its pair.

    Raises:
        PairError: while the pairs are read; for what only the whole file shows, after the last of them.
    """
    lines = _without_mark(lines, name)
    match form:
        case PairFormat.JSONL:
            return _objects(lines, name)
        case PairFormat.CSV:
            return _commas(lines, name, SeparatorCheck(",", delete_keys=delete_keys))
        case PairFormat.TSV:
            return _tabs(lines, name, SeparatorCheck("\t", delete_keys=delete_keys))


def _without_mark(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number == 0:
            for begin, remedy in _FOREIGN.items():
                if line.startswith(begin):
                    raise PairError(name, 1, remedy)
        yield line.removeprefix(BYTE_ORDER_MARK) if number == 0 else line


# ---- JSON lines


class _Object(msgspec.Struct, forbid_unknown_fields=True):
    key: str | msgspec.UnsetType = msgspec.UNSET
    key_base64: str | msgspec.UnsetType = msgspec.UNSET
    value: msgspec.Raw = msgspec.Raw()
    value_base64: str | msgspec.UnsetType = msgspec.UNSET


def _objects(lines: Iterable[bytes], name: str) -> Iterator[Pair]:
    decoder = msgspec.json.Decoder(_Object)
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            found = decoder.decode(line)
            yield _key_of(found), _value_of(found)
        except msgspec.DecodeError as error:
            raise PairError(name, number, f"{error}{_other_format(line)}") from None
        except UnicodeDecodeError:
            raise PairError(name, number, _NOT_UTF8) from None
        except RecursionError:
            raise PairError(name, number, "JSON is nested too deeply to be read") from None
        except Wrong as error:
            raise PairError(name, number, str(error)) from None


def _other_format(line: bytes) -> str:
    """Return a hint for a line that is no JSON object; "" if it begins as one."""
    begin = line.lstrip()[:1]
    if begin == b"{":
        return ""
    if begin == b"[":
        return '; a JSON array is not JSON lines, write an object a line: jq -c ".[]"'
    shown = line[:60].decode(errors="replace").rstrip("\r\n")
    return f"; JSON lines are expected, not '{shown}': CSV and TSV are read with --format csv or tsv"


def _key_of(found: _Object) -> bytes:
    if (found.key is msgspec.UNSET) == (found.key_base64 is msgspec.UNSET):
        raise Wrong('an object with one of "key" and "key_base64" is expected')
    if isinstance(found.key_base64, str):
        return _from_base64(found.key_base64)
    return str(found.key).encode()


def _value_of(found: _Object) -> bytes | None:
    raw = bytes(found.value)
    if bool(raw) == isinstance(found.value_base64, str):
        raise Wrong('one of "value" and "value_base64" is expected (a "value" of null deletes the key)')
    if isinstance(found.value_base64, str):
        return _from_base64(found.value_base64)
    if raw == b"null":
        return None
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str).encode()
    raw.decode()
    return msgspec.json.format(raw, indent=-1)


# ---- CSV and TSV


def _commas(lines: Iterable[bytes], name: str, check: SeparatorCheck) -> Iterator[Pair]:
    csv.field_size_limit(2**31 - 1)
    counted = _Counted(lines, name)
    rows = csv.reader(counted, strict=True)
    take = None
    while True:
        first = counted.number + 1
        counted.first = ""
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            why = check.explain(counted.first) or f"this is not CSV: {error}"
            raise PairError(name, first, why) from None
        if not row:
            continue
        if take is None:
            take, is_header = _columns(row, name, first)
            if is_header:
                check.accept_header()
                continue
        yield _placed(take, row, name, first, check, counted.first)
    _finish(check, name)


def _tabs(lines: Iterable[bytes], name: str, check: SeparatorCheck) -> Iterator[Pair]:
    take = None
    for number, line in enumerate(_Counted(lines, name), 1):
        text = line.removesuffix("\n").removesuffix("\r")
        if not text:
            continue
        row = text.split("\t")
        if take is None:
            take, is_header = _columns(row, name, number)
            if is_header:
                check.accept_header()
                continue
        yield _placed(take, row, name, number, check, text, _unescaped)
    _finish(check, name)


def _finish(check: SeparatorCheck, name: str) -> None:
    found = check.finish()
    if found is not None:
        raise PairError(name, *found)


class _Counted:
    """Lines as text, how many there were, and the first since that was last emptied."""

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        self._lines = iter(lines)
        self._name = name
        self.number = 0
        self.first = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if b"\0" in line:
            raise PairError(self._name, self.number, _NULS)
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise PairError(self._name, self.number, _NOT_UTF8) from None
        if not self.first:
            self.first = text
        return text


Columns = Callable[[list[str], Callable[[str], str]], Pair]


def _columns(first: list[str], name: str, line: int) -> tuple[Columns, bool]:
    """How the rows of a file with this first row are to be read, and whether that row is a header.

    Raises:
        PairError: if the header names the columns the other way round.
    """
    names = tuple(field.strip().lower() for field in first)
    if names == HEADER:
        return _three, True
    if names == ("value", "key"):
        raise PairError(name, line, "the header names value before key: the key comes first")
    return _two, names == HEADER[:2]


def _placed(
    take: Columns,
    row: list[str],
    name: str,
    line: int,
    check: SeparatorCheck,
    text: str,
    plain: Callable[[str], str] = lambda field: field,
) -> Pair:
    try:
        if len(row) == 1 or not check.settled:  # else a call for each of a million rows would say nothing new
            check.add(line, row, text)
        return take(row, plain)
    except Wrong as error:
        hint = check.many_columns(text) if len(row) > 2 else ""
        raise PairError(name, line, f"{error}{hint}") from None


def _two(row: list[str], plain: Callable[[str], str]) -> Pair:
    if len(row) > 2:
        raise Wrong(f"{len(row)} columns, where a key and a value are expected")
    if len(row) == 1 or row[1] == NULL:
        return plain(row[0]).encode(), None
    return plain(row[0]).encode(), plain(row[1]).encode()


def _three(row: list[str], plain: Callable[[str], str]) -> Pair:
    if len(row) > 3:
        raise Wrong(f"{len(row)} columns, where key, value and base64 are expected")
    coded = row[2].split() if len(row) == 3 else []
    if not set(coded) <= {"key", "value"}:
        raise Wrong("the column base64 may hold key, value, or both")
    key = _from_base64(row[0]) if "key" in coded else plain(row[0]).encode()
    if "value" in coded:
        return key, _from_base64(row[1])
    return key, _two(row[:2], plain)[1]


def _unescaped(field: str) -> str:
    return _ESCAPE.sub(_meant, field) if "\\" in field else field


def _meant(match: re.Match[str]) -> str:
    known = _ESCAPED.get(match[1])
    if known is None:
        raise Wrong(rf"{match[0]} is none of the escapes \\, \t, \n, \r and \N")
    return known


def _from_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Wrong("this is not base64") from None


_NULS = (
    "this holds NUL bytes, as UTF-16 does (convert it: iconv -f UTF-16 -t UTF-8); bytes that are no text are "
    "written in base64"
)
_NOT_UTF8 = "this is not UTF-8; bytes that are no text are written in base64"
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


# ---- merged from jobtui.cli.pairs.writing: ----
# Key-value pairs to text that reads back to the same bytes.
#
# What is no UTF-8, and in CSV and TSV what holds control characters or would be read as something else,
# is written in base64, so that nothing in the output is a command to a terminal either.
#
def write_pairs(pairs: Iterable[tuple[bytes, bytes]], form: PairFormat) -> Iterator[bytes]:
    """The lines, with their ends, of a file that holds these pairs."""
    match form:
        case PairFormat.JSONL:
            return _json_lines(pairs)
        case PairFormat.CSV:
            return _rows(pairs, ",", _quoted)
        case PairFormat.TSV:
            return _rows(pairs, "\t", _escaped)


def _json_lines(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for pair in pairs:
        fields: dict[str, str] = {}
        for name, data in zip(HEADER[:2], pair, strict=True):
            try:
                fields[name] = data.decode()
            except UnicodeDecodeError:
                fields[f"{name}_base64"] = _base64(data)
        yield _without_controls(encode(fields)) + b"\n"


def _without_controls(line: bytes) -> bytes:
    """JSON escapes what is below a blank; this escapes the other control characters."""
    return _HIGH_CONTROLS.sub(lambda match: b"\\u00%02x" % match[0][-1], line)


def _rows(
    pairs: Iterable[tuple[bytes, bytes]], separator: str, written: Callable[[str], str]
) -> Iterator[bytes]:
    yield separator.join(HEADER).encode() + b"\n"
    for pair in pairs:
        fields, coded = [], []
        for name, data in zip(HEADER[:2], pair, strict=True):
            text = _plain(data)
            if text is None:
                coded.append(name)
            fields.append(written(text) if text is not None else _base64(data))
        yield separator.join((*fields, " ".join(coded))).encode() + b"\n"


def _plain(data: bytes) -> str | None:
    """The bytes as a text that can be written as it is; None where they can't."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if text == NULL or _CONTROLS.search(text) else text


def _quoted(field: str) -> str:
    if _TO_QUOTE.search(field):
        doubled = field.replace('"', '""')
        return f'"{doubled}"'
    return field


def _escaped(field: str) -> str:
    return field.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n")


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


_HIGH_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TO_QUOTE = re.compile(r'[",\n]')


# ---- merged from jobtui.cli.pairs.separators: ----
# The separator of a CSV or TSV: signs that a file uses another one than it would be read by.
#
# A file with another separator has no second column, and a key alone deletes its pair: read as it is, it would
# delete instead of load. Two keys in one field go unnoticed as well (`1;2,5` is not the key `1;2`).
#
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_QUOTED = 60


class SeparatorCheck:
    """The check of one file, fed row by row as the file is read.

    Rows are refused at once if they cannot be meant; what only the whole file shows, `finish` refuses.
    """

    def __init__(self, separator: str, *, delete_keys: bool) -> None:
        """Create the check. `delete_keys`: the caller stated that keys alone are there to be deleted."""
        self._separator = separator
        self._delete_keys = delete_keys
        self._others = [other for other in _NAMES if other != separator]
        # separators that every key so far holds; a comma within the keys of a TSV is nothing strange
        self._in_every_key = [other for other in self._others if separator == ","]
        self._first: tuple[int, str] | None = None
        self._has_values = False
        self.settled = False  # nothing about a row with a value can change the answer any more

    def accept_header(self) -> None:
        """Note a header: it states the separator, so that keys may hold any other."""
        self._in_every_key = []

    def add(self, line: int, row: list[str], text: str) -> None:
        """Check a row that begins with this line and text. Raises Wrong."""
        if self._first is None:
            _refuse_json(text)
            self._first = line, text
        if len(row) > 1:
            self._has_values = True
        elif not self._delete_keys:
            for other in self._others:
                if other in text:
                    raise Wrong(self._describe(other, text))
        if self._in_every_key:
            quoted = text.startswith('"')
            self._in_every_key = [other for other in self._in_every_key if other in row[0] and not quoted]
        self.settled = self._has_values and not self._in_every_key

    def explain(self, text: str) -> str:
        """Return what is wrong with a text that could not be read, if it is its separator; else ""."""
        other = next((other for other in self._others if f'"{other}' in text or f'{other}"' in text), None)
        return self._describe(other, text) if other is not None else ""

    def many_columns(self, text: str) -> str:
        """Return a hint for a row with too many columns, if another separator is why; else ""."""
        key = text.split(self._separator)[0]
        other = next((other for other in self._others if self._separator == "," and other in key), None)
        return f"; {self._describe(other, text)}" if other is not None else ""

    def finish(self) -> tuple[int, str] | None:
        """Return the line and what is wrong with the file as a whole; None if it can be meant."""
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
    """Refuse a first row that is an object of JSON lines. Raises Wrong."""
    if not text.lstrip().startswith("{"):
        return
    try:
        msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return
    raise Wrong(f"this looks like JSON lines: {_quote(text)}; use --format jsonl")


def _quote(text: str) -> str:
    text = text.rstrip("\r\n")
    shown = text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"
    return f"'{shown}'".replace("\t", r"\t")
