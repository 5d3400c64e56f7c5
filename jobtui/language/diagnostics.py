"""Diagnostics for a text that is being typed: its colors and its error."""

from __future__ import annotations

from typing import Final, Literal

from jobtui.language.completion import context_at
from jobtui.language.errors import StatementError
from jobtui.language.identifiers import to_keyword
from jobtui.language.lexer import (
    BAD,
    COMMA,
    COMMENT,
    NAME,
    NUMBER,
    SEMICOLON,
    STRING,
    is_unclosed,
    opened_by,
    tokenize,
)
from jobtui.language.parser import parse
from jobtui.language.syntax import Keyword, KeywordChoice, Placeholder, PlaceholderKind

Color = Literal["keyword", "name", "number", "string", "comment", "error"]

_COLORS: Final[dict[str, Color]] = {
    NAME: "name",
    NUMBER: "number",
    STRING: "string",
    COMMENT: "comment",
    BAD: "error",
}
_UNCLOSED_COLORS: Final[dict[str, Color]] = {"comment": "comment", "string": "string", "back-quote": "name"}

_BEGINNINGS: Final = ("-", "--", "/", "0x", "0X")
"""Texts that are wrong, but can be the beginning of a comment or a number."""


def highlight(text: str) -> list[tuple[int, int, Color]]:
    """Return the colored parts of `text` as (start, end, color), in order.

    Blanks, commas and semicolons have no color. "error" is only what no statement can hold, such as a control
    character or a bracket. An unclosed string, name or comment has its color already. A wrong word has the
    color of its kind: `error_at_cursor` reports it.
    """
    found: list[tuple[int, int, Color]] = []
    for kind, start, end in tokenize(text):
        if kind in (COMMA, SEMICOLON):
            continue
        color = _COLORS.get(kind, "keyword")
        if kind == BAD and end == len(text) and is_unclosed(text, start, end):
            color = _UNCLOSED_COLORS[opened_by(text, start)]
        if found and color == "error" == found[-1][2] and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end, color))
    return found


def error_at_cursor(text: str, cursor: int) -> StatementError | None:
    """Return the error of `text`, None if typing at the cursor can still correct it.

    An incomplete statement, and an unclosed name, string or comment, is not an error while the cursor is at it.
    """
    try:
        parse(text)
    except StatementError as error:
        return None if _may_become_right(text, cursor, error) else error
    return None


def _may_become_right(text: str, cursor: int, error: StatementError) -> bool:
    start, end = error.span
    if start == end:
        return cursor >= end and ";" not in text[end:cursor]
    if _unclosed(text, start, end):
        return cursor > start
    if start < cursor <= end or cursor == start:
        return cursor == start or _word_may_become_right(text, start, cursor, end)
    return not text[cursor:start].strip() and _grows(text, cursor)


def _unclosed(text: str, start: int, end: int) -> bool:
    return text.startswith("/*", start) or (end - start == 1 and text[start] in "`\"'")


def _word_may_become_right(text: str, start: int, cursor: int, end: int) -> bool:
    before, after = text[start:cursor], text[cursor:end]
    if before in _BEGINNINGS and not after:
        return True
    if before[0] in "`\"'" and after:
        return True
    reached = context_at(text, start).expected()
    if reached is None:
        return False
    for _, terminal in reached.expected:
        match terminal:
            case Keyword(word) if _fits(before, after, word):
                return True
            case KeywordChoice(_, words) if any(_fits(before, after, word) for word in words):
                return True
            case Placeholder(_, PlaceholderKind.SPACE | PlaceholderKind.NEW_SPACE | PlaceholderKind.HOST) if (
                to_keyword(text[start:end]) is not None
            ):
                return True
            case _:
                pass
    return False


def _grows(text: str, cursor: int) -> bool:
    """Return whether the word before the cursor is the beginning of another right word."""
    here = context_at(text, cursor)
    reached = here.expected()
    if reached is None or not here.typed:
        return False
    typed = here.typed.upper()
    return any(
        isinstance(terminal, Keyword) and terminal.text.startswith(typed) and terminal.text != typed
        for _, terminal in reached.expected
    )


def _fits(before: str, after: str, word: str) -> bool:
    before, after = before.upper(), after.upper()
    return len(before) + len(after) <= len(word) and word.startswith(before) and word.endswith(after)
