"""The grammar: the statement forms as pyparsing expressions, over tokens.

pyparsing asks no more of its input than `len()` and indexing, so a statement is parsed as the list of its
tokens' kinds: `SHOW JOB 40` is ["SHOW", "JOB", "number"], a keyword's kind being the keyword itself. `Terminal`
matches one token as `pp.Literal` matches one text; And and Opt are pyparsing's own. A result holds the numbers
of the tokens that matched, under the name of their field.

Two shortcuts keep a long text cheap, measured in CPU seconds on 2 cores. Statements whose tokens have the same
kinds are parsed once: 100,000 statements then take 1.6 s, and 9.5 s if each is parsed. `TokenList` is a loop in
place of `pp.DelimitedList`: a list of 500,000 ids then takes 0.15 s, and 7.6 s if pyparsing matches each id.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, Final, cast

import msgspec
import pyparsing as pp

from jobtui.language.lexer import COMMA, DECIMAL, MEASURE, NAME, NAMES, NUMBER, STRING
from jobtui.language.parts import (
    METRICS,
    OPERATORS,
    QUANTITIES,
    ConditionPart,
    Keyword,
    KeywordChoice,
    KeywordFlag,
    OptionalPart,
    OptionList,
    Part,
    Placeholder,
    PlaceholderKind,
    SubmitPart,
    UnitChoice,
    ValuePart,
    units_of,
)
from jobtui.language.quantities import Quantity
from jobtui.language.syntax import SUBMIT_FORMS, SYNTAX, StatementSyntax

_MAX_NESTING: Final = 32  # a level takes up to 16 of the 1,000 frames that Python allows
_MAX_ITEMS: Final = 1000  # an item takes up to 50 µs, and the command bar parses at every key


class Punctuation(enum.Enum):
    """The commas and the end of a statement."""

    COMMA = ","
    END = ";"


Expected = Keyword | KeywordChoice | UnitChoice | Placeholder | Punctuation


class Match(msgspec.Struct, frozen=True):
    """The form of a statement, and its parts that have a value, with the tokens of each."""

    syntax: StatementSyntax
    values: tuple[tuple[ValuePart, slice], ...]


class Expectation(msgspec.Struct, frozen=True):
    """The number of right tokens, and the parts expected after them, each with its form.

    If a limit is exceeded, nothing is expected at that position, and `limit` describes the limit.
    """

    position: int
    expected: tuple[tuple[StatementSyntax, Expected], ...]
    limit: str = ""


_NAME_KINDS: Final = frozenset(
    {
        PlaceholderKind.SPACE,
        PlaceholderKind.NEW_SPACE,
        PlaceholderKind.HOST,
        PlaceholderKind.SCHEDULE,
        PlaceholderKind.NEW_SCHEDULE,
    }
)
_NUMBER_KINDS: Final = frozenset({PlaceholderKind.JOB, PlaceholderKind.COUNT})


def token_kinds(part: Expected) -> frozenset[str]:
    """Return the kinds of tokens that a part can begin with; nothing for the end."""
    match part:
        case Keyword():
            return frozenset({part.token})
        case KeywordChoice(_, words):
            return frozenset(word.upper() for word in words)
        case UnitChoice():
            return frozenset({NAME})
        case Placeholder(_, PlaceholderKind.KEY):
            return frozenset({STRING, NUMBER})
        case Placeholder(_, PlaceholderKind.HOST):
            return NAMES | {STRING}
        case Placeholder(_, kind) if kind in _NAME_KINDS:
            return NAMES
        case Placeholder(_, kind) if kind in _NUMBER_KINDS:
            return frozenset({NUMBER})
        case Placeholder(_, PlaceholderKind.SHARE):
            return frozenset({NUMBER, DECIMAL})
        case Placeholder(_, kind) if kind in QUANTITIES:
            return frozenset({NUMBER, DECIMAL, MEASURE})
        case Placeholder():
            return frozenset({STRING})
        case Punctuation.COMMA:
            return frozenset({COMMA})
        case Punctuation.END:
            return frozenset()


_MAX_CACHED_TOKENS: Final = 48  # a longer statement is rarely repeated, and the cache keeps its tokens
_BY_VERB: Final = {
    verb: tuple(form for form in SYNTAX if form.verb == verb) for verb in {form.verb for form in SYNTAX}
}
_VERBS: Final = Expectation(0, tuple((form, Keyword(form.verb)) for form in SYNTAX))
"""The expectation at the start of a statement."""


def match(kinds: Sequence[str]) -> Match | None:
    """Return the form of a statement whose tokens have these kinds, None if there is none."""
    return _cached_match(tuple(kinds)) if len(kinds) <= _MAX_CACHED_TOKENS else _match(kinds)


@lru_cache(maxsize=512)
def _cached_match(kinds: tuple[str, ...]) -> Match | None:
    return _match(kinds)


def _match(kinds: Sequence[str]) -> Match | None:
    for syntax in _BY_VERB.get(kinds[0], ()):
        try:
            found = _parse(syntax, _Input(kinds))
        except (pp.ParseException, _LimitError):
            continue
        values = [(part, _tokens(found[part.field])) for part in syntax.values if part.field in found]
        return Match(syntax, tuple(values))
    return None


def _tokens(found: slice | pp.ParseResults) -> slice:
    """Return the numbers of a value's tokens; of several keywords, from first to last."""
    return found if isinstance(found, slice) else slice(found[0].start, found[-1].stop)


def expected_at(kinds: Iterable[str]) -> Expectation:
    """Return how many tokens of these kinds some form accepts, and what is expected next.

    The forms are in the order of the table. After a complete statement, the parts are those that may follow it.
    """
    tokens = _Input(kinds)
    furthest = -1
    expected: dict[tuple[StatementSyntax, Expected], None] = {}
    if not tokens or tokens[0] not in _BY_VERB:
        return _VERBS
    for syntax in _BY_VERB[tokens[0]]:
        tokens.tried, tokens.items = [], 0
        try:
            with suppress(pp.ParseException):
                _parse(syntax, tokens)
        except _LimitError as error:
            return Expectation(error.position, (), str(error))
        far = max(at for at, _ in tokens.tried)
        if far > furthest:
            furthest = far
            expected.clear()
        if far == furthest:
            expected.update({(syntax, part): None for at, part in tokens.tried if at == far})
    return Expectation(furthest, tuple(expected))


def is_condition(kinds: Sequence[str]) -> bool:
    """Return whether tokens of these kinds are a condition and nothing else."""
    try:
        _condition_alone().parse_string(cast("str", _Input(kinds)))
    except (pp.ParseException, _LimitError):
        return False
    return True


def name_positions(kinds: Sequence[str]) -> frozenset[int]:
    """Return the numbers of the tokens that are names, in the form that accepts the most."""
    tokens = _Input(kinds)
    furthest, names = -1, frozenset[int]()
    for syntax in _BY_VERB.get(kinds[0], ()):
        tokens.tried, tokens.names, tokens.items = [], set(), 0
        with suppress(pp.ParseException, _LimitError):
            _parse(syntax, tokens)
        far = max((at for at, _ in tokens.tried), default=0)
        if far > furthest:
            furthest, names = far, frozenset(tokens.names)
    return names


class _Input(list[str]):
    """The kinds of the tokens, with the notes of a parse.

    Attributes:
        tried: The parts that did not match, with their positions.
        names: The positions of the tokens that matched as names.
        depth: How deep the condition is nested at the current position.
        items: How many options, comparisons, NOT and parentheses were read.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        super().__init__(kinds)
        self.tried: list[tuple[int, Expected]] = []
        self.names: set[int] = set()
        self.depth = 0
        self.items = 0


class _LimitError(Exception):
    """An error for a limit that is exceeded at a position; the text describes the limit."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Terminal(pp.Token):
    """One token of the kinds that the part can begin with, or of these `kinds`."""

    def __init__(self, part: Expected, kinds: Iterable[str] = ()) -> None:
        super().__init__()
        self.part = part
        self.kinds = frozenset(kinds) or token_kinds(part)
        self.is_name = isinstance(part, Placeholder) and part.kind in _NAME_KINDS
        self.set_name(repr(part))

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        if loc < len(instring) and instring[loc] in self.kinds:
            if self.is_name and instring[loc] != STRING:
                instring.names.add(loc)
            return loc + 1, [slice(loc, loc + 1)]
        self.note(instring, loc)
        raise pp.ParseException(instring, loc, self.errmsg, self)

    def note(self, instring: _Input, loc: int) -> None:
        """Record that the part was expected here."""
        instring.tried.append((loc, self.part))


class AnotherNumber(Terminal):
    """A further number of a duration (`1 h 30 min`), optional and never listed as expected."""

    def note(self, instring: _Input, loc: int) -> None:  # noqa: D102
        pass


class Whole(pp.ParseElementEnhance):
    """An expression whose result is all of its tokens, without the names inside."""

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        end, _ = cast("tuple[int, Any]", super().parseImpl(instring, loc, do_actions))  # type: ignore[no-untyped-call]
        return end, [slice(loc, end)]


class Switch(pp.Token):
    """A keyword and what follows it: `pp.MatchFirst`, but without trying the other cases."""

    def __init__(self) -> None:
        super().__init__()
        self.cases: dict[str, tuple[Keyword, pp.ParserElement]] = {}

    def add(self, word: str, expression: pp.ParserElement) -> None:
        """Add a case: `expression` follows the keyword."""
        keyword = Keyword(word)
        self.cases[keyword.token] = (keyword, expression.leave_whitespace(recursive=True).streamline())

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        case = self.cases.get(instring[loc]) if loc < len(instring) else None
        if case is None:
            instring.tried.extend((loc, keyword) for keyword, _ in self.cases.values())
            raise pp.ParseException(instring, loc, self.errmsg, self)
        instring.items += 1
        if instring.items > _MAX_ITEMS:
            raise _LimitError(f"a statement has at most {_MAX_ITEMS:,} options and comparisons", loc)
        return cast("tuple[int, Any]", case[1]._parse(instring, loc + 1, do_actions))


class Operand(Switch):
    """A comparison, or a condition after NOT or in parentheses, whose depth is limited."""

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        if instring.depth > _MAX_NESTING:
            raise _LimitError(
                f"the condition is nested too deeply: at most {_MAX_NESTING} parentheses and NOT", loc
            )
        instring.depth += 1
        try:
            return super().parseImpl(instring, loc, do_actions)
        finally:
            instring.depth -= 1


class Separated(pp.ParseElementEnhance):
    """Items with a separator between them, but none after the last item."""

    def __init__(self, item: pp.ParserElement, separator: Terminal) -> None:
        super().__init__(item)
        self.separator = separator

    def parseImpl(self, instring: Any, loc: int, do_actions: bool = True) -> tuple[int, Any]:  # noqa: D102, N802
        assert self.expr is not None
        while True:
            loc, _ = self.expr._parse(instring, loc, do_actions)
            if loc >= len(instring) or instring[loc] not in self.separator.kinds:
                self.separator.note(instring, loc)
                return loc, []
            loc += 1


class TokenList(Terminal):
    """Tokens of one of these kinds with commas between them.

    `loose` commas may be repeated, and may follow the last token.
    """

    def __init__(self, part: Placeholder, *, loose: bool) -> None:
        super().__init__(part)
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
                if self.is_name:
                    instring.names.add(after)
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


@cache
def _condition_alone() -> pp.ParserElement:
    expression = pp.And([_condition(ConditionPart("condition", may_be_needed=True)), End()])
    return expression.leave_whitespace(recursive=True).parse_with_tabs().streamline()


def _expression(part: Part) -> pp.ParserElement:
    match part:
        case Keyword():
            return Terminal(part)
        case KeywordChoice(field):
            return Terminal(part)(field)
        case KeywordFlag(field, words):
            return pp.Opt(pp.And([Terminal(Keyword(word)) for word in words])(field))
        case Placeholder(field, kind, many=True):
            return TokenList(part, loose=kind is PlaceholderKind.JOB)(field)
        case Placeholder(field, kind) if kind in QUANTITIES:
            return _quantity(part)(field)
        case Placeholder(field):
            return Terminal(part)(field)
        case ConditionPart(field):
            return _condition(part)(field)
        case OptionList(_, field):
            return _options(part)(field)
        case SubmitPart(field):
            forms = [pp.And([_expression(inner) for inner in form.parts]) for form in SUBMIT_FORMS]
            return Whole(pp.MatchFirst(forms))(field)
        case OptionalPart(parts):
            return pp.Opt(pp.And([_expression(inner) for inner in parts]))


def _quantity(part: Placeholder) -> pp.ParserElement:
    """Return a number and its unit: `5 GiB`, `50MiB`, `10%` or `1 h 30 min`.

    Bytes need no unit.
    """
    number = Terminal(part, (NUMBER, DECIMAL))
    measure = Terminal(part, (MEASURE,))
    unit = Terminal(UnitChoice(units_of(part.kind)))
    percent = Terminal(Keyword("%"))
    match QUANTITIES[part.kind]:
        case (Quantity.SHARE,):
            return Whole(number + percent)
        case (Quantity.DURATION,):
            another = AnotherNumber(part, (MEASURE,)) | AnotherNumber(part, (NUMBER, DECIMAL)) + unit
            return Whole((measure | number + unit) + another[0, 3])
        case (Quantity.SIZE,):
            return Whole(measure | number + pp.Opt(unit))
        case _:
            return Whole(measure | number + pp.Opt(unit | percent))


def _condition(part: ConditionPart) -> pp.ParserElement:
    """Return comparisons with NOT, AND and OR, of which NOT binds tightest and OR least."""
    operand = Operand()
    both = Separated(operand, Terminal(Keyword("AND")))
    either = Separated(both, Terminal(Keyword("OR")))
    compared = Terminal(KeywordChoice("", OPERATORS))
    for metric in METRICS.values():
        operand.add(metric.name, compared + _expression(Placeholder("", metric.value, metric.label)))
    operand.add("NOT", pp.And([operand]))
    operand.add("(", either + Terminal(Keyword(")")))
    return Whole(Terminal(Keyword("NEEDED")) | either if part.may_be_needed else either)


def _options(part: OptionList) -> pp.ParserElement:
    """Return `name = value` with single commas between them."""
    option = Switch()
    for one in part.options:
        option.add(one.name, Terminal(Keyword("=")) + _expression(one.part))
    return Whole(Separated(option, Terminal(Punctuation.COMMA)))
