"""Results as text: the box for a person; JSON, JSON lines and CSV for a program.

Every function answers with text that has no line end at its end, "" where there is nothing to
print. Foreign text in a result is made printable: in the box and in CSV it is shown with visible
escapes, in JSON with JSON's own (so that a program reads it back exactly).
"""

from __future__ import annotations

import csv as _csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from jobtui.language.printable import is_obeyed, printable
from jobtui.language.result import Result

_LEAST_WIDTH: Final = {"Status": 8}


class Failed(Protocol):
    """The statement that ended a text: its words, the reason and the place (from 1)."""

    @property
    def statement(self) -> str:
        """The statement as typed."""
        ...

    @property
    def message(self) -> str:
        """Why it failed."""
        ...

    @property
    def line(self) -> int:
        """The line of the text, from 1."""
        ...

    @property
    def column(self) -> int:
        """The column, from 1, in characters."""
        ...


def box(result: Result) -> str:
    """The table of a result, straight in a terminal whatever its cells hold; "" where it has no columns.

    Widths are terminal cells. A result without rows is its header and two rules.
    """
    if not result.columns:
        return ""
    rows = [tuple(map(printable, row.cells)) for row in result.rows]
    header = tuple(map(printable, result.columns))
    widths = [
        max(_LEAST_WIDTH.get(name, 0), *(cells(line[at]) for line in [header, *rows]))
        for at, name in enumerate(header)
    ]
    across = sum(widths) + 3 * len(widths) + 1
    lines = ["=" * across, _boxed(header, widths), "=" * across]
    for row in rows:
        lines += [_boxed(row, widths), "-" * across]
    return "\n".join(lines)


def to_json(results: Iterable[Result], failed: Failed | None = None) -> str:
    """A JSON array with an object a statement, and one with `error` for the statement that failed.

    `statement`, `columns` and `rows` (an object each, with full values); beside them `total` where
    `rows` are only the newest of so many, and `notice` where there is a remark.
    """
    answers: list[dict[str, object]] = []
    for result in results:
        answer: dict[str, object] = {
            "statement": result.statement,
            "columns": list(result.columns),
            "rows": [dict(row.values) for row in result.rows],
        }
        if result.total is not None:
            answer["total"] = result.total
        if result.notice:
            answer["notice"] = result.notice
        answers.append(answer)
    if failed is not None:
        error = {"message": failed.message, "line": failed.line, "column": failed.column}
        answers.append({"statement": failed.statement, "error": error})
    return _json(answers, indent=2)


def jsonl(results: Iterable[Result]) -> str:
    """A JSON object a row, a line each, with its statement's number from 1 as `statement`."""
    return "\n".join(
        _json({"statement": number, **row.values})
        for number, result in enumerate(results, start=1)
        for row in result.rows
    )


def csv(result: Result) -> str:
    """One result with full values: its columns, then what else is known of the rows.

    Unknown is empty; lists and objects are JSON; line ends within a value are shown as escapes, so
    that a row is a line.
    """
    names = [*result.columns, *_beside(result)]
    if not names:
        return ""
    out = io.StringIO()
    writer = _csv.writer(out, lineterminator="\n")
    writer.writerow(map(printable, names))
    for row in result.rows:
        writer.writerow([_csv_value(row.values.get(name)) for name in names])
    return out.getvalue().removesuffix("\n")


def cells(text: str) -> int:
    """How many terminal cells `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _boxed(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = [text + " " * (width - cells(text)) for text, width in zip(line, widths, strict=True)]
    return f"| {' | '.join(padded)} |"


def _beside(result: Result) -> list[str]:
    """What the rows hold beside the columns, in the order in which it first comes."""
    keys: dict[str, None] = {}
    for row in result.rows:
        keys.update(dict.fromkeys(row.values))
    return [key for key in keys if key not in result.columns]


def _csv_value(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return printable(value)
        case bool() | list() | tuple() | dict():
            return _json(value)
        case _:
            return str(value)


def _json(value: object, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(json.dumps(c)[1:-1] if is_obeyed(c) and c != "\n" else c for c in text)
