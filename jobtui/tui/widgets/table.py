"""A table of any length that formats only the rows on screen, on Textual's line API.

The table is independent of jobs: its `Rows` return the number of rows, the cells of a row, and the key of each
row. The cursor belongs to a key: when rows are added, removed or sorted, it stays on its row, and the row keeps
its position on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import ClassVar, Protocol

from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from jobtui.tui.commands import KeyScope, bindings
from jobtui.tui.text.spans import CURSOR, IDLE_CURSOR, Line, TextRole, line_width, width_of
from jobtui.tui.textual_ext.render import QuantizedScrollView, use_borderless_cache
from jobtui.tui.widgets.base import StyledWidget
from jobtui.tui.widgets.table_layout import (
    GAP,
    GUTTER,
    UNSORTED,
    Column,
    PlacedColumn,
    RowPainter,
    place_columns,
)

# painted rows that are cached: a few pages
_MAX_PAINTED = 512


UNREAD = 0
"""The key of a row that could not be read."""


class Table(QuantizedScrollView, StyledWidget, can_focus=True):
    """A table. Call `repaint_rows` for changes in place, `reload_rows` after others.

    `moves`: the keys that move the cursor, each with the function that moves it.
    `is_following`: the cursor stays on the first row, whichever that is; moving it to another row ends this.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.TABLE)]

    class Moved(Message):
        """The cursor has moved to another row; the key is None if there is no row."""

        def __init__(self, table: Table, key: Hashable | None) -> None:
            super().__init__()
            self.table, self.key = table, key

        def can_replace(self, message: Message) -> bool:
            """Replace an earlier one that is still queued: only the last position matters."""
            return isinstance(message, Table.Moved) and message.table is self.table

    class Opened(Message):
        """The user opened a row, by enter or a double click."""

        def __init__(self, table: Table, key: Hashable) -> None:
            super().__init__()
            self.table, self.key = table, key

    class SortRequested(Message):
        """The user clicked the header of a sortable column."""

        def __init__(self, table: Table, column: str) -> None:
            super().__init__()
            self.table, self.column = table, column

    moves: Mapping[str, Callable[[Table], None]] = {}

    def __init__(self, columns: Sequence[Column], rows: Rows, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        use_borderless_cache(self)
        self.rows = rows
        self.sorting = UNSORTED
        self.is_following = False
        self._columns = tuple(columns)
        self._wanted = [max(column.usual_width, width_of(column.label)) for column in columns]
        self._placed: tuple[PlacedColumn, ...] = ()
        self._cursor = 0
        self._key: Hashable | None = None
        self._empty: Sequence[Line] = ()
        self._top_key: Hashable | None = None
        self._painted: dict[Hashable, tuple[object, Strip]] = {}
        self._keys_on_screen: dict[int, Hashable] = {}
        self._pressed: tuple[int, Hashable | None] = (0, None)
        self._clicked: Hashable | None = None
        self._background = Style()
        self._width = 0
        self._painter = RowPainter(self.role_style)

    # -- content ------------------------------------------------------------------------------------

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, including those that do not fit."""
        return self._columns

    @columns.setter
    def columns(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._wanted = [max(column.usual_width, width_of(column.label)) for column in columns]
        self._place_columns()
        self.refresh()

    @property
    def shown(self) -> tuple[PlacedColumn, ...]:
        """The columns that fit."""
        return self._placed

    @property
    def room(self) -> int:
        """The width of a row in cells, without the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def page(self) -> int:
        """The number of rows that fit below the header."""
        return max(1, self.size.height - 1)

    @property
    def top(self) -> int:
        """The index of the first row on screen."""
        return self.scroll_offset.y

    @property
    def cursor(self) -> int:
        """The index of the row under the cursor: 0 without rows, -1 while a search looks for it."""
        return self._cursor

    @property
    def cursor_key(self) -> Hashable | None:
        """The key of the row under the cursor."""
        return self._key

    def set_empty(self, lines: Sequence[Line]) -> None:
        """Set the text that is shown if there are no rows."""
        if lines != self._empty:
            self._empty = lines
            if not len(self.rows):
                self.refresh()

    # -- changes ------------------------------------------------------------------------------------

    def repaint_rows(self, keys: Collection[Hashable]) -> None:
        """Repaint rows that changed in place, if they are on screen."""
        count = len(self.rows)
        for index in range(self.top, min(count, self.top + self.page)):
            if self.rows.key_at(index) in keys:
                self._paint(index)

    def reload_rows(self) -> None:
        """Show the rows again after some were added, removed or reordered.

        The cursor stays on its key: a key press that acts on the row under the cursor must not hit another row
        because new ones arrived. The cursor's row keeps its position on the screen, with two exceptions. If the
        table is scrolled to its top, new rows there are shown as long as the cursor's row stays visible. If the
        user has scrolled away from the cursor, the first row on screen stays the first.
        """
        follow = self.is_following
        top, before, first = self.top, self._cursor, self._top_key
        settled, in_sight = before >= 0, top <= before < top + self.page
        self._resize()
        count = len(self.rows)
        found = self.rows.index_of(self._key) if self._key is not None and not follow else None
        self._cursor = 0 if follow else max(0, min(before, count - 1)) if found is None else found
        if not settled:
            self._scroll(max(0, min(self._cursor - self.page // 2, count - self.page)))
        elif not in_sight and not follow:
            index = self.rows.index_of(first) if first is not None and top > 0 else None
            self._scroll(top if index is None else index)
        else:
            if top > 0 or self._cursor >= self.page:
                self._scroll(max(0, top + self._cursor - before))
            self._reveal()
        self._record_top_key()
        self._update_cursor_key()
        self.refresh()

    def show_first_rows(self) -> None:
        """Show the first page of new rows while a search looks for the others.

        Call `reload_rows` when all rows are known: it scrolls to the cursor's row.
        """
        self._cursor = -1
        self._resize()
        self._scroll(0)
        self.refresh()

    @property
    def is_cursor_known(self) -> bool:
        """Whether the index of the cursor's row is known."""
        return self._cursor >= 0

    def go_to(self, index: int) -> None:
        """Move the cursor to the row at an index, or to the nearest row, and scroll to it."""
        index = max(0, min(index, len(self.rows) - 1))
        if index > 0:
            self.is_following = False  # at once: rows may arrive before the owner handles the message
        if index != self._cursor:
            before, self._cursor = self._cursor, index
            self._paint(before)
            self._paint(index)
        self._reveal()
        self._update_cursor_key()

    def go_to_key(self, key: Hashable) -> bool:
        """Move the cursor to a row by its key; return False if there is no such row."""
        index = self.rows.index_of(key)
        if index is None:
            return False
        self.go_to(index)
        return True

    def _update_cursor_key(self) -> None:
        key = self.rows.key_at(self._cursor) if len(self.rows) else None
        if key == UNREAD and self._key is not None:
            return  # the row cannot be read at the moment: the cursor keeps the key that it had
        if key != self._key:
            self._key = key
            self.post_message(self.Moved(self, key))

    def _resize(self) -> None:
        self.virtual_size = Size(max(1, self.room), len(self.rows) + 1)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Record the key of the first row on screen."""
        super().watch_scroll_y(old_value, new_value)
        self._record_top_key()

    def _record_top_key(self) -> None:
        self._top_key = self.rows.key_at(self.top) if self.top < len(self.rows) else None

    def _reveal(self) -> None:
        if self._cursor < self.top:
            self._scroll(self._cursor)
        elif self._cursor >= self.top + self.page:
            self._scroll(self._cursor - self.page + 1)

    def _scroll(self, top: int) -> None:
        if top != self.top:
            self.scroll_to(y=top, animate=False)

    def _paint(self, index: int) -> None:
        y = index - self.top + 1
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.room, 1))

    # -- painting -----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Show the first rows."""
        self._resize()
        self._update_cursor_key()

    def on_resize(self, event: events.Resize) -> None:
        """Lay the columns out for the new width, which may fit more or fewer of them."""
        # The compositor has already painted the new size, and cells of rows that came into view may be wider.
        self._place_columns_again()
        self._resize()
        self.call_after_refresh(self._reveal)

    def on_focus(self) -> None:
        """Paint the cursor as active."""
        self._paint(self._cursor)

    def on_blur(self) -> None:
        """Paint the cursor as idle."""
        self._paint(self._cursor)

    def _place_columns(self) -> None:
        self._painted.clear()
        self._placed = place_columns(self._columns, self._wanted, self.room - GUTTER - 1)

    def _place_columns_for_page(self) -> None:
        """Lay the columns out for the rows on screen, so that the first frame is complete."""
        self._place_columns()
        for index in range(self.top, min(self.top + self.page, len(self.rows))):
            self._widen(self.rows.cells(index, self._placed))
        self._place_columns()

    def _widen(self, cells: Sequence[Line | None]) -> None:
        for placed, cell in zip(self._placed, cells, strict=True):
            if cell is None:
                continue
            limit = placed.column.max_width
            wanted = self._wanted[placed.index]
            if wanted < limit and (size := line_width(cell)) > wanted:
                self._wanted[placed.index] = min(size, limit)
                self.call_later(self._place_columns_again)

    def _place_columns_again(self) -> None:
        before = self._placed
        self._place_columns()
        if before != self._placed:
            self.refresh()

    def notify_style_update(self) -> None:
        """Discard the painted rows: the theme has changed."""
        super().notify_style_update()
        self._painter.clear_styles()
        self._painted.clear()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Omit the filter for ANSI colors: themes that need it have RGB colors for all roles."""
        return [one for one in super().get_line_filters() if not isinstance(one, ANSIToTruecolor)]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Look up once what all lines have in common, and paint them."""
        if not self._placed:
            self._place_columns_for_page()  # Textual draws the first frame before it sends the first resize
        self._background, self._width = self.rich_style, self.room
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return a line of the widget: the header, a row, or a blank line."""
        if y == 0:
            return self._painter.header(self._placed, self.sorting, self._width, self._background)
        index = self.top + y - 1
        if index >= len(self.rows):
            self._keys_on_screen.pop(y, None)
            return self._blank(y - 2)
        key = self._keys_on_screen[y] = self.rows.key_at(index)
        if index == self._cursor:
            role = TextRole.CURSOR if self.has_focus else TextRole.CURSOR_IDLE
            sign = CURSOR if self.has_focus else IDLE_CURSOR
            return self._row(index, self._background + self.role_style(role), sign)
        token = self.rows.token(index)
        painted = self._painted.get(key)
        if painted is None or painted[0] != token:
            while len(self._painted) >= _MAX_PAINTED:
                del self._painted[next(iter(self._painted))]
            painted = self._painted[key] = token, self._row(index, self._background)
        return painted[1]

    def _row(self, index: int, background: Style, cursor: str = " ") -> Strip:
        cells = self.rows.cells(index, self._placed)
        self._widen(cells)
        gutter = self.rows.gutter(self.rows.key_at(index))
        return self._painter.row(gutter, cells, self._placed, self._width, background, cursor)

    def _blank(self, y: int) -> Strip:
        if len(self.rows) or not 0 <= y < len(self._empty):
            return Strip.blank(self._width, self._background)
        return self.strip(self._empty[y], self._width, self._background)

    # -- moving -------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Move the cursor at once: bubbling the key through all parents first would take longer."""
        move = self.moves.get(event.key)
        if move is not None:
            event.stop()
            move(self)

    def action_move(self, rows: int) -> None:
        """Move the cursor by a number of rows."""
        self.go_to(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by a number of pages, and scroll with it."""
        top = self.top
        self._scroll(max(0, min(top + pages * self.page, len(self.rows) - self.page)))
        self.go_to(self._cursor + pages * self.page)

    def action_first(self) -> None:
        """Go to the first row."""
        self.go_to(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self.go_to(len(self.rows) - 1)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self._key is not None:
            self.post_message(self.Opened(self, self._key))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Record the row under the pointer: others may come before the click is handled."""
        self._pressed = event.y, self._keys_on_screen.get(event.y)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row, open it by a double click, or sort by a header.

        The clicked row is the one that was painted there when the button was pressed. If it is gone, or the
        pointer has left its line, nothing happens. Both clicks of a double click must hit the same row.
        """
        event.stop()
        if event.y == 0:
            for placed in self._placed:
                if (
                    placed.column.sorts
                    and GUTTER + placed.x <= event.x < GUTTER + placed.x + placed.width + GAP
                ):
                    self.post_message(self.SortRequested(self, placed.column.key))
            return
        (line, key), before = self._pressed, self._clicked
        self._clicked = key if line == event.y and key != UNREAD else None
        if self._clicked is None:
            return
        index = self.top + event.y - 1
        if index < len(self.rows) and self.rows.key_at(index) == key:
            self.go_to(index)  # during a long sort, only these rows are known
        elif not self.go_to_key(key):
            return
        if event.chain == 2 and key == before:
            self.action_open()


class Rows(Protocol):
    """The rows of a table; every method must return within microseconds."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def key_at(self, index: int) -> Hashable:
        """Return the key of the row at an index."""
        ...

    def index_of(self, key: Hashable) -> int | None:
        """Return the index of the row with this key, None if there is no such row."""
        ...

    def cells(self, index: int, shown: Sequence[PlacedColumn]) -> Sequence[Line | None]:
        """Return the cells of a row, one for each shown column; None if the next cell covers it."""
        ...

    def gutter(self, key: Hashable) -> Line:
        """Return the mark in front of a row, one cell wide."""
        ...

    def token(self, index: int) -> object:
        """Return the values that a row is painted from; equal tokens mean equal rows."""
        ...
