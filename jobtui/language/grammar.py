"""The grammar: the statement forms as pyparsing expressions, over tokens.

pyparsing asks no more of its input than `len()` and indexing, so a statement is parsed as the list of its
tokens' kinds: `SHOW JOB 40` is ["SHOW", "JOB", "number"], a keyword's kind being the keyword itself. `Terminal`
matches one token as `pp.Literal` matches one text; And and Opt are pyparsing's own. A result holds the numbers
of the tokens that matched, under the name of their field.

Two shortcuts keep a long text cheap, measured in CPU seconds on 2 cores. Statements whose tokens have the same
kinds are parsed once: 100,000 statements take 1.6 s so, and 9.5 s if each is parsed. `TokenList` is a loop in
place of `pp.DelimitedList`: a list of 500,000 ids takes 0.15 s so, and 7.6 s if pyparsing matches each id.
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
    """The commas and the end of a statement."""

    COMMA = ","
    END = ";"


Expected = Keyword | KeywordChoice | Placeholder | Punctuation


class Match(msgspec.Struct, frozen=True):
    """The form of a statement, and its parts that have a value, with the tokens of each."""

    syntax: StatementSyntax
    values: tuple[tuple[KeywordChoice | KeywordFlag | Placeholder, slice], ...]


class Expectation(msgspec.Struct, frozen=True):
    """The number of right tokens, and the parts, with their forms, expected after them."""

    position: int
    expected: tuple[tuple[StatementSyntax, Expected], ...]


TOKEN_KIND: Final = {
    PlaceholderKind.SPACE: NAME,
    PlaceholderKind.NEW_SPACE: NAME,
    PlaceholderKind.HOST: NAME,
    PlaceholderKind.JOB: NUMBER,
    PlaceholderKind.COUNT: NUMBER,
    PlaceholderKind.DIRECTORY: STRING,
}
"""The kind of token that a placeholder takes."""

_REMEMBERED: Final = 48


def match(kinds: Sequence[str]) -> Match | None:
    """Return the form of a statement whose tokens have these kinds, None if there is none."""
    return _remembered_match(tuple(kinds)) if len(kinds) <= _REMEMBERED else _match(kinds)


@lru_cache(maxsize=512)
def _remembered_match(kinds: tuple[str, ...]) -> Match | None:
    return _match(kinds)


def _match(kinds: Sequence[str]) -> Match | None:
    for syntax in SYNTAX:
        if syntax.verb != kinds[0]:
            continue
        try:
            found = _parse(syntax, _Input(kinds))
        except pp.ParseException:
            continue
        values = [(part, _tokens(found[part.field])) for part in syntax.values if part.field in found]
        return Match(syntax, tuple(values))
    return None


def _tokens(found: slice | pp.ParseResults) -> slice:
    """Return the numbers of the tokens of a value; of several keywords, from the first to the last."""
    return found if isinstance(found, slice) else slice(found[0].start, found[-1].stop)


def expected_at(kinds: Iterable[str]) -> Expectation:
    """Return how many tokens of these kinds are right in some form, and what is expected next.

    The forms come in the order of the table. After a complete statement it is what could still follow.
    """
    tokens = _Input(kinds)
    furthest = -1
    expected: dict[tuple[StatementSyntax, Expected], None] = {}
    for syntax in SYNTAX:
        tokens.tried = []
        with suppress(pp.ParseException):
            _parse(syntax, tokens)
        far = max(at for at, _ in tokens.tried)
        if far > furthest:
            furthest = far
            expected.clear()
        if far == furthest:
            expected.update({(syntax, part): None for at, part in tokens.tried if at == far})
    return Expectation(furthest, tuple(expected))


class _Input(list[str]):
    """The kinds of the tokens, and the parts that did not match, with their positions."""

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

    `loose` commas may be repeated, and may follow the last token.
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


def _parse(syntax: StatementSyntax, tokens: _Input) -> pp.ParseResults:
    return _statement(syntax).parse_string(cast("str", tokens))


@cache
def _statement(syntax: StatementSyntax) -> pp.ParserElement:
    """Return the expression of a form.

    It is made on first use, because all of them together take two milliseconds of a start.
    """
    expression = pp.And([*map(_expression, syntax.parts), End()])
    # a list of tokens has no blanks to skip and no tabs to expand
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
