"""The parser: text to statements."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from jobtui.language.ast import Parsed, Statement
from jobtui.language.errors import StatementError
from jobtui.language.identifiers import LARGEST_NUMBER, LONGEST_NAME
from jobtui.language.lexer import COMMA, LexError, Tokens, split_statements
from jobtui.language.syntax import KeywordChoice, KeywordFlag, Placeholder, PlaceholderKind

if TYPE_CHECKING:
    from jobtui.language.grammar import Match

_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t"}
_OCTAL: Final = re.compile("0[0-7]+")
_MOST_DIGITS: Final = {8: 21, 10: 19, 16: 16}


def parse(text: str) -> list[Statement]:
    """Return the statements of `text` in order, an empty list if there are none.

    The cost is linear in the length of the text, whatever the text.

    Raises:
        StatementError: At the first error. One bad statement, and none is returned.
    """
    return [parsed.statement for parsed in parse_with_spans(text)]


def parse_with_spans(text: str) -> list[Parsed]:
    """Return the statements of `text` as `parse` does, each with its place in the text."""
    return [_parsed(text, tokens, error) for tokens, error in split_statements(text)]


def _parsed(text: str, tokens: Tokens, error: LexError | None) -> Parsed:
    from jobtui.language import grammar  # pyparsing takes 90 ms of CPU time to import

    found = grammar.match(tokens.kinds) if error is None else None
    if found is None:
        from jobtui.language.hints import syntax_error

        raise syntax_error(text, tokens, error)
    return Parsed(_made(text, tokens, found), (tokens.starts[0], tokens.ends[-1]))


def _made(text: str, tokens: Tokens, found: Match) -> Statement:
    fields: dict[str, object] = {}
    for part, place in found.values:
        fields[part.field] = _value(text, tokens, part, place)
    return found.syntax.build(**fields)


def _value(text: str, tokens: Tokens, part: KeywordChoice | KeywordFlag | Placeholder, place: slice) -> object:
    match part:
        case KeywordFlag():
            return True
        case KeywordChoice():
            return tokens.kinds[place.start].lower()
        case Placeholder(_, kind):
            read = _READERS[kind]
            if not part.many:
                return read(text, tokens.starts[place.start], tokens.ends[place.start])
            each = zip(tokens.kinds[place], tokens.starts[place], tokens.ends[place], strict=True)
            values = [read(text, start, end) for found, start, end in each if found != COMMA]
            return tuple(dict.fromkeys(values)) if kind is PlaceholderKind.JOB else tuple(values)


def _number(text: str, start: int, end: int) -> int:
    """Return a decimal, hexadecimal (0x) or octal (0, then octal digits only) number."""
    if text[start] != "0" and end - start < _MOST_DIGITS[10]:
        return int(text[start:end])
    base, digits = 10, start
    if text[start] == "0":
        if text[start + 1 : start + 2] in ("x", "X"):
            base, digits = 16, start + 2
        elif _OCTAL.fullmatch(text, start, end):
            base = 8
    significant = text[digits:end].lstrip("0")
    if len(significant) <= _MOST_DIGITS[base]:
        value = int(significant or "0", base)
        if value <= LARGEST_NUMBER:
            return value
    shown = text[start:end] if end - start <= 40 else "this number"
    raise StatementError(
        f"{shown} is too large: the largest number is {LARGEST_NUMBER}", text=text, span=(start, end)
    )


def _name(text: str, start: int, end: int) -> str:
    name = text[start + 1 : end - 1].replace("``", "`") if text[start] == "`" else text[start:end]
    if len(name) > LONGEST_NAME:
        message = f"a name has at most {LONGEST_NAME:,} characters, but this one has {len(name):,}"
        raise StatementError(message, text=text, span=(start, end))
    return name


def _string(text: str, start: int, end: int) -> str:
    def plain(escape: re.Match[str]) -> str:
        return _ESCAPED.get(escape[1], escape[1])

    return _ESCAPE.sub(plain, text[start + 1 : end - 1])


_READERS: Final[dict[PlaceholderKind, Callable[[str, int, int], object]]] = {
    PlaceholderKind.SPACE: _name,
    PlaceholderKind.NEW_SPACE: _name,
    PlaceholderKind.HOST: _name,
    PlaceholderKind.JOB: _number,
    PlaceholderKind.COUNT: _number,
    PlaceholderKind.DIRECTORY: _string,
}
