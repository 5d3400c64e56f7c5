"""The grammar: the table of statement forms as pyparsing expressions, over tokens instead of characters.

pyparsing asks no more of its input than `len()` and indexing, so a statement is parsed as the list of its
tokens' kinds: `SHOW JOB 40` is ["SHOW", "JOB", "number"], a keyword's kind being the keyword itself. `Terminal`
matches one token as `pp.Literal` matches one text; And and Opt are pyparsing's own. A result holds the numbers
of the tokens that matched, under the name of their field.

Two shortcuts keep a long text cheap, measured in CPU seconds on 2 cores. Statements whose tokens have the same
kinds are parsed once: 100,000 statements take 1.6 s so, and 9.5 s if each is parsed. `TokenList` is a loop in
place of `pp.DelimitedList`: a list of 500,000 ids takes 0.2 s so, and 7.6 s if pyparsing matches each id.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, Final, cast

import msgspec
import pyparsing as pp

from jobtui.language.lexer import COMMA, NAME, NUMBER, STRING
from jobtui.language.syntax import (
    SYNTAX,
    Keyword,
    KeywordChoice,
    KeywordFlag,
    OptionalPart,
    Part,
    Placeholder,
    PlaceholderKind,
    StatementSyntax,
)


class Punctuation(enum.Enum):
    """What may stand between or after the words of a form."""

    COMMA = ","
    END = ";"


Expected = Keyword | KeywordChoice | Placeholder | Punctuation


class Match(msgspec.Struct, frozen=True):
    """The form that a statement has, with the parts that have a value in it and the tokens that each took."""

    form: StatementSyntax
    values: tuple[tuple[KeywordChoice | KeywordFlag | Placeholder, slice], ...]


class Expectation(msgspec.Struct, frozen=True):
    """How far a statement's tokens are right, and what could stand at that place, in which form."""

    word: int
    expected: tuple[tuple[StatementSyntax, Expected], ...]


TOKEN_KIND: Final = {
    PlaceholderKind.SPACE: NAME,
    PlaceholderKind.NEW_SPACE: NAME,
    PlaceholderKind.HOST: NAME,
    PlaceholderKind.JOB: NUMBER,
    PlaceholderKind.COUNT: NUMBER,
    PlaceholderKind.DIRECTORY: STRING,
}
"""The kind of token that a slot takes."""

_REMEMBERED: Final = 48


def match(kinds: Sequence[str]) -> Match | None:
    """Return the match of the statement whose tokens have these kinds, None if no form has them."""
    return _remembered_match(tuple(kinds)) if len(kinds) <= _REMEMBERED else _match(kinds)


@lru_cache(maxsize=512)
def _remembered_match(kinds: tuple[str, ...]) -> Match | None:
    return _match(kinds)


def _match(kinds: Sequence[str]) -> Match | None:
    for form in SYNTAX:
        if form.verb != kinds[0]:
            continue
        try:
            found = _parse(form, _Input(kinds))
        except pp.ParseException:
            continue
        values = tuple((part, found[part.field]) for part in form.values if part.field in found)
        return Match(form, values)
    return None


def expected_at(kinds: Iterable[str]) -> Expectation:
    """Return how far tokens of these kinds begin some statement, and what could stand there.

    Forms come in the table's order. For a whole statement it is what could still follow.
    """
    tokens = _Input(kinds)
    furthest = -1
    expected: dict[tuple[StatementSyntax, Expected], None] = {}
    for form in SYNTAX:
        tokens.tried = []
        with suppress(pp.ParseException):
            _parse(form, tokens)
        far = max(at for at, _ in tokens.tried)
        if far > furthest:
            furthest = far
            expected.clear()
        if far == furthest:
            expected.update({(form, part): None for at, part in tokens.tried if at == far})
    return Expectation(furthest, tuple(expected))


class _Input(list[str]):
    """The kinds of a statement's tokens, with a note of what was tried in vain, and where."""

    def __init__(self, kinds: Iterable[str]) -> None:
        super().__init__(kinds)
        self.tried: list[tuple[int, Expected]] = []


class Terminal(pp.Token):
    """One token of one of these kinds."""

    def __init__(self, part: Keyword | KeywordChoice | Placeholder, kinds: Iterable[str]) -> None:
        super().__init__()
        self.part = part
        self.kinds = frozenset(kinds)
        self.set_name(repr(part))

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        if loc < len(instring) and instring[loc] in self.kinds:
            return loc + 1, [slice(loc, loc + 1)]
        instring.tried.append((loc, self.part))
        raise pp.ParseException(instring, loc, self.errmsg, self)


class TokenList(Terminal):
    """Tokens of one of these kinds with commas between them.

    `loose` commas may be repeated, and the last may stand at the end.
    """

    def __init__(self, part: Placeholder, kinds: Iterable[str], *, loose: bool) -> None:
        super().__init__(part, kinds)
        self.loose = loose

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        first = loc
        loc, _ = super().parseImpl(instring, loc)
        length, kinds = len(instring), self.kinds
        while loc < length and instring[loc] == COMMA:
            after = loc + 1
            while self.loose and after < length and instring[after] == COMMA:
                after += 1
            if after < length and instring[after] in kinds:
                loc = after + 1
                continue
            instring.tried.append((after, self.part))
            return (after if self.loose else loc), [slice(first, loc)]
        instring.tried.append((loc, Punctuation.COMMA))
        return loc, [slice(first, loc)]


class End(pp.Token):
    """The end of the statement."""

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        instring.tried.append((loc, Punctuation.END))
        if loc < len(instring):
            raise pp.ParseException(instring, loc, self.errmsg, self)
        return loc, []


def _parse(form: StatementSyntax, tokens: _Input) -> pp.ParseResults:
    return _statement(form).parse_string(cast("str", tokens))


@cache
def _statement(form: StatementSyntax) -> pp.ParserElement:
    """The expression of a form, made when it is first needed: all of them cost a start two milliseconds."""
    expression = pp.And([*map(_expression, form.parts), End()])
    # the tokens have no blanks, and a list can't expand its tabs
    return expression.leave_whitespace(recursive=True).parse_with_tabs().streamline()


def _expression(part: Part) -> pp.ParserElement:
    match part:
        case Keyword(word):
            return Terminal(part, [word])
        case KeywordChoice(field, words):
            return Terminal(part, words)(field)
        case KeywordFlag(field, words):
            return pp.Opt(pp.And([Terminal(Keyword(word), [word]) for word in words])(field))
        case Placeholder(field, kind, many=True):
            return TokenList(part, [TOKEN_KIND[kind]], loose=kind is PlaceholderKind.JOB)(field)
        case Placeholder(field, kind):
            return Terminal(part, [TOKEN_KIND[kind]])(field)
        case OptionalPart(parts):
            return pp.Opt(pp.And([_expression(inner) for inner in parts]))
