"""The analysis of a text that is being typed: colors, completions, first error."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from jobtui.formatting import single_cells
from jobtui.language.completion import Completion, NameProvider, complete
from jobtui.language.diagnostics import error_at_cursor, highlight
from jobtui.tui.text.console_commands import (
    add_console_commands,
    console_command,
    help_topic,
    may_be_console_command,
)
from jobtui.tui.text.spans import Line, TextRole, cut, width_of

_ROLES = {
    "keyword": TextRole.KEYWORD,
    "name": TextRole.PLAIN,
    "number": TextRole.NUMBER,
    "string": TextRole.STRING,
    "comment": TextRole.COMMENT,
    "error": TextRole.WRONG,
}
_HINT = re.compile(r"did you mean .+\?$")
# A longer text was pasted, not typed: its errors are reported when it is sent.
_MAX_ANALYZED = 4000


class Highlight(msgspec.Struct, frozen=True):
    """The role of the characters from `start` up to `end`."""

    start: int
    end: int
    role: TextRole


class Diagnostic(msgspec.Struct, frozen=True):
    """An error and the characters that it is about."""

    start: int
    end: int
    message: str


class Analysis(msgspec.Struct, frozen=True):
    """The analysis of a text with the cursor at one position."""

    highlights: tuple[Highlight, ...] = ()
    completion: Completion = msgspec.field(default_factory=Completion)
    diagnostic: Diagnostic | None = None


def analyze(text: str, caret: int, names: NameProvider) -> Analysis:
    """Analyze a text; fast enough to be called at every key."""
    if len(text) > _MAX_ANALYZED or not text:
        return Analysis(completion=complete(text, caret, names) if not text else Completion())
    highlights = tuple(Highlight(start, end, _ROLES[kind]) for start, end, kind in highlight(text))
    if may_be_console_command(text, caret):
        if console_command(text) or help_topic(text):
            start = len(text) - len(text.lstrip())
            end = start + len(text.split()[0].rstrip(";"))
            highlights = (Highlight(start, end, TextRole.KEYWORD),)
        return Analysis(highlights, complete(text, caret, names))
    error = error_at_cursor(text, caret)
    if error is None:
        return Analysis(highlights, complete(text, caret, names))
    start, end = error.span
    diagnostic = Diagnostic(start, end, add_console_commands(text, start, error.message))
    marked = Highlight(start, max(end, start + 1), TextRole.WRONG)
    return Analysis((*highlights, marked), complete(text, caret, names), diagnostic)


def diagnostic_line(
    diagnostic: Diagnostic | None, text: str, column_of: Callable[[int], int | None], width: int
) -> Line:
    """Return the line below the bar: carets under the error and its message, or nothing.

    Args:
        diagnostic: The error.
        text: The text that it is in.
        column_of: Returns the cell of a character; None if the character is not in the last line of the bar.
        width: The cells of the line. If the message does not fit, its hint alone is shown, then no carets.
    """
    if diagnostic is None:
        return ()
    column = column_of(diagnostic.start)
    if column is None:
        return ((f"  {diagnostic.message}", TextRole.WARNING),)
    carets = "^" * max(1, width_of(text[diagnostic.start : diagnostic.end].split("\n")[0]))
    message = single_cells(diagnostic.message)
    hint = _HINT.search(message)
    if hint is not None and column + len(carets) + 1 + width_of(message) > width:
        # the whole message comes with the answer; here the near miss is worth most
        message = hint[0]
    if column + len(carets) + 1 + width_of(message) <= width:
        line: Line = (
            (" " * column, TextRole.PLAIN),
            (carets, TextRole.WARNING),
            (f" {message}", TextRole.WARNING),
        )
    elif column > width_of(message):
        line = (
            (message.rjust(column - 1), TextRole.WARNING),
            (" ", TextRole.PLAIN),
            (carets, TextRole.WARNING),
        )
    else:
        # the error is underlined in the text already: the message matters more than the carets
        line = ((f" {message}", TextRole.WARNING),)
    return cut(line, width)
