"""The base class of the dashboard's views, and their container."""

from __future__ import annotations

from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from jobtui.tui.commands import KeyCommand, KeyScope
from jobtui.tui.data.feed import Batch


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
