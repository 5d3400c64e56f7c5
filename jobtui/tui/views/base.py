"""The base class of the dashboard's views, and their container."""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from jobtui.tui.commands import KeyCommand, KeyScope
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.inventory_rows import Cells, InventoryRows, row_filter
from jobtui.tui.text.spans import Line, TextRole, wrapped
from jobtui.tui.widgets.filter_bar import FilterCounts, FilterLine
from jobtui.tui.widgets.table import Table


class ViewContainer(Container):
    """The container of all views, of which one is displayed."""

    BLANK = True


class DashboardView(Container):
    """A view that a key shows. It receives changes, and has a focus target and a key scope."""

    BLANK = True
    scope: KeyScope = KeyScope.JOBS
    title: str = ""

    class StatusChanged(Message):
        """Something that the header or the footer shows has changed."""

    class Notify(Message):
        """A text that the user should read."""

        def __init__(self, text: str, severity: str) -> None:
            super().__init__()
            self.text, self.severity = text, severity

    def on_batch(self, batch: Batch) -> None:
        """Show that jobs changed."""

    def on_log(self) -> None:
        """Show a new entry of the log."""

    def tick(self) -> None:
        """Update what changes with time; called once a second."""

    def on_overview(self) -> None:
        """Show a new overview of spaces and hosts."""

    def go_back(self) -> bool:
        """Undo one step for esc; return whether there was one."""
        return False

    def footer_title(self, command: KeyCommand) -> str | None:
        """Return the footer's title for a command in the current state, None if its key would do nothing."""
        return command.title

    def why_unavailable(self, command: KeyCommand) -> str:
        """Return why a command of the view's scope cannot be run now."""
        return "nothing here to apply it to"

    @property
    def way_out(self) -> str:
        """Return the title of the first step that esc undoes in the view, "" if esc leaves the view."""
        return ""

    @property
    def can_look(self) -> bool:
        """Whether the look key would open an adopted space."""
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


class FilterableView(DashboardView):
    """The base of views with a table of named rows, which `/` filters.

    A subclass mounts `filter_line` above its table, passes all rows to `show_rows`, and overrides `refill`.
    """

    rows: InventoryRows
    table: Table

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.filter_text = ""
        self._earlier: list[str] = []
        self.filter_line = FilterLine(
            self._keep_filter,
            self._leave_filter,
            self._complete,
            lambda: self._earlier,
            "words  !word  column:word",
        )

    def refill(self) -> None:
        """Pass the rows that the view has to `show_rows` again."""
        raise NotImplementedError

    def show_rows(self, rows: Sequence[tuple[str, Cells]], empty: Sequence[Line]) -> None:
        """Show those of the rows that pass the filter, and `empty` if there are none at all."""
        self.rows.show(rows)
        if rows and not len(self.rows):
            text = f"  None of the {len(rows)} passes the filter {self.filter_text}; esc drops it"
            empty = wrapped(((text, TextRole.MUTED),), max(20, self.size.width - 2), hang=2)
        self.table.set_empty(tuple(empty))
        self.table.reload_rows()
        self.filter_line.show(FilterCounts(self.filter_text, len(self.rows), self.rows.total))

    def set_filter(self, text: str) -> None:
        """Replace the filter; an empty text shows all rows."""
        self.filter_text = text
        self.rows.filter = row_filter(text)
        self.refill()
        self.post_message(self.StatusChanged())

    @property
    def focus_target(self) -> Widget:
        """The filter while it is being typed, else the table."""
        return self.filter_line.field or self.table

    @property
    def is_typing(self) -> bool:
        """Whether a filter is being typed."""
        return self.filter_line.typing

    def cancel_edit(self) -> None:
        """Restore the filter from before."""
        self.filter_line.drop()

    def go_back(self) -> bool:
        """Drop the filter, if there is one."""
        if not self.filter_text:
            return False
        self.set_filter("")
        return True

    @property
    def way_out(self) -> str:
        """Return `drop filter` while there is one."""
        return "drop filter" if self.filter_text else ""

    async def action_filter(self) -> None:
        """Edit the filter."""
        await self.filter_line.open(self.filter_text)

    def on_filter_line_edited(self, message: FilterLine.Edited) -> None:
        """Filter while the user types."""
        message.stop()
        text = self.filter_line.text
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
        """Return the text with its last word completed to a name in the table, None if there is none."""
        typed = text.rpartition(" ")[2].removeprefix("!")
        names = (self.rows.key_at(index) for index in range(len(self.rows)))
        found = next((name for name in names if typed and name.startswith(typed) and name != typed), None)
        return None if found is None or " " in found else text + found[len(typed) :]
