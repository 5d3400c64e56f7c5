"""The texts around the command bar's input: before it, instead of it, and at its right."""

from __future__ import annotations

from textual.geometry import Size
from typing_extensions import override

from jobtui.tui.text.spans import Line, TextRole, line_width
from jobtui.tui.widgets.base import OneLine


class Prompt(OneLine):
    """The text before the input: `local[nba]> `, or what ctrl+r searches for."""

    _text: Line = ()

    def show(self, line: Line) -> None:
        """Replace the text."""
        if line != self._text:
            self._text = line
            self.refresh(layout=True)

    @override
    def line(self, width: int) -> Line:
        return self._text

    @override
    def get_content_width(self, container: Size, viewport: Size) -> int:
        # half of the bar is left for the input
        return min(line_width(self._text), max(8, container.width // 2))


class PlaceholderText(OneLine):
    """The text in place of the input until it is first used."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    @override
    def line(self, width: int) -> Line:
        return ((self._text, TextRole.MUTED),)


class Usage(OneLine):
    """The form of the statement that is being typed, at the right of the bar."""

    _text = ""

    def show(self, text: str) -> None:
        """Replace the text; hide the widget if it is empty."""
        if text != self._text:
            self._text = text
            self.display = bool(text)
            self.styles.width = len(text) + 2
            self.refresh(layout=True)

    @override
    def line(self, width: int) -> Line:
        return ((f" {self._text} ", TextRole.MUTED),)
