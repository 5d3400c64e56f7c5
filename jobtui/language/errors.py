"""The error of a text that is not a statement: mistake, position and correction."""

from __future__ import annotations

import re
from typing import Final

from jobtui.formatting import printable
from jobtui.language.identifiers import BYTE_ORDER_MARK

_LINE_END: Final = re.compile("[\r\n]")
_WIDTH: Final = 80


class StatementError(Exception):
    """A text that is not a list of statements. Nothing of it is executed.

    `str()` is the line of the text, carets under the wrong words, and the message.

    Attributes:
        message: The mistake and the correction, without the position; printable.
        text: The whole text.
        span: The first wrong character and one past the last; equal if something is missing.
        line, column: The start of the span, from 1, in characters.
        expected: The texts that a user could have typed there, empty if the error is another one.
        near: The near miss, None if there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        text: str,
        span: tuple[int, int],
        expected: tuple[str, ...] = (),
        near: str | None = None,
    ) -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.text = text
        self.span = span
        self.expected = expected
        self.near = near
        self.line, self.column = line_and_column(text, span[0])

    def __str__(self) -> str:
        return self.block()

    def block(self, width: int = _WIDTH) -> str:
        """Return the error as it is printed on a terminal of `width` cells.

        A longer line is cut around the caret. The text is made printable, and the carets are under the words
        even if these have wide characters.
        """
        before, words, after = self._around(max(width, 20))
        carets = " " * _cells(before) + "^" * max(1, _cells(words))
        return f"{before}{words}{after}\n{carets} syntax error at {self.line}:{self.column}: {self.message}"

    def _around(self, width: int) -> tuple[str, str, str]:
        """Return the line before, in and after the span, printable, in `width` - 1 cells."""
        start, end = self.span
        first = _line_start(self.text, start)
        if first == 0 and start > 0 and self.text.startswith(BYTE_ORDER_MARK):
            first = 1
        before = printable(self.text[max(first, start - width) : start])
        cut_left = first < start - width
        on_line = self.text[start : start + width]
        broken = _LINE_END.search(on_line)
        if broken is not None:
            on_line = on_line[: broken.start()]
        words = printable(on_line[: end - start])
        after = printable(on_line[end - start :])
        cut_right = broken is None and start + width < len(self.text)

        room = width - 1
        if _cells(words) > room * 2 // 3:
            words, after, cut_right = _head(words, room * 2 // 3, cut=True), "", False
        left = room - _cells(words) - min(_cells(after), room // 3)
        before = _tail(before, left, cut=cut_left)
        after = _head(after, room - _cells(before) - _cells(words), cut=cut_right)
        return before, words, after


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return the line and column, both from 1 and in characters, of `offset`.

    A line ends with LF, CR or CR LF. A byte order mark at the start of the text is not counted.
    """
    first = _line_start(text, offset)
    line = 1 + text.count("\n", 0, first) + text.count("\r", 0, first) - text.count("\r\n", 0, first)
    marked = first == 0 and offset > 0 and text.startswith(BYTE_ORDER_MARK)
    return line, offset - first + (0 if marked else 1)


def _line_start(text: str, offset: int) -> int:
    if offset and text[offset - 1 : offset + 1] == "\r\n":
        offset -= 1
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def _head(text: str, cells: int, *, cut: bool) -> str:
    """Return the first `cells` cells of `text`, with … if it is, or was (`cut`), cut."""
    if _cells(text) <= cells and not cut:
        return text
    while text and _cells(text) > cells - 1:
        text = text[: min(len(text) - 1, max(cells - 1, 0))]
    return text + "…"


def _tail(text: str, cells: int, *, cut: bool) -> str:
    """Return the last `cells` cells of `text`, with … if it is, or was (`cut`), cut."""
    if _cells(text) <= cells and not cut:
        return text
    while text and _cells(text) > cells - 1:
        text = text[1:]
    return "…" + text


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from jobtui.language.results import cell_width

    return cell_width(text)
