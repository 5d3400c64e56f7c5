"""The reader and the writer of key-value pairs: text to pairs and back, line by line.

The reader never guesses a format. The writer's text reads back as the same bytes. Bytes that are not UTF-8 are
written in base64; in CSV and TSV, so are texts with control characters or with another meaning. Thus the
output contains no terminal escapes.
"""

from __future__ import annotations

import binascii
import csv
import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from jobtui.cli.errors import CommandError
from jobtui.cli.pair_format import HEADER, NULL, InvalidLine, PairFormat, SeparatorCheck
from jobtui.storage.base import Pair
from jobtui.suggest import did_you_mean

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# the first bytes of files that are not text, with what to do
_FOREIGN = {
    b"\x1f\x8b": "this is compressed by gzip; load the output of zcat",
    b"PK\x03\x04": "this is a ZIP archive or a spreadsheet; save it as CSV with commas",
    b"\xff\xfe": "this is UTF-16; convert it: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "this is UTF-16; convert it: iconv -f UTF-16 -t UTF-8",
}


class PairError(CommandError):
    """The error of a line that is not a pair: the file, the line (from 1), and the reason."""

    def __init__(self, name: str, line: int, message: str) -> None:
        super().__init__(f"{name}:{line}: {message}")


def read_pairs(
    lines: Iterable[bytes], form: PairFormat, name: str, *, delete_keys: bool = False
) -> Iterator[Pair]:
    """Return the pairs of a file's lines (with their ends).

    Args:
        name: stands for the file in errors.
        delete_keys: all lines of a CSV or TSV may be keys only, each of which deletes its pair.

    Raises:
        PairError: While the pairs are read; after the last pair for errors that only the whole file shows.
    """
    lines = _check_beginning(lines, name)
    match form:
        case PairFormat.JSONL:
            return _read_jsonl(lines, name)
        case PairFormat.CSV:
            return _read_csv(lines, name, SeparatorCheck(",", delete_keys=delete_keys))
        case PairFormat.TSV:
            return _read_tsv(lines, name, SeparatorCheck("\t", delete_keys=delete_keys))


def _check_beginning(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield the lines without a byte order mark. Raises PairError for a file that is not text."""
    for number, line in enumerate(lines):
        if number == 0:
            for begin, remedy in _FOREIGN.items():
                if line.startswith(begin):
                    raise PairError(name, 1, remedy)
        yield line.removeprefix(_BYTE_ORDER_MARK) if number == 0 else line


# ---- JSON lines


class _Object(msgspec.Struct, forbid_unknown_fields=True):
    key: str | msgspec.UnsetType = msgspec.UNSET
    key_base64: str | msgspec.UnsetType = msgspec.UNSET
    value: msgspec.Raw = msgspec.Raw()
    value_base64: str | msgspec.UnsetType = msgspec.UNSET


def _read_jsonl(lines: Iterable[bytes], name: str) -> Iterator[Pair]:
    decoder = msgspec.json.Decoder(_Object)
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            found = decoder.decode(line)
            yield _key_of(found), _value_of(found)
        except msgspec.DecodeError as error:
            raise PairError(name, number, f"{_explain(line, error)}{_other_format(line)}") from None
        except UnicodeDecodeError:
            raise PairError(name, number, _NOT_UTF8) from None
        except RecursionError:
            raise PairError(name, number, "JSON is nested too deeply to be read") from None
        except InvalidLine as error:
            raise PairError(name, number, str(error)) from None


_FIELDS = ("key", "key_base64", "value", "value_base64")
_FIELD_PAIRS = '"key" or "key_base64", and "value" or "value_base64"'
_TYPES = {b'"': "a text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false", b"n": "null"}


def _explain(line: bytes, error: msgspec.DecodeError) -> str:
    """Return what is wrong with a line that the decoder refused, in plain words."""
    if not isinstance(error, msgspec.ValidationError):
        text = str(error)
        if "truncated" in text:
            return "the JSON breaks off before its end"
        return f"this is not JSON: {text.removeprefix('JSON is malformed: ')}"
    if not line.lstrip().startswith(b"{"):
        return f'an object with "key" and "value" is expected, not {_type_of(line.lstrip())}'
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return "this is not a JSON object"  # the line is also broken after its first error
    for field, raw in fields.items():
        if field not in _FIELDS:
            near = did_you_mean(field[:20], _FIELDS)
            meant = f'; did you mean "{near}"?' if near else f"; a line has {_FIELD_PAIRS}"
            return f'"{field[:40]}" is not expected{meant}'
        if field != "value" and not bytes(raw).startswith(b'"'):
            return f'"{field}" must be a text, not {_type_of(bytes(raw))}'
    return "this is not a JSON object with a key and a value"


def _type_of(raw: bytes) -> str:
    return _TYPES.get(raw[:1], "a number")


def _other_format(line: bytes) -> str:
    """Return a hint for a line that is not a JSON object, "" if it begins like one."""
    begin = line.lstrip()[:1]
    if begin == b"{":
        return ""
    if begin == b"[":
        return '; a JSON array is not JSON lines, write one object per line: jq -c ".[]"'
    shown = line[:60].decode(errors="replace").rstrip("\r\n")
    return f"; JSON lines are expected, not '{shown}': CSV and TSV are read with --format csv or tsv"


def _key_of(found: _Object) -> bytes:
    if (found.key is msgspec.UNSET) == (found.key_base64 is msgspec.UNSET):
        raise InvalidLine('an object with one of "key" and "key_base64" is expected')
    if isinstance(found.key_base64, str):
        return _from_base64(found.key_base64)
    return str(found.key).encode()


def _value_of(found: _Object) -> bytes | None:
    raw = bytes(found.value)
    if bool(raw) == isinstance(found.value_base64, str):
        raise InvalidLine('one of "value" and "value_base64" is expected (a "value" of null deletes the key)')
    if isinstance(found.value_base64, str):
        return _from_base64(found.value_base64)
    if raw == b"null":
        return None
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str).encode()
    raw.decode()
    return msgspec.json.format(raw, indent=-1)


# ---- CSV and TSV


def _read_csv(lines: Iterable[bytes], name: str, check: SeparatorCheck) -> Iterator[Pair]:
    csv.field_size_limit(2**31 - 1)
    counted = _NumberedLines(lines, name)
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
        yield _read_row(take, row, name, first, check, counted.first)
    _finish(check, name)


def _read_tsv(lines: Iterable[bytes], name: str, check: SeparatorCheck) -> Iterator[Pair]:
    take = None
    for number, line in enumerate(_NumberedLines(lines, name), 1):
        text = line.removesuffix("\n").removesuffix("\r")
        if not text:
            continue
        row = text.split("\t")
        if take is None:
            take, is_header = _columns(row, name, number)
            if is_header:
                check.accept_header()
                continue
        yield _read_row(take, row, name, number, check, text, _unescaped)
    _finish(check, name)


def _finish(check: SeparatorCheck, name: str) -> None:
    found = check.finish()
    if found is not None:
        raise PairError(name, *found)


class _NumberedLines:
    """Lines as text, with their number, and the first line since `first` was last emptied."""

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


_RowReader = Callable[[list[str], Callable[[str], str]], Pair]


def _columns(first: list[str], name: str, line: int) -> tuple[_RowReader, bool]:
    """Return a reader of a file's rows by its first row, and whether that is a header.

    Raises:
        PairError: if the header names the columns in the wrong order.
    """
    names = tuple(field.strip().lower() for field in first)
    if names == HEADER:
        return _read_three_columns, True
    if names == ("value", "key"):
        raise PairError(name, line, "the header names value before key: the key comes first")
    return _read_two_columns, names == HEADER[:2]


def _read_row(
    take: _RowReader,
    row: list[str],
    name: str,
    line: int,
    check: SeparatorCheck,
    text: str,
    plain: Callable[[str], str] = lambda field: field,
) -> Pair:
    try:
        # not for other rows: a call for each of a million rows would be slow
        if len(row) == 1 or not check.is_settled:
            check.add(line, row, text)
        return take(row, plain)
    except InvalidLine as error:
        hint = check.many_columns(text) if len(row) > 2 else ""
        raise PairError(name, line, f"{error}{hint}") from None


def _read_two_columns(row: list[str], plain: Callable[[str], str]) -> Pair:
    if len(row) > 2:
        raise InvalidLine(f"{len(row)} columns, where a key and a value are expected")
    if len(row) == 1 or row[1] == NULL:
        return plain(row[0]).encode(), None
    return plain(row[0]).encode(), plain(row[1]).encode()


def _read_three_columns(row: list[str], plain: Callable[[str], str]) -> Pair:
    if len(row) > 3:
        raise InvalidLine(f"{len(row)} columns, where key, value and base64 are expected")
    coded = row[2].split() if len(row) == 3 else []
    if not set(coded) <= {"key", "value"}:
        raise InvalidLine("the column base64 may hold key, value, or both")
    key = _from_base64(row[0]) if "key" in coded else plain(row[0]).encode()
    if "value" in coded:
        return key, _from_base64(row[1])
    return key, _read_two_columns(row[:2], plain)[1]


def _unescaped(field: str) -> str:
    return _ESCAPE.sub(_unescape_match, field) if "\\" in field else field


def _unescape_match(match: re.Match[str]) -> str:
    known = _ESCAPED.get(match[1])
    if known is None:
        raise InvalidLine(rf"{match[0]} is none of the escapes \\, \t, \n, \r and \N")
    return known


def _from_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidLine("this is not base64") from None


_NULS = (
    "this holds NUL bytes, as UTF-16 does (convert it: iconv -f UTF-16 -t UTF-8); bytes that are not text are "
    "written in base64"
)
_NOT_UTF8 = "this is not UTF-8; bytes that are not text are written in base64"
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


def write_pairs(pairs: Iterable[tuple[bytes, bytes]], form: PairFormat) -> Iterator[bytes]:
    """Yield the lines, with their ends, of a file that holds these pairs."""
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
    """Escape the control characters that JSON does not require to be escaped."""
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
    """Return the bytes as text if they can be written as they are, else None."""
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
