"""Results as text: a table for a user; JSON, JSON lines and CSV for a program.

Each format is available as one text and line by line, for a result that is read from the history while it is
printed. No text ends with a line feed; a result without columns has no text. Untrusted text is made printable:
by visible escapes in tables and CSV, and by JSON's own in JSON, so that a program reads it back exactly.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Final, Protocol

import msgspec

from jobtui.formatting import guard_formula, is_control, printable


class Row(msgspec.Struct, frozen=True):
    """One row of a result.

    Attributes:
        cells: The columns as a table shows them.
        values: The full values by column name: numbers, ISO 8601 times with zone, or None. Other values of the
            row have lower-case names (`reason`, `progress`, …). All are JSON types.
    """

    cells: tuple[str, ...]
    values: Mapping[str, object]


class RowListing(Sequence[Row]):
    """A long sequence of rows that are made when they are used."""

    @abstractmethod
    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each row; a table needs no values, and they take longer to make."""


class Result(msgspec.Struct, frozen=True):
    """The result of one statement.

    Attributes:
        statement: Its text as typed.
        columns: Empty if there is nothing to print as a table (USE, CREATE SPACE).
        rows: Any sequence. A long one may be read from the history on access: take slices of it.
        total: The number of rows if `rows` are only the newest of them, otherwise None.
        jobs: The ids of the jobs that the statement queued.
        notice: A remark for the user, "" if there is none.
    """

    statement: str
    columns: tuple[str, ...] = ()
    rows: Sequence[Row] = ()
    total: int | None = None
    jobs: tuple[int, ...] = ()
    notice: str = ""


_PAGE: Final = 1000
_MIN_WIDTHS: Final = {"Status": 8}


class FailedStatement(Protocol):
    """The statement that failed and so ended a text."""

    @property
    def statement(self) -> str:
        """The statement as typed."""
        ...

    @property
    def message(self) -> str:
        """The reason."""
        ...

    @property
    def line(self) -> int:
        """The line of the text, from 1."""
        ...

    @property
    def column(self) -> int:
        """The column, from 1, in characters."""
        ...


def format_table(result: Result, encoding: str = "utf-8") -> str:
    """Return a result as a table, "" if it has no columns.

    The columns are aligned by terminal cells. A result without rows is its header and two rules. Characters
    that `encoding` does not have are shown as escapes.
    """
    return "\n".join(table_lines(result, encoding))


def table_lines(result: Result, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of `format_table`; many rows are read twice instead of kept in memory."""
    if not result.columns:
        return
    kept = tuple(_cells(result)) if len(result.rows) <= _PAGE else None
    shown = partial(_encodable, encoding=encoding)
    header = tuple(map(shown, result.columns))
    widths = [max(_MIN_WIDTHS.get(name, 0), cell_width(name)) for name in header]
    for cells in _cells(result) if kept is None else kept:
        widths = [max(width, cell_width(shown(cell))) for width, cell in zip(widths, cells, strict=True)]
    across = sum(widths) + 3 * len(widths) + 1
    yield from ("=" * across, _boxed(header, widths), "=" * across)
    for cells in _cells(result) if kept is None else kept:
        yield _boxed(tuple(map(shown, cells)), widths)
        yield "-" * across


def format_json(results: Iterable[Result], failed: FailedStatement | None = None) -> str:
    """Return a JSON array with an object for each statement, also for a failed one.

    An object has `statement`, `columns` and `rows` (each an object with full values), `total` if `rows` are the
    newest only, and `notice` if there is one.
    """
    return "\n".join(json_lines(results, failed))


def json_lines(results: Iterable[Result], failed: FailedStatement | None = None) -> Iterator[str]:
    """Yield the lines of `format_json`, one for each row."""
    yield "["
    yield from _listed(_objects(results, failed))
    yield "]"


def format_jsonl(results: Iterable[Result]) -> str:
    """Return a line with a JSON object for each row, with its statement's number, from 1."""
    return "\n".join(jsonl_lines(results))


def jsonl_lines(results: Iterable[Result]) -> Iterator[str]:
    """Yield the lines of `format_jsonl`."""
    for number, result in enumerate(results, start=1):
        for row in _rows(result):
            yield _json({"statement": number, **row.values})


def format_csv(result: Result, *, raw: bool = False) -> str:
    """Return a result with full values as CSV: its columns, then the other values.

    Unknown is empty; lists and objects are JSON; line ends within a value are shown as escapes, so
    that a row is a line. A text that a spreadsheet would compute is guarded, unless `raw`.
    """
    return "\n".join(csv_lines(result, raw=raw))


def csv_lines(result: Result, *, raw: bool = False) -> Iterator[str]:
    """Yield the lines of `format_csv`; rows are read twice and not kept."""
    names = [*result.columns, *_extra_names(result)]
    if not names:
        return
    line = _csv_writer()
    yield line(map(printable, names))
    for row in _rows(result):
        yield line(_csv_value(row.values.get(name), raw) for name in names)


def cell_width(text: str) -> int:
    """Return how many terminal cells `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _encodable(text: str, encoding: str) -> str:
    shown = printable(text)
    return shown if shown.isascii() else shown.encode(encoding, "backslashreplace").decode(encoding)


def _boxed(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = [text + " " * (width - cell_width(text)) for text, width in zip(line, widths, strict=True)]
    return f"| {' | '.join(padded)} |"


def _rows(result: Result) -> Iterator[Row]:
    """Yield the rows, read a page at a time because they may come from the history."""
    for start in range(0, len(result.rows), _PAGE):
        yield from result.rows[start : start + _PAGE]


def _cells(result: Result) -> Iterator[tuple[str, ...]]:
    rows = result.rows
    return rows.cells() if isinstance(rows, RowListing) else (row.cells for row in _rows(result))


def _objects(results: Iterable[Result], failed: FailedStatement | None) -> Iterator[Iterable[str]]:
    """Yield the lines of each statement's object."""
    for result in results:
        yield _object(result)
    if failed is not None:
        error = {"message": failed.message, "line": failed.line, "column": failed.column}
        yield (_json({"statement": failed.statement, "error": error}),)


def _object(result: Result) -> Iterator[str]:
    answer: dict[str, object] = {"statement": result.statement, "columns": list(result.columns)}
    if result.total is not None:
        answer["total"] = result.total
    if result.notice:
        answer["notice"] = result.notice
    yield f'{_json(answer)[:-1]}, "rows": ['
    yield from _listed((_json(dict(row.values)),) for row in _rows(result))
    yield "]}"


def _listed(items: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of all items, with a comma after each item but the last."""
    line = ""
    for item in items:
        if line:
            yield f"{line},"
        line = ""
        for following in item:
            if line:
                yield line
            line = following
    if line:
        yield line


def _extra_names(result: Result) -> list[str]:
    """Return the names of the values that are not columns, in order of appearance."""
    keys: dict[str, None] = {}
    for row in _rows(result):
        keys.update(dict.fromkeys(row.values))
    return [key for key in keys if key not in result.columns]


def _csv_writer() -> Callable[[Iterable[str]], str]:
    """Return a function that returns the values as a line of CSV.

    `writerow` returns what `write` returned.
    """
    import csv

    return csv.writer(_LineReturner(), lineterminator="").writerow


class _LineReturner:
    def write(self, line: str) -> str:
        return line


def _csv_value(value: object, raw: bool) -> str:
    match value:
        case None:
            return ""
        case str():
            return printable(value) if raw else guard_formula(printable(value))
        case bool() | list() | tuple() | dict():
            return _json(value)
        case _:
            return str(value)


def _json(value: object) -> str:
    text = _json_encoder()(value)
    if text.isprintable():
        return text
    import json

    return "".join(json.dumps(c)[1:-1] if is_control(c) else c for c in text)


@cache
def _json_encoder() -> Callable[[object], str]:
    # `json.dumps` makes an encoder at every call with other options than its own
    import json

    return json.JSONEncoder(ensure_ascii=False).encode
