"""What graphd answers, as plain data: the border between the wire and everything that reasons about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

Cell = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows. Times are aware and in UTC; None is a cell that graphd left empty."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What graphd said instead: the name of its error code, like E_SEMANTIC_ERROR, and its words."""

    code: str
    words: str


Reply = Table | Refusal
