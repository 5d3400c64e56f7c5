"""Diagnostics for a text that is being typed: its colors and its error."""

from __future__ import annotations

from typing import Final, Literal

from jobtui.language.completion import context_at
from jobtui.language.errors import StatementError
from jobtui.language.grammar import name_positions, token_kinds
from jobtui.language.identifiers import to_reserved_keyword
from jobtui.language.lexer import (
    BAD,
    COMMA,
    COMMENT,
    CONTEXTUAL_KINDS,
    DECIMAL,
    MEASURE,
    NAME,
    NUMBER,
    SEMICOLON,
    STRING,
    SYMBOLS,
    construct_at,
    is_unclosed,
    tokenize,
)
from jobtui.language.parser import parse
from jobtui.language.parts import (
    QUANTITIES,
    Keyword,
    KeywordChoice,
    Placeholder,
    PlaceholderKind,
    UnitChoice,
    units_of,
)

Color = Literal["keyword", "name", "number", "string", "comment", "error"]

_COLORS: Final[dict[str, Color]] = {
    NAME: "name",
    NUMBER: "number",
    DECIMAL: "number",
    MEASURE: "number",
    STRING: "string",
    COMMENT: "comment",
    BAD: "error",
}
_UNCLOSED_COLORS: Final[dict[str, Color]] = {"comment": "comment", "string": "string", "back-quote": "name"}

_BEGINNINGS: Final = ("-", "--", "/", "0x", "0X", "!")
"""Texts that are wrong, but can be the beginning of a comment, a number or a symbol."""


def highlight(text: str) -> list[tuple[int, int, Color]]:
    """Return the colored parts of `text` as (start, end, color), in order.

    Blanks, commas, semicolons and symbols have no color. "error" is only for characters that no statement can
    contain, such as a control character or a square bracket. An unclosed string, name or comment has its color
    already. A wrong word has the color of its kind: `error_at_cursor` reports it.
    """
    found: list[tuple[int, int, Color]] = []
    tokens = list(tokenize(text))
    names = _contextual_names(tokens)
    for number, (kind, start, end) in enumerate(tokens):
        if kind in (COMMA, SEMICOLON) or kind in SYMBOLS:
            continue
        color = "name" if number in names else _COLORS.get(kind, "keyword")
        if kind == NAME and number and tokens[number - 1][0] in (NUMBER, DECIMAL):
            color = "number"  # a unit
        if kind == BAD and end == len(text) and is_unclosed(text, start, end):
            color = _UNCLOSED_COLORS[construct_at(text, start)]
        if found and color == "error" == found[-1][2] and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end, color))
    return found


def _contextual_names(tokens: list[tuple[str, int, int]]) -> set[int]:
    """Return the numbers of the tokens that are contextual keywords used as names."""
    names: set[int] = set()
    of_statement: list[int] = []
    for number, (kind, _, _) in enumerate([*tokens, (SEMICOLON, 0, 0)]):
        if kind == SEMICOLON:
            kinds = [tokens[at][0] for at in of_statement]
            if not CONTEXTUAL_KINDS.isdisjoint(kinds):
                names.update(of_statement[at] for at in name_positions(kinds))
            of_statement = []
        elif kind != COMMENT:
            of_statement.append(number)
    return names


def error_at_cursor(text: str, cursor: int) -> StatementError | None:
    """Return the error of `text`, None if typing at the cursor can still correct it.

    An incomplete statement is not an error while the cursor is in it, nor is an unclosed name, string or
    comment.
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
    return not text[cursor:start].strip() and _may_grow(text, cursor)


def _unclosed(text: str, start: int, end: int) -> bool:
    return text.startswith("/*", start) or (end - start == 1 and text[start] in "`\"'")


def _word_may_become_right(text: str, start: int, cursor: int, end: int) -> bool:
    before, after = text[start:cursor], text[cursor:end]
    if (before in _BEGINNINGS or _may_become_decimal(text, start)) and not after:
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
            case KeywordChoice(_, words) | UnitChoice(words) if any(_fits(before, after, one) for one in words):
                return True
            case Placeholder(_, kind) if kind in QUANTITIES and _may_be_measure(before, after, kind):
                return True
            case Placeholder(_, PlaceholderKind.KEY) if before[:2].lower() == "0x":
                return True
            case Placeholder() if (
                NAME in token_kinds(terminal) and to_reserved_keyword(text[start:end]) is not None
            ):
                return True
            case _:
                pass
    return False


def _may_be_measure(before: str, after: str, kind: PlaceholderKind) -> bool:
    """Return whether `50M` can become a number with its unit."""
    return any(_fits(before.lstrip("0123456789."), after, unit) for unit in units_of(kind))


def _may_become_decimal(text: str, start: int) -> bool:
    """Return whether the point at `start` follows a number that may have a fraction."""
    before = context_at(text[:start] + " ", start + 1)
    reached = before.expected()
    return (
        text[start] == "."
        and before.kinds[-1:] == (NUMBER,)
        and reached is not None
        and any(
            terminal == Keyword("%") or isinstance(terminal, UnitChoice) for _, terminal in reached.expected
        )
    )


def _may_grow(text: str, cursor: int) -> bool:
    """Return whether the word before the cursor can grow into a keyword that is right there."""
    here = context_at(text, cursor)
    reached = here.expected()
    if reached is None or not here.typed:
        return False
    typed = here.typed.upper()
    return any(
        isinstance(terminal, Keyword) and terminal.token.startswith(typed) and terminal.token != typed
        for _, terminal in reached.expected
    )


def _fits(before: str, after: str, word: str) -> bool:
    before, after, word = before.upper(), after.upper(), word.upper()
    return len(before) + len(after) <= len(word) and word.startswith(before) and word.endswith(after)
