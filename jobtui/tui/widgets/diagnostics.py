"""What the command bar thinks of a text being typed: its colours, what may come next, what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from jobtui.formatting import single_cells
from jobtui.language.completion import Completion, Names, complete
from jobtui.language.diagnostics import error_at_cursor, highlight
from jobtui.tui.text.spans import Line, TextRole, cut, width_of
from jobtui.tui.widgets.command_bar import asked_about, expected_here, is_local, local_word

_INKS = {
    "keyword": TextRole.KEYWORD,
    "name": TextRole.PLAIN,
    "number": TextRole.NUMBER,
    "string": TextRole.STRING,
    "comment": TextRole.COMMENT,
    "error": TextRole.WRONG,
}
_HINT = re.compile(r"did you mean .+\?$")
# past this length a text is pasted, not typed: it is judged when it is sent
_LONGEST_JUDGED = 4000


@dataclass(frozen=True, slots=True)
class Highlight:
    """Characters of the text (from, to) and the ink that they are written in."""

    start: int
    end: int
    ink: TextRole


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What is wrong, and the characters that it is about."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """All of it, for one text and one place of the cursor."""

    tints: tuple[Highlight, ...] = ()
    completion: Completion = field(default_factory=Completion)
    wrong: Diagnostic | None = None


def analyze(text: str, caret: int, names: Names) -> Analysis:
    """Judge a text; quick enough for every key."""
    if len(text) > _LONGEST_JUDGED or not text:
        return Analysis(completion=complete(text, caret, names) if not text else Completion())
    tints = tuple(Highlight(start, end, _INKS[colour]) for start, end, colour in highlight(text))
    if is_local(text, caret):
        begin = len(text) - len(text.lstrip())
        known = (Highlight(begin, begin + len(text.split()[0].rstrip(";")), TextRole.KEYWORD),)
        return Analysis(known if local_word(text) or asked_about(text) else tints, complete(text, caret, names))
    error = error_at_cursor(text, caret)
    wrong = (
        Diagnostic(*error.span, expected_here(text, error.span[0], error.message))
        if error is not None
        else None
    )
    if wrong is not None:
        tints = (*tints, Highlight(wrong.start, max(wrong.end, wrong.start + 1), TextRole.WRONG))
    return Analysis(tints, complete(text, caret, names), wrong)


def remark(thought: Analysis, text: str, column_of: Callable[[int], int | None], width: int) -> Line:
    """The line under the bar: a caret under what is wrong, and the reason.

    `column_of` tells the cell that a character of the text stands in, None where it is not in the last line.
    """
    wrong = thought.wrong
    if wrong is None:
        return ()
    column = column_of(wrong.start)
    if column is None:
        return ((f"  {wrong.message}", TextRole.WARNING),)
    carets = "^" * max(1, width_of(text[wrong.start : wrong.end].split("\n")[0]))
    message = single_cells(wrong.message)
    hint = _HINT.search(message)
    if hint is not None and column + len(carets) + 1 + width_of(message) > width:
        # all of it comes with the answer; of one line the near miss is worth most
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
        # what is wrong is underlined where it stands: the words matter more than the caret
        line = ((f" {message}", TextRole.WARNING),)
    return cut(line, width)
