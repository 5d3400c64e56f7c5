"""What is said in passing: short, one or two at a time, and out of the way of what one answers or types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget

from jobtui.tui.commands import KeyCommand
from jobtui.tui.keymap import Keymap
from jobtui.tui.text.spans import Line, Span, TextRole, line_width, wrap
from jobtui.tui.widgets.base import LinesView, OneLine

Severity = Literal["information", "warning", "error"]
T = TypeVar("T")

_SECONDS: dict[Severity, float] = {"information": 3.0, "warning": 4.0, "error": 6.0}
_WIDEST = 66
# the sign at a toast's left, and a blank at either side
_AROUND = 4
# lines of a screen for each line of a toast
_LINES_A_LINE = 8


class Toast(msgspec.Struct, frozen=True):
    """What a toast says, how grave that is, and for how many seconds it stays."""

    text: str
    severity: Severity
    seconds: float


def toast(text: str, severity: str, width: int, height: int) -> Toast:
    """As much of the text as a screen of this size can spare; the Events tab and the results have all of it."""
    level: Severity = severity if severity in ("information", "error") else "warning"  # type: ignore[assignment]
    lines = wrap(text, min(_WIDEST, width - _AROUND), max(1, height // _LINES_A_LINE - 1))
    return Toast("\n".join(lines), level, _SECONDS[level])


def most(height: int) -> int:
    """How many toasts there may be at once."""
    return 1 if height < 24 else 2


def surplus(shown: Sequence[T], height: int) -> Sequence[T]:
    """Those of the toasts shown, oldest first, that must go for another one."""
    return shown[: max(0, len(shown) + 1 - most(height))]


# without these a user cannot find the others: they are dropped last, and the first one never
_KEPT = ("help", "bar", "quit", "open", "filter", "stop", "look", "space_look", "space_new")


def key_line(commands: Sequence[KeyCommand], keymap: Keymap, width: int) -> Line:
    """Keys and titles in the order of their `footer`; the last give way first, `_KEPT` after all others."""
    ranked = sorted((command for command in commands if command.footer), key=lambda command: command.footer)
    while ranked:
        line = _keys(ranked, keymap)
        if line_width(line) <= width:
            return line
        ranked.remove(max(ranked, key=_dispensable))
    return ()


def _dispensable(command: KeyCommand) -> tuple[int, int]:
    return _KEPT.index(command.id) if command.id in _KEPT else len(_KEPT), command.footer


def _keys(commands: Sequence[KeyCommand], keymap: Keymap) -> Line:
    pieces: list[Span] = []
    for command in commands:
        pieces += [(f" {keymap.shown(command)}", TextRole.KEY), (f" {command.title} ", TextRole.BAR)]
    return tuple(pieces)


class KeyBar(OneLine):
    """Shows keys; a remark, while there is one, goes before them."""

    def __init__(self, keymap: Keymap, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._keymap = keymap
        self._commands: tuple[KeyCommand, ...] = ()
        self._remark: Line = ()

    def show(self, commands: Sequence[KeyCommand]) -> None:
        """These commands work here."""
        if tuple(commands) != self._commands:
            self._commands = tuple(commands)
            self.refresh()

    @property
    def remark(self) -> Line:
        """What is said in place of the keys; empty: the keys are shown."""
        return self._remark

    @remark.setter
    def remark(self, line: Line) -> None:
        if line != self._remark:
            self._remark = line
            self.refresh()

    def line(self, width: int) -> Line:
        """The remark, or the keys."""
        return self._remark or key_line(self._commands, self._keymap, width)


# The message that replaces the dashboard in a terminal that is too small.
LEAST = Size(40, 10)


class TooSmall(LinesView):
    """Says how small it is; who had the focus has it again once there is room."""

    _focused: Widget | None = None

    def fit(self, screen: Screen[Any], size: Size) -> None:
        """The screen has this size now."""
        was = screen.has_class("-too-small")
        small = size.width < LEAST.width or size.height < LEAST.height
        screen.set_class(small, "-too-small")
        if small:
            if not was:
                self._focused = screen.focused
            if self.parent is None:
                screen.mount(self)
            text = f"too small: {size.width}x{size.height}, needs {LEAST.width}x{LEAST.height}"
            self.show([((line, TextRole.WARNING),) for line in wrap(text, size.width)])
        elif was and screen.focused is None:
            screen.call_after_refresh(self.give_focus_back, screen)

    def give_focus_back(self, screen: Screen[Any]) -> None:
        """Focus the widget again that had the focus, unless it is gone or the focus is elsewhere by now."""
        widget, self._focused = self._focused, None
        if screen.focused is None and widget is not None and widget.is_attached:
            screen.set_focus(widget)
