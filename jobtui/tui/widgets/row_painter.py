"""A table's rows and its header as strips: pieces of text in inks, laid out in columns over a ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from jobtui.formatting import single_cells
from jobtui.tui.lines import Ink, Line, line_width
from jobtui.tui.text import fit, fit_host, width_of
from jobtui.tui.widgets.columns import GAP, Placed

# cells before the first column: the mark and a blank
GUTTER = 2


class Sorting(msgspec.Struct, frozen=True):
    """The column that the rows are in order of, and which way."""

    key: str
    descending: bool


class RowPainter:
    """Paints with the inks that `ink` looks up."""

    def __init__(self, ink: Callable[[Ink], Style]) -> None:
        self._ink = ink
        self._known: dict[tuple[Style, Ink], Style] = {}

    def forget(self) -> None:
        """The inks look different now."""
        self._known.clear()

    def row(
        self, gutter: Line, cells: Sequence[Line], placed: Sequence[Placed], width: int, ground: Style
    ) -> Strip:
        """One row in exactly `width` cells; `gutter` is one cell wide."""
        segments: list[Segment] = []
        for text, ink in gutter:
            _put(segments, single_cells(text), self._over(ground, ink))
        _put(segments, " " * (GUTTER - 1), ground)
        for number, (place, cell) in enumerate(zip(placed, cells, strict=True)):
            if number:
                _put(segments, " " * GAP, ground)
            self._cell(segments, cell, place, ground)
        return _finish(segments, placed, width, ground)

    def header(self, placed: Sequence[Placed], sorting: Sorting | None, width: int, ground: Style) -> Strip:
        """The columns' labels, an arrow at the one that the rows are in order of."""
        ground += self._ink(Ink.HEADER)
        segments: list[Segment] = []
        _put(segments, " " * GUTTER, ground)
        for place in placed:
            column = place.column
            label = single_cells(column.label)
            if sorting is not None and sorting.key == column.key:
                label = fit(label, max(1, min(width_of(label), place.width - 1))).rstrip()
                label += "▼" if sorting.descending else "▲"
            _put(segments, fit(label, place.width, column.right), ground)
            if place is not placed[-1]:
                _put(segments, " " * GAP, ground)
        return _finish(segments, placed, width, ground)

    def _cell(self, segments: list[Segment], cell: Line, place: Placed, ground: Style) -> None:
        width, right = place.width, place.column.right
        if len(cell) == 1:
            text, ink = cell[0]
            fitted = (fit_host if place.column.host else fit)(text, width, right)
            _put(segments, fitted, self._over(ground, ink))
        else:
            size = line_width(cell)
            if right and size < width:
                _put(segments, " " * (width - size), ground)
            room = width
            for text, ink in cell:
                take = min(room, width_of(text))
                _put(segments, fit(text, take), self._over(ground, ink))
                room -= take
            if not right and room > 0:
                _put(segments, " " * room, ground)

    def _over(self, ground: Style, ink: Ink) -> Style:
        # a reversed cursor row would turn each ink into a patch of its own
        if ink is Ink.PLAIN or ground.reverse:
            return ground
        style = self._known.get((ground, ink))
        if style is None:
            style = self._known[ground, ink] = ground + self._ink(ink)
        return style


def _put(segments: list[Segment], text: str, style: Style) -> None:
    # neighbours of one style are one segment: what is painted costs by the segment
    if segments and segments[-1].style is style:
        segments[-1] = Segment(segments[-1].text + text, style)
    elif text:
        segments.append(Segment(text, style))


def _finish(segments: list[Segment], placed: Sequence[Placed], width: int, ground: Style) -> Strip:
    used = GUTTER + (placed[-1].x + placed[-1].width if placed else 0)
    if used > width:
        return Strip(segments, used).crop(0, width)
    _put(segments, " " * (width - used), ground)
    return Strip(segments, width)
