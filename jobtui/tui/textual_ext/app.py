"""The parts of Textual's app that have no public interface. Written for Textual 8.2.8.

`test_textual_ext.py` checks that they are there. None is for speed; each docstring says what it is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.segment import Segments
from rich.text import Text
from textual.app import App, ReturnType
from textual.filter import Monochrome, NoColor
from textual.notifications import Notification
from textual.widgets._toast import ToastRack
from typing_extensions import override

if TYPE_CHECKING:
    from textual.widgets import TextArea  # for types only: importing it takes a tenth of the time of a start


class ExtendedApp(App[ReturnType], inherit_bindings=False):
    """An app with access to its exit, its terminal, its toasts, and the report of a crash."""

    @property
    def is_exiting(self) -> bool:
        """Whether `exit` was called. Private: `App._exit`.

        Reason: a key must not start anything after it.
        """
        return self._exit

    @property
    def has_started(self) -> bool:
        """Whether the app has a terminal. Private: `App._driver`.

        Reason: before it, styles are not applied.
        """
        return self._driver is not None

    def write_to_terminal(self, sequence: str) -> None:
        """Write an escape sequence between two frames; nothing before the start.

        Private: `App._driver`. Reason: Textual writes no notices and no clipboard that passes through tmux.
        """
        if self._driver is not None:
            self._driver.write(sequence)

    @property
    def bytes_written(self) -> int:
        """The bytes written to the terminal so far. Private: `App._driver`.

        Reason: Textual does not count them. It is 0 without a terminal.
        """
        return getattr(self._driver, "bytes_written", 0)

    def release_terminal(self) -> None:
        """Reset what was set outside the screen; called before the shell gets the terminal back."""

    def store_clipboard(self, text: str) -> None:
        """Set the text that `App.clipboard` returns.

        Private: `App._clipboard`. Reason: Textual's `copy_to_clipboard` stores and writes, with bare OSC 52.
        """
        self._clipboard = text

    def keep_gray(self) -> None:
        """Drop all colors for NO_COLOR, grays included, and keep attributes.

        Private: `App._filters`. Reason: Textual turns colors into grays, which are colors, too.
        """
        self._filters = [NoColor() if isinstance(each, Monochrome) else each for each in self._filters]

    # -- a crash ------------------------------------------------------------------------------------

    def describe_crash(self, error: BaseException) -> str:
        """Return the text for the terminal after a crash, in place of Textual's traceback."""
        raise NotImplementedError

    @override
    def _fatal_error(self) -> None:
        # Private: this method, `_exception`, `_exit_renderables`, `_close_messages_no_wait`. Reason: Textual
        # prints a traceback with local variables, which is of no use to the user.
        error = self._exception
        if error is None or self.is_headless:
            super()._fatal_error()
            return
        text = Text(self.describe_crash(error))
        self._exit_renderables.append(Segments(self.console.render(text, self.console.options)))
        self._close_messages_no_wait()

    # -- toasts -------------------------------------------------------------------------------------

    @property
    def toasts(self) -> Sequence[Notification]:
        """The toasts on screen, oldest first. Private: `App._notifications`."""
        return list(self._notifications)

    def add_toast(self, notification: Notification) -> None:
        """Show a toast.

        Private: `App._notifications`, `_refresh_notifications`. Reason: `App.notify` shows it later, by a
        message, and a toast that it replaces would be removed before it.
        """
        self._notifications.add(notification)
        self._refresh_notifications()

    def remove_toast(self, notification: Notification) -> None:
        """Remove a toast before its time.

        Private: `App._unnotify`, `ToastRack._toast_id`. Reason: Textual removes the toast, but leaves the
        widget around it on screen, one line high.
        """
        self._unnotify(notification, refresh=False)
        for screen in self.screen_stack:
            screen.query(f"#{ToastRack._toast_id(notification)}").remove()


def clear_line_cache(area: TextArea) -> None:
    """Discard the painted lines of a text area.

    Private: `TextArea._line_cache`. Reason: the area caches lines by their text, and so keeps showing the old
    colors of a line whose highlights changed.
    """
    area._line_cache.clear()
