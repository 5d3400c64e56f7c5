"""What stands instead of everything else where nothing sensible fits."""

from __future__ import annotations

from typing import Any

from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget

from jobtui.tui.lines import Ink
from jobtui.tui.text import wrap
from jobtui.tui.widgets.lines_view import LinesView

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
            self.show([((line, Ink.WARNING),) for line in wrap(text, size.width)])
        elif was and screen.focused is None:
            screen.call_after_refresh(self.give_focus_back, screen)

    def give_focus_back(self, screen: Screen[Any]) -> None:
        """Focus the widget again that had the focus, unless it is gone or the focus is elsewhere by now."""
        widget, self._focused = self._focused, None
        if screen.focused is None and widget is not None and widget.is_attached:
            screen.set_focus(widget)
