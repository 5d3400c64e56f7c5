"""Which columns of a table fit, and how wide each is. Pure: widths in, widths out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

# between neighbours
GAP = 2


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    `least` and `most` bound its width in cells; in between it is as wide as the widest cell seen. `gives`:
    which columns give way first when the terminal narrows, the highest first (0: never). `fills`: takes the
    room left over. `sorts`: a click on its header sorts by it. `natural`: how wide it wants to be at least.
    `host`: its cells are hosts, cut as these are.
    """

    key: str
    label: str
    least: int
    most: int
    gives: int = 0
    right: bool = False
    fills: bool = False
    natural: int = 0
    sorts: bool = False
    host: bool = False


class Placed(msgspec.Struct, frozen=True):
    """A column that is shown: its place in the row's cells, where it begins, and how wide it is."""

    column: Column
    index: int
    x: int
    width: int


def place(columns: Sequence[Column], wanted: Sequence[int], room: int) -> tuple[Placed, ...]:
    """Lay the columns out in `room` cells; `wanted` is the widest cell of each.

    Columns give way whole, first those that matter least, until the rest fit at their least width; what room
    is left then widens them from the left as far as their cells want.
    """
    shown = list(range(len(columns)))
    while len(shown) > 1 and _least(columns, shown) > room:
        going = max(shown, key=lambda index: (columns[index].gives, index))
        if columns[going].gives == 0:
            break
        shown.remove(going)
    widths = {index: columns[index].least for index in shown}
    spare = room - _least(columns, shown)
    for index in shown:
        column = columns[index]
        grow = max(0, min(spare, min(wanted[index], column.most) - column.least))
        widths[index] += grow
        spare -= grow
    for index in shown:
        if columns[index].fills and spare > 0:
            widths[index] += spare
            spare = 0
    placed: list[Placed] = []
    x = 0
    for index in shown:
        width = min(widths[index], max(0, room - x))
        placed.append(Placed(columns[index], index, x, width))
        x += width + GAP
    return tuple(placed)


def sorted_next(shown: Sequence[Placed], now: str, by: int) -> str | None:
    """The column that is sorted by after `now`, `by` columns on; None where none is in view."""
    keys = [placed.column.key for placed in shown if placed.column.sorts]
    at = keys.index(now) if now in keys else 0
    return keys[(at + by) % len(keys)] if keys else None


def _least(columns: Sequence[Column], shown: Sequence[int]) -> int:
    return sum(columns[index].least for index in shown) + GAP * (len(shown) - 1)
