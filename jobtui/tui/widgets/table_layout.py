"""The layout of a table: its fitting columns, and its rows and header as strips."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from jobtui.formatting import single_cells
from jobtui.tui.text.spans import Line, TextRole, fit, fit_host, line_width, width_of

# cells between neighboring columns
GAP = 2
_HIDDEN_EARLY = 5
"""The `hide_order` from which on a column is hidden before the column that fills gets less than it asks for."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    Attributes:
        min_width: The smallest width in cells.
        max_width: The largest width. Between the two, the column is as wide as its widest cell so far.
        hide_order: The order in which columns are hidden in a narrow terminal, the highest first; 0 for never.
        right: Whether its cells are aligned to the right.
        fills: Whether it takes the remaining width.
        usual_width: The width that it asks for before it has shown a wider cell.
        sorts: Whether the rows can be sorted by it.
        host: Whether its cells are names of hosts, which keep their end if they are cut.
        keeps_end: Whether the first span is cut if a cell is too wide; if too little of it would be left, the
            last one is.
    """

    key: str
    label: str
    min_width: int
    max_width: int
    hide_order: int = 0
    right: bool = False
    fills: bool = False
    usual_width: int = 0
    sorts: bool = False
    host: bool = False
    keeps_end: bool = False


_MIN_CUT = 4
"""The fewest cells of a span that is cut: with fewer, nothing of it could be understood."""


class PlacedColumn(msgspec.Struct, frozen=True):
    """A column that is shown, with its index in the row, its first cell and its width."""

    column: Column
    index: int
    x: int
    width: int


def place_columns(columns: Sequence[Column], wanted: Sequence[int], room: int) -> tuple[PlacedColumn, ...]:
    """Lay the columns out in `room` cells; `wanted` is the width of the widest cell of each.

    Columns are hidden, the highest `hide_order` first, until the others fit at their smallest widths. Those
    with a `hide_order` of 5 or more are hidden earlier: until the column that fills has its usual width as
    well. The room that is left widens the columns, from the left, up to the width of their cells.
    """
    shown = list(range(len(columns)))
    _hide_columns(columns, shown, room - _fill_shortage(columns), _HIDDEN_EARLY)
    _hide_columns(columns, shown, room, 1)
    widths = {index: columns[index].min_width for index in shown}
    spare = room - _min_total(columns, shown)
    for index in shown:
        column = columns[index]
        grow = max(0, min(spare, min(wanted[index], column.max_width) - column.min_width))
        widths[index] += grow
        spare -= grow
    for index in shown:
        if columns[index].fills and spare > 0:
            widths[index] += spare
            spare = 0
    placed: list[PlacedColumn] = []
    x = 0
    for index in shown:
        width = min(widths[index], max(0, room - x))
        placed.append(PlacedColumn(columns[index], index, x, width))
        x += width + GAP
    return tuple(placed)


def _hide_columns(columns: Sequence[Column], shown: list[int], room: int, first: int) -> None:
    """Remove columns with a `hide_order` of at least `first` until the others fit."""
    while len(shown) > 1 and _min_total(columns, shown) > room:
        last = max(shown, key=lambda index: (columns[index].hide_order, index))
        if columns[last].hide_order < first:
            return
        shown.remove(last)


def next_sort_key(shown: Sequence[PlacedColumn], current: str, by: int) -> str | None:
    """Return the key of the sortable column `by` columns after `current`; None without any."""
    keys = [placed.column.key for placed in shown if placed.column.sorts]
    at = keys.index(current) if current in keys else 0
    return keys[(at + by) % len(keys)] if keys else None


def _fill_shortage(columns: Sequence[Column]) -> int:
    """Return the difference between the usual and the smallest width of the column that fills."""
    return next((max(0, column.usual_width - column.min_width) for column in columns if column.fills), 0)


def _min_total(columns: Sequence[Column], shown: Sequence[int]) -> int:
    return sum(columns[index].min_width for index in shown) + GAP * (len(shown) - 1)


# cells before the first column: the mark, and the sign of the cursor
GUTTER = 2


class Sorting(msgspec.Struct, frozen=True):
    """The column that the rows are sorted by, and the direction."""

    key: str
    descending: bool

    def by(self, column: str, *, descending: bool) -> Sorting:
        """Return the order by a column, which is reversed if it is the current one."""
        return Sorting(column, not self.descending if column == self.key else descending)


UNSORTED = Sorting("", False)
"""The order of rows that are not sorted by a column."""


class RowPainter:
    """The painter of rows and the header, in the styles that `style_of` returns for the roles."""

    def __init__(self, style_of: Callable[[TextRole], Style]) -> None:
        self._style_of = style_of
        self._known: dict[tuple[Style, TextRole], Style] = {}

    def clear_styles(self) -> None:
        """Discard the cached styles, after a change of the theme."""
        self._known.clear()

    def row(
        self,
        gutter: Line,
        cells: Sequence[Line | None],
        placed: Sequence[PlacedColumn],
        width: int,
        background: Style,
        cursor: str = " ",
    ) -> Strip:
        """Return one row in exactly `width` cells; `gutter` and `cursor` are one cell wide each.

        A cell that is None is covered: the next one begins in its place.
        """
        segments: list[Segment] = []
        for text, role in gutter:
            _put(segments, single_cells(text), self._over(background, role))
        _put(segments, cursor, background if cursor == " " else self._over(background, TextRole.ACCENT))
        covered = 0
        for number, (place, cell) in enumerate(zip(placed, cells, strict=True)):
            if number and not covered:
                _put(segments, " " * GAP, background)
            if cell is None:
                covered += place.width + GAP
                continue
            self._cell(segments, cell, place, place.width + covered, background)
            covered = 0
        return _finish(segments, placed, width, background)

    def header(self, placed: Sequence[PlacedColumn], sorting: Sorting, width: int, background: Style) -> Strip:
        """Return the labels of the columns, with an arrow at the one that the rows are sorted by."""
        background += self._style_of(TextRole.HEADER)
        segments: list[Segment] = []
        _put(segments, " " * GUTTER, background)
        for place in placed:
            column = place.column
            label = single_cells(column.label)
            if sorting.key == column.key:
                label = fit(label, max(1, min(width_of(label), place.width - 1))).rstrip()
                label += "▼" if sorting.descending else "▲"
            _put(segments, fit(label, place.width, column.right), background)
            if place is not placed[-1]:
                _put(segments, " " * GAP, background)
        return _finish(segments, placed, width, background)

    def _cell(
        self, segments: list[Segment], cell: Line, place: PlacedColumn, width: int, background: Style
    ) -> None:
        right = place.column.right
        if len(cell) == 1:
            text, role = cell[0]
            fitted = (fit_host if place.column.host else fit)(text, width, right)
            _put(segments, fitted, self._over(background, role))
        else:
            size = line_width(cell)
            if place.column.keeps_end and size > width:
                cell = _cut_first(cell, width)
            if right and size < width:
                _put(segments, " " * (width - size), background)
            room = width
            for number, (text, role) in enumerate(cell):
                is_remark = not place.column.keeps_end or room <= _MIN_CUT
                if number and text.startswith(" ") and width_of(text) > room and is_remark:
                    break  # a remark after a name or a status: if it were cut, it could not be understood
                take = min(room, width_of(text))
                _put(segments, fit(text, take), self._over(background, role))
                room -= take
            if not right and room > 0:
                _put(segments, " " * room, background)

    def _over(self, background: Style, role: TextRole) -> Style:
        # a reversed cursor row would turn each role into a patch of its own
        if role is TextRole.PLAIN or background.reverse:
            return background
        style = self._known.get((background, role))
        if style is None:
            style = self._known[background, role] = background + self._style_of(role)
        return style


def _put(segments: list[Segment], text: str, style: Style) -> None:
    # neighbors of one style become one segment: the cost of painting grows with the number of segments
    if segments and segments[-1].style is style:
        segments[-1] = Segment(segments[-1].text + text, style)
    elif text:
        segments.append(Segment(text, style))


def _finish(segments: list[Segment], placed: Sequence[PlacedColumn], width: int, background: Style) -> Strip:
    used = GUTTER + (placed[-1].x + placed[-1].width if placed else 0)
    if used > width:
        return Strip(segments, used).crop(0, width)
    _put(segments, " " * (width - used), background)
    return Strip(segments, width)


def _cut_first(cell: Line, width: int) -> Line:
    """Cut the first span of a cell so that the others fit, if enough of it is left."""
    (text, role), *others = cell
    room = width - line_width(others)
    return ((fit(text, room), role), *others) if room >= _MIN_CUT else cell
