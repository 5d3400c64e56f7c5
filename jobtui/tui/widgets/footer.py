"""The footer with the keys that work now, toasts, and the text of a small terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from textual import events
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from typing_extensions import override

from jobtui.tui.commands import KeyCommand
from jobtui.tui.keymap import Keymap
from jobtui.tui.text.spans import Line, Span, TextRole, line_width, wrap
from jobtui.tui.widgets.base import LinesView, OneLine

Severity = Literal["information", "warning", "error"]
T = TypeVar("T")

_SECONDS: dict[Severity, float] = {"information": 3.0, "warning": 4.0, "error": 6.0}
_MAX_WIDTH = 66
_BORDER_CELLS = 4
"""Cells of the sign at a toast's left, and of a blank at either side."""
_LINES_PER_TOAST_LINE = 8
"""Lines of a screen for each line of a toast."""


class Toast(msgspec.Struct, frozen=True):
    """A short text that is shown for some seconds."""

    text: str
    severity: Severity
    seconds: float


def fit_toast(text: str, severity: str, width: int, height: int) -> Toast:
    """Return a toast with as much of the text as a screen of this size has room for.

    The log and the results of the command bar have all of it.
    """
    level: Severity = severity if severity in ("information", "error") else "warning"  # type: ignore[assignment]
    lines = wrap(text, min(_MAX_WIDTH, width - _BORDER_CELLS), max(1, height // _LINES_PER_TOAST_LINE - 1))
    return Toast("\n".join(lines), level, _SECONDS[level])


def most_toasts(height: int) -> int:
    """Return how many toasts may be shown at once."""
    return 1 if height < 24 else 2


def surplus_toasts(shown: Sequence[T], height: int) -> Sequence[T]:
    """Return the toasts to remove before another one; `shown` are all, the oldest first."""
    return shown[: max(0, len(shown) + 1 - most_toasts(height))]


# the keys of help and of leaving come first, then the main keys of the view. The key of the command bar may
# follow them, as the bar names it, and so may "quit": esc leads out of a view
_FIRST = ("help", "back", "leave", "filter_drop")
_THEN = ("bar", "quit", "open", "card_open", "filter")
_WAYS_OUT = ("leave", "filter_drop", "back")


def key_commands(
    commands: Sequence[KeyCommand], keymap: Keymap, width: int, main: Sequence[str] = ()
) -> list[KeyCommand]:
    """Return the most important commands that fit, in the order of their `footer`.

    Args:
        commands: The commands that have an effect now.
        keymap: Their keys.
        width: The cells that there are.
        main: The ids of the view's main commands, the most important first.
    """
    ranked = (*_FIRST, *main, *_THEN)

    def rank(command: KeyCommand) -> tuple[int, int]:
        return ranked.index(command.id) if command.id in ranked else len(ranked), command.footer

    shown: list[KeyCommand] = []
    for command in sorted((command for command in commands if command.footer), key=rank):
        longer = sorted((*shown, command), key=lambda command: command.footer)
        if line_width(_keys(longer, keymap)) <= width:
            shown = longer
    return shown


def key_line(commands: Sequence[KeyCommand], keymap: Keymap, width: int, main: Sequence[str] = ()) -> Line:
    """Return the keys and titles of the most important commands, see `key_commands`."""
    return _keys(key_commands(commands, keymap, width, main), keymap)


def _keys(commands: Sequence[KeyCommand], keymap: Keymap) -> Line:
    pieces: list[Span] = []
    for command in commands:
        pieces += [(f" {keymap.shown(command)}", TextRole.KEY), (f" {command.title} ", TextRole.BAR)]
    return tuple(pieces)


class KeyBar(OneLine):
    """The line of keys, or a remark and the way out in its place; a click on a key presses it."""

    def __init__(self, keymap: Keymap, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._keymap = keymap
        self._commands: tuple[KeyCommand, ...] = ()
        self._main: Sequence[str] = ()
        self._remark: Line = ()

    def show(self, commands: Sequence[KeyCommand], main: Sequence[str] = ()) -> None:
        """Show the keys of these commands; those with the ids in `main` also in a narrow terminal."""
        if (tuple(commands), main) != (self._commands, self._main):
            self._commands, self._main = tuple(commands), main
            self.refresh()

    @property
    def remark(self) -> Line:
        """The text in place of all keys but the way out; if it is empty, the keys are shown."""
        return self._remark

    @remark.setter
    def remark(self, line: Line) -> None:
        if line != self._remark:
            self._remark = line
            self.refresh()

    @override
    def line(self, width: int) -> Line:
        shown = _keys(self._shown(width), self._keymap)
        if not self._remark:
            return shown
        gap = width - line_width(self._remark) - line_width(shown)
        return (*self._remark, (" " * gap, TextRole.PLAIN), *shown) if shown else self._remark

    def _shown(self, width: int) -> list[KeyCommand]:
        """Return the commands whose keys are shown; next to a remark, at most the way out."""
        if not self._remark:
            return key_commands(self._commands, self._keymap, width, self._main)
        ways_out = sorted(
            (command for command in self._commands if command.id in _WAYS_OUT),
            key=lambda command: _WAYS_OUT.index(command.id),
        )
        return key_commands(ways_out[:1], self._keymap, width - line_width(self._remark) - 1)

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        event.stop()
        if event.button != 1:
            return
        shown = self._shown(self.size.width)
        end = self.size.width - line_width(_keys(shown, self._keymap)) if self._remark else 0
        if event.x < end:
            return
        for command in shown:
            end += line_width(_keys((command,), self._keymap))
            if event.x < end:
                self.app.simulate_key(self._keymap.keys(command)[0])
                return


MIN_SIZE = Size(40, 10)
"""The smallest terminal that the dashboard is shown in."""


class TooSmall(LinesView):
    """The text that replaces the dashboard in a terminal that is too small."""

    _focused: Widget | None = None

    def fit(self, screen: Screen[Any], size: Size) -> None:
        """Show or remove the text for the screen's new size."""
        was = screen.has_class("-too-small")
        small = size.width < MIN_SIZE.width or size.height < MIN_SIZE.height
        screen.set_class(small, "-too-small")
        if small:
            if not was:
                self._focused = screen.focused
            if self.parent is None:
                screen.mount(self)
            text = f"too small: {size.width}x{size.height}, needs {MIN_SIZE.width}x{MIN_SIZE.height}"
            self.show([((line, TextRole.WARNING),) for line in wrap(text, size.width)])
        elif was and screen.focused is None:
            screen.call_after_refresh(self.give_focus_back, screen)

    def give_focus_back(self, screen: Screen[Any]) -> None:
        """Focus the widget that had the focus, unless it is gone or another has it by now."""
        widget, self._focused = self._focused, None
        if screen.focused is None and widget is not None and widget.is_attached:
            screen.set_focus(widget)
