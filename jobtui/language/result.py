"""What a statement answers: columns and rows, each row as text for a person and as values for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One row: `cells` as the text table shows them, `values` in full.

    `values` holds, for each column by its name, the number, the ISO 8601 time with zone or None, and
    beside the columns what else is known of the row under lower-case names (`reason`, `progress`, …).
    Its values are what JSON has: str, int, float, bool, None, list and dict.
    """

    cells: tuple[str, ...]
    values: Mapping[str, object]


class Result(msgspec.Struct, frozen=True):
    """The answer to one statement.

    `statement` is its text as typed. `rows` may be read from the history as they are asked for: take slices
    of a long one, and don't count on it being a tuple. No columns: there is nothing to print as a table
    (USE, CREATE SPACE). `total` is how many rows there are where `rows` holds only the newest of them.
    `jobs` are the ids of the jobs that the statement queued. `notice` is a remark for a person, "" where
    there is none.
    """

    statement: str
    columns: tuple[str, ...] = ()
    rows: Sequence[Row] = ()
    total: int | None = None
    jobs: tuple[int, ...] = ()
    notice: str = msgspec.field(default="")
