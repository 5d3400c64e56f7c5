"""The view of the log (key `l`): notifications, ends of jobs, and lines of the storage."""

from __future__ import annotations

from heapq import merge
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from typing_extensions import override

from jobtui.formatting import format_recent_time, to_local
from jobtui.tui.commands import KeyCommand, KeyScope, bindings
from jobtui.tui.context import Context, DashboardHost, LogEntry
from jobtui.tui.text.spans import Line, TextRole, plain, wrap
from jobtui.tui.views.base import DashboardView
from jobtui.tui.widgets.base import LinesView

_ROLES = {"error": TextRole.FAILED, "warning": TextRole.WARNING, "log": TextRole.MUTED}
_EMPTY = "Nothing was logged yet: notifications, ends of jobs and lines of the storage will be here."
_MAX_LINES = 120  # of one entry: the storage logs up to 40 lines for a task, and a narrow terminal wraps them


class LogBody(LinesView, can_focus=True):
    """The lines of the log; the newest stays in sight unless the user scrolls away from it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.LOG)]

    class CopyRequested(Message):
        """The user wants to copy the log."""

    def action_line(self, by: int) -> None:
        """Scroll by lines."""
        self.scroll_relative(y=by, animate=False)

    def action_copy_log(self) -> None:
        """Ask the view to copy the log."""
        self.post_message(self.CopyRequested())


class LogView(DashboardView):
    """The view of the log."""

    scope = KeyScope.LOG
    title = "log"
    MAIN_KEYS = ("log_copy",)

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id)
        self.body = LogBody()
        self._shown: object = None
        self._max_scroll = 0

    @override
    def compose(self) -> ComposeResult:
        yield self.body

    def on_mount(self) -> None:
        """Show what was logged so far."""
        self._fill()

    def on_resize(self) -> None:
        """Lay the lines out for the new width."""
        self._fill()

    @property
    @override
    def focus_target(self) -> Widget:
        return self.body

    @override
    def footer_title(self, command: KeyCommand) -> str | None:
        is_empty = not (self.context.log or self.context.storage_log)
        return None if command.id == "log_copy" and is_empty else super().footer_title(command)

    @override
    def on_log(self) -> None:
        if self.display:
            self._fill()
            self.post_message(self.StatusChanged())

    @override
    def tick(self) -> None:
        # laying out the whole log takes 75 ms, in which no key is handled
        if self._newest() != self._shown:
            self._fill()

    def _newest(self) -> object:
        """Return the newest entries, and the day: the times of another day have a date."""
        logs = (self.context.log, self.context.storage_log)
        return [log[-1] for log in logs if log], to_local(self.context.now()).date()

    def _fill(self) -> None:
        self._shown = self._newest()
        # after a resize, the end of the last fill counts
        at_end = self.body.scroll_offset.y >= min(self._max_scroll, self.body.max_scroll_y)
        width = self.body.inner_width - 1  # a blank before the scrollbar
        entries = merge(self.context.log, self.context.storage_log, key=lambda entry: entry.at)
        lines = [line for entry in entries for line in self._lines(entry, width)]
        self.body.show(lines or [((f" {text}", TextRole.MUTED),) for text in wrap(_EMPTY, width - 2)])
        self._max_scroll = self.body.max_scroll_y
        if at_end:
            self.body.scroll_end(animate=False)

    def _lines(self, entry: LogEntry, width: int) -> list[Line]:
        context = self.context
        time = format_recent_time(entry.at, context.now(), context.settings.date_order)
        head = f" {time}  "
        texts = wrap(entry.text, max(10, width - len(head)), _MAX_LINES)
        role = _ROLES.get(entry.severity, TextRole.PLAIN)
        return [
            ((head if not row else " " * len(head), TextRole.MUTED), (text, role))
            for row, text in enumerate(texts)
        ]

    def on_log_body_copy_requested(self, message: LogBody.CopyRequested) -> None:
        """Copy the whole log."""
        message.stop()
        if self.context.log or self.context.storage_log:
            self._host.copy("\n".join(plain(line).strip() for line in self.body.lines))
            self._host.show_toast("copied the log")
