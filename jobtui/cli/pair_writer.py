"""The writer of key-value pairs: text that reads back as the same bytes.

What is not UTF-8, and in CSV and TSV also what contains control characters or would be read as something else,
is written in base64. So nothing in the output is a command to a terminal.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from jobtui.cli.pair_format import HEADER, NULL, PairFormat


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
