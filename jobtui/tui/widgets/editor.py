"""A few lines to type in: coloured as they grow, hostile characters made visible.

Imported when the command bar is first used: Textual's text area is a tenth of a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import TextArea

from jobtui.formatting import single_cells
from jobtui.tui.text import width_of
from jobtui.tui.thinking import Tint
from jobtui.tui.widgets.inked import ink_of


def _edit(keys: str, action: str) -> Binding:
    return Binding(keys, action, show=False)


class Editor(TextArea, inherit_bindings=False):
    """A text area without the keys that mean something else here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        _edit("left", "cursor_left"),
        _edit("right", "cursor_right"),
        _edit("ctrl+left", "cursor_word_left"),
        _edit("ctrl+right", "cursor_word_right"),
        _edit("home,ctrl+a", "cursor_line_start"),
        _edit("end,ctrl+e", "cursor_line_end"),
        _edit("shift+left", "cursor_left(True)"),
        _edit("shift+right", "cursor_right(True)"),
        _edit("ctrl+shift+left", "cursor_word_left(True)"),
        _edit("ctrl+shift+right", "cursor_word_right(True)"),
        _edit("shift+home", "cursor_line_start(True)"),
        _edit("shift+end", "cursor_line_end(True)"),
        _edit("shift+up", "cursor_up(True)"),
        _edit("shift+down", "cursor_down(True)"),
        _edit("backspace", "delete_left"),
        _edit("delete,ctrl+d", "delete_right"),
        _edit("ctrl+w,ctrl+backspace,alt+backspace", "delete_word_left"),
        _edit("ctrl+u", "delete_to_start_of_line"),
        _edit("ctrl+k", "delete_to_end_of_line_or_delete_line"),
        _edit("ctrl+x", "cut"),
        _edit("ctrl+v", "paste"),
        _edit("ctrl+underscore", "undo"),
        _edit("ctrl+y", "redo"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            tab_behavior="focus",
        )
        self.cursor_blink = False
        self._tints: tuple[Tint, ...] = ()
        self._ahead = ""

    @property
    def caret(self) -> int:
        """Where the cursor is in the text, in characters."""
        row, column = self.cursor_location
        return self._begin(row) + column

    def column_of(self, place: int) -> int | None:
        """The cell, within the widget, of a character of the text; None where it is not in the last line."""
        row = self.text.count("\n", 0, place)
        if row != self.document.line_count - 1 or self.wrapped_document.height > self.document.line_count:
            return None
        return sum(width_of(_shown(character)) for character in self.text[self._begin(row) : place])

    def put(self, text: str, at: int | None = None) -> None:
        """Replace the whole text; the cursor goes to `at`, or to its end. It can be undone."""
        self.settle()
        self.replace(text, (0, 0), self.document.end)
        before = text[:at] if at is not None else text
        self.move_cursor((before.count("\n"), len(before) - before.rfind("\n") - 1))

    def tint(self, tints: Sequence[Tint]) -> None:
        """Colour the text."""
        if tuple(tints) != self._tints:
            self._tints = tuple(tints)
            self._line_cache.clear()
            self.refresh()

    def get_line(self, line_index: int) -> Text:
        """Textual's hook: a line as it is painted, each character standing for one of the text's."""
        raw = self.document.get_line(line_index)
        shown = raw if raw.isascii() and raw.isprintable() else "".join(map(_shown, raw))
        line = Text(shown, end="", no_wrap=True)
        begin = self._begin(line_index)
        for tint in self._tints:
            start, end = tint.start - begin, tint.end - begin
            if end > 0 and start < len(raw):
                line.stylize(ink_of(self, tint.ink), max(0, start), min(end, len(raw)))
        return line

    def _begin(self, row: int) -> int:
        return sum(len(self.document.get_line(index)) + 1 for index in range(row))

    # -- typing -------------------------------------------------------------------------------------

    async def take_key(self, event: events.Key) -> bool:
        """Characters are taken in; many that come in one go, all at once."""
        if event.is_printable and event.character is not None:
            if not self._ahead:
                self.call_later(self.settle)
            self._ahead += event.character
            return True
        self.settle()
        return False

    def take_text(self, text: str) -> None:
        """Take in what was pasted."""
        self._ahead += text.replace("\r\n", "\n").replace("\r", "\n")
        self.settle()

    def settle(self) -> None:
        """Have the characters in the text that were typed so far."""
        ahead, self._ahead = self._ahead, ""
        if ahead:
            result = self._replace_via_keyboard(ahead, *self.selection)
            if result is not None:
                self.move_cursor(result.end_location)


def _shown(character: str) -> str:
    shown = single_cells(character)
    return shown if len(shown) == 1 else "\N{DOTTED CIRCLE}"
