"""The base classes of the dashboard's views, and their container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget
from typing_extensions import override

from jobtui.tui.commands import KeyCommand, KeyScope
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.inventory_rows import Cells, NamedRows, row_filter
from jobtui.tui.keymap import cursor_moves
from jobtui.tui.text.spans import Line, TextRole, fit_host, line_width, width_of, wrapped
from jobtui.tui.widgets.base import LinesView, OneLine
from jobtui.tui.widgets.filter_bar import FilterBar, FilterCounts
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import UNSORTED, Column, Sorting, next_sort_key


class ViewContainer(Container):
    """The container of all views, one of which is displayed."""

    BLANK = True


class DashboardView(Container):
    """A view that a key shows: the base of all views.

    The dashboard calls its methods: it passes changes to all views that were made, and asks the one that is
    shown about its focus, its keys and its titles.
    """

    BLANK = True
    scope: KeyScope = KeyScope.JOBS
    title: str = ""
    ROW_COMMANDS: ClassVar[frozenset[str]] = frozenset()
    """The ids of the commands that act on the row under the cursor."""
    MAIN_KEYS: ClassVar[Sequence[str]] = ()
    """The ids of the commands that a narrow key line shows first, the most important one at the front."""

    class StatusChanged(Message):
        """Something that the header or the footer shows has changed."""

    def __init__(
        self,
        context: Context,
        host: DashboardHost,
        *,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.context = context
        self._host = host

    def on_batch(self, batch: Batch) -> None:
        """Show what changed; called while the view is hidden, too."""

    def on_log(self) -> None:
        """Show a new entry of the log."""

    def tick(self) -> None:
        """Update what changes with time; called once a second."""

    def on_overview(self) -> None:
        """Show a new overview of spaces and hosts."""

    def go_back(self) -> bool:
        """Undo one step for esc; return whether there was one."""
        return False

    @property
    def current(self) -> str | None:
        """The name of the row under the cursor, None if there is none."""
        return None

    def footer_title(self, command: KeyCommand) -> str | None:
        """Return the footer's title for a command now, None if its key would do nothing."""
        needs_row = command.id in self.ROW_COMMANDS
        return None if needs_row and self.current is None else command.title

    @property
    def main_keys(self) -> Sequence[str]:
        """The `MAIN_KEYS` in the current state."""
        return self.MAIN_KEYS

    def why_unavailable(self, command: KeyCommand) -> str:
        """Return why a command of the view's scope cannot be run now."""
        return "nothing here to apply it to"

    @property
    def back_title(self) -> str:
        """The effect of esc in the view, as a title of its key; "" if esc leaves the view."""
        return ""

    @property
    def can_look(self) -> bool:
        """Whether the look key, which fetches stats of other programs' spaces, has an effect."""
        return False

    @property
    def is_typing(self) -> bool:
        """Whether the user types in the view."""
        return False

    def cancel_edit(self) -> None:
        """Discard the text that is being typed in the view."""

    @property
    def focus_target(self) -> Widget:
        """The widget that has the focus when the view is shown."""
        raise NotImplementedError

    def space_in_view(self) -> str | None:
        """Return the space whose data the view shows; None if there is no single one."""
        return None


class RuleTitle(OneLine):
    """A horizontal rule with a title in it."""

    _text = ""

    def show(self, text: str) -> None:
        """Show this title."""
        if text != self._text:
            self._text = text
            self.refresh()

    @override
    def line(self, width: int) -> Line:
        text: Line = ((fit_host(self._text, min(width_of(self._text), width - 4)), TextRole.STRONG),)
        return (("─ ", TextRole.RULE), *text, (" " + "─" * (width - 3 - line_width(text)), TextRole.RULE))


class TableView(DashboardView):
    """The base of views with a table of named rows and a detail of the current one below.

    A subclass passes all its rows to `show_rows` in `fill`, and shows the detail in `show_detail`. `/` filters
    the rows; columns that sort do so by their keys and by a click.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    SORTING: ClassVar[Sorting] = UNSORTED
    """The order at first."""

    WRITING_ACTIONS: ClassVar[frozenset[str]] = frozenset()
    """The actions that a reader does not have."""

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id, classes="table-view")
        self.rows = NamedRows()
        self.table = Table(self.COLUMNS, self.rows)
        self.table.moves = cursor_moves(context.keymap)
        self.table.sorting = self.SORTING
        self.title_line = RuleTitle()
        self.body = LinesView()
        self._empty: Line = ()
        self._problem = ""
        self.filter_text = ""
        self._earlier: list[str] = []
        self.filter_bar = FilterBar(
            self._keep_filter,
            self._leave_filter,
            self._complete,
            lambda: self._earlier,
            "words  !word  column:word",
        )

    @override
    def compose(self) -> ComposeResult:
        yield self.filter_bar
        yield self.table
        yield self.title_line
        yield self.body

    # -- rows ---------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Pass all rows to `show_rows`, and show the detail."""
        raise NotImplementedError

    def show_rows(self, rows: Sequence[tuple[str, Cells]], empty: str, role: TextRole = TextRole.MUTED) -> None:
        """Show those of the rows that pass the filter, and `empty` if there are none at all."""
        self.rows.show(rows)
        if rows and not len(self.rows):
            empty = f"None of the {len(rows)} passes the filter {self.filter_text}; esc drops it"
            role = TextRole.MUTED
        # the header, all rows and a blank one: the detail does not move when a filter hides rows
        self.table.styles.max_height = len(rows) + 2 if rows else None
        self._empty = ((f"  {empty}", role),)
        self._wrap_empty()
        self.table.reload_rows()
        self.filter_bar.show(FilterCounts(self.filter_text, len(self.rows), self.rows.total))

    def set_problem(self, problem: str) -> None:
        """Set why the rows could not be fetched, "" if they could; report it if older rows stay."""
        if problem and problem != self._problem and self.rows.total:
            self._host.show_toast(problem, "error")
        self._problem = problem

    def _wrap_empty(self) -> None:
        # a narrow terminal must not cut off what to do; the width is 0 before the first layout
        self.table.set_empty(tuple(wrapped(self._empty, max(20, self.size.width - 2), hang=2)))

    @property
    @override
    def current(self) -> str | None:
        key = self.table.cursor_key
        return key if isinstance(key, str) else None

    @override
    def footer_title(self, command: KeyCommand) -> str | None:
        if command.id.endswith("_filter") and not self.rows.total and not self.filter_text:
            return None
        return super().footer_title(command)

    def show_detail(self) -> None:
        """Show the detail of the row under the cursor."""
        raise NotImplementedError

    def select_row(self) -> None:
        """Show the detail of the row that the cursor has moved to."""
        self.show_detail()

    def on_table_moved(self, message: Table.Moved) -> None:
        """Show the detail of the row that the cursor is on now, from its top."""
        message.stop()
        self.body.scroll_home(animate=False)
        self.select_row()
        self.post_message(self.StatusChanged())

    def on_resize(self) -> None:
        """Lay the texts out for the new width."""
        self._wrap_empty()
        self.show_detail()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the actions that write from a reader."""
        return self.context.client.writable if action in self.WRITING_ACTIONS else True

    # -- order --------------------------------------------------------------------------------------

    def sort_by(self, column: str) -> None:
        """Sort by a column; if it is the current one, reverse the order."""
        self.table.sorting = self.table.sorting.by(column, descending=column != self.COLUMNS[0].key)
        self.fill()

    def on_table_sort_requested(self, message: Table.SortRequested) -> None:
        """Sort by the column whose header was clicked."""
        message.stop()
        self.sort_by(message.column)

    def action_sort_by(self, by: int) -> None:
        """Sort by the next sortable column."""
        key = next_sort_key(self.table.shown, self.table.sorting.key, by)
        if key is not None:
            self.sort_by(key)

    def action_sort_column(self, column: str) -> None:
        """Sort by this column; if it is the current one, reverse the order."""
        self.sort_by(column)

    def action_sort_reverse(self) -> None:
        """Reverse the order."""
        self.sort_by(self.table.sorting.key)

    # -- filter -------------------------------------------------------------------------------------

    def set_filter(self, text: str) -> None:
        """Replace the filter; an empty text shows all rows."""
        self.filter_text = text
        self.rows.filter = row_filter(text)
        self.fill()
        self.post_message(self.StatusChanged())

    @property
    @override
    def focus_target(self) -> Widget:
        return self.filter_bar.field or self.table

    @property
    @override
    def is_typing(self) -> bool:
        return self.filter_bar.is_typing

    @override
    def cancel_edit(self) -> None:
        self.filter_bar.drop()

    @override
    def go_back(self) -> bool:
        if not self.filter_text:
            return False
        self.set_filter("")
        return True

    @property
    @override
    def back_title(self) -> str:
        return "drop filter" if self.filter_text else ""

    def action_scroll_pane(self, by: int) -> None:
        """Scroll the pane below the table by lines; the cursor stays."""
        self.body.scroll_relative(y=by, animate=False)

    async def action_filter(self) -> None:
        """Edit the filter."""
        await self.filter_bar.open(self.filter_text)

    def on_filter_bar_edited(self, message: FilterBar.Edited) -> None:
        """Filter while the user types."""
        message.stop()
        text = self.filter_bar.text
        if text is not None and text != self.filter_text:
            self.set_filter(text)

    def _keep_filter(self, text: str) -> None:
        if text != self.filter_text:
            self.set_filter(text)
        if text:
            self._earlier = [*(other for other in self._earlier if other != text), text]

    def _leave_filter(self) -> None:
        self.screen.set_focus(self.table)

    def _complete(self, text: str) -> str | None:
        """Return the text with its last word completed to a row's name, None if there is none."""
        typed = text.rpartition(" ")[2].removeprefix("!")
        names = (self.rows.key_at(index) for index in range(len(self.rows)))
        found = next((name for name in names if typed and name.startswith(typed) and name != typed), None)
        return None if found is None or " " in found else text + found[len(typed) :]
