"""A text's answer as it is printed on stdout: box, JSON, JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobtui.cli.exits import UsageError
from jobtui.engine.client import Answer
from jobtui.language import tables
from jobtui.language.ast import CreateSpace, DropSpace, Statement, Use

_WITHOUT_TABLE = (Use, CreateSpace, DropSpace)


def check_format(form: str, statements: Sequence[Statement]) -> None:
    """Refuse, before anything runs, a text whose results the format can't hold. Raises UsageError."""
    if form == "csv" and sum(not isinstance(one, _WITHOUT_TABLE) for one in statements) > 1:
        raise UsageError("--format csv holds the result of one statement; jsonl and json hold those of several")


def printed(answer: Answer, form: str, encoding: str, *, raw: bool = False) -> Iterator[str]:
    """The answer in that format, piece by piece, each piece to be ended with a line end.

    `encoding` is what the box is going to be printed in; `raw` leaves a CSV's cells as they are.
    """
    match form:
        case "json":
            yield tables.format_json(answer.results, answer.failure)
        case "jsonl":
            lines = tables.format_jsonl(answer.results)
            if lines:
                yield lines
        case "csv":
            yield from (tables.format_csv(result, raw=raw) for result in answer.results if result.columns)
        case _:
            boxes = [result for result in answer.results if result.columns]
            for number, result in enumerate(boxes):
                yield ("\n" if number else "") + tables.format_table(result, encoding)
