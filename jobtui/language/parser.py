"""The parser: text to statements."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from jobtui.language.ast import Parsed, Statement
from jobtui.language.conditions import ConditionError, read_condition, unparse_condition
from jobtui.language.errors import StatementError
from jobtui.language.identifiers import MAX_NAME_LENGTH, is_host_name
from jobtui.language.lexer import COMMA, LexError, Tokens, split_statements
from jobtui.language.parts import (
    QUANTITIES,
    ConditionPart,
    KeywordChoice,
    KeywordFlag,
    OptionList,
    Placeholder,
    PlaceholderKind,
    SubmitPart,
    option_named,
)
from jobtui.language.quantities import QuantityError, parse_whole_number, read_quantity
from jobtui.language.schedule_times import TimesError, check_times, parse_time_of_day, parse_time_zone

if TYPE_CHECKING:
    from jobtui.language.grammar import Match

_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t"}
_SMALL: Final = 19
"""A decimal number of fewer digits is never too large."""


def parse(text: str) -> list[Statement]:
    """Return the statements of `text` in order, an empty list if there are none.

    The cost is linear in the length of the text, whatever the text.

    Raises:
        StatementError: At the first error. If one statement is wrong, none is returned.
    """
    return [parsed.statement for parsed in parse_with_spans(text)]


def parse_with_spans(text: str) -> list[Parsed]:
    """Return the statements of `text` as `parse` does, each with its span in the text."""
    return [_parsed(text, tokens, error) for tokens, error in split_statements(text)]


def _parsed(text: str, tokens: Tokens, error: LexError | None) -> Parsed:
    from jobtui.language import grammar  # pyparsing takes 90 ms of CPU time to import

    found = grammar.match(tokens.kinds) if error is None else None
    if found is None:
        from jobtui.language.hints import syntax_error

        raise syntax_error(text, tokens, error)
    return Parsed(_build_statement(text, tokens, found), (tokens.starts[0], tokens.ends[-1]))


def _build_statement(text: str, tokens: Tokens, found: Match) -> Statement:
    """Return the record of a statement.

    Raises StatementError for a value that is out of range.
    """
    fields: dict[str, object] = {}
    for part, bounds in found.values:
        if isinstance(part, OptionList):
            fields.update(_options(text, tokens, part, bounds))
        else:
            fields[part.field] = _value(text, tokens, part, bounds)
        if part.field == "rate" and fields["rate"] == 0:
            raise StatementError(
                "a rate of 0 would stop all writes; did you mean OFF, which removes the limit?",
                text=text,
                span=_span(tokens, bounds),
                near="OFF",
            )
    return found.syntax.build(**fields)


def _value(
    text: str,
    tokens: Tokens,
    part: KeywordChoice | KeywordFlag | Placeholder | ConditionPart | SubmitPart,
    bounds: slice,
) -> object:
    match part:
        case KeywordFlag():
            return True
        case KeywordChoice():
            word = tokens.kinds[bounds.start].lower()
            return word == "true" if word in ("true", "false") else word
        case Placeholder(_, kind) if kind in QUANTITIES:
            return _quantity(text, tokens, part, bounds)
        case Placeholder(_, kind):
            read = _READERS[kind]
            if not part.many:
                return read(text, tokens.starts[bounds.start], tokens.ends[bounds.start])
            each = zip(tokens.kinds[bounds], tokens.starts[bounds], tokens.ends[bounds], strict=True)
            values = [read(text, start, end) for found, start, end in each if found != COMMA]
            return tuple(dict.fromkeys(values)) if kind is PlaceholderKind.JOB else tuple(values)
        case ConditionPart():
            return _condition(text, tokens, bounds)
        case SubmitPart():
            return _parsed(text, _part_of(tokens, bounds), None).statement


def _part_of(tokens: Tokens, bounds: slice) -> Tokens:
    return Tokens(tokens.kinds[bounds], tokens.starts[bounds], tokens.ends[bounds])


def _words(text: str, tokens: Tokens, bounds: slice) -> list[str]:
    return [text[a:b] for a, b in zip(tokens.starts[bounds], tokens.ends[bounds], strict=True)]


def _options(text: str, tokens: Tokens, part: OptionList, bounds: slice) -> dict[str, object]:
    """Return the values of the options by the record's fields."""
    given: dict[str, object] = {}
    start = bounds.start
    while start < bounds.stop:
        stop = start
        while stop < bounds.stop and tokens.kinds[stop] != COMMA:
            stop += 1
        option = option_named(tokens.kinds[start], part.options)
        field = option.part.field
        name = (tokens.starts[start], tokens.ends[start])
        value = _value(text, tokens, option.part, slice(start + 2, stop))
        if option.may_repeat:
            before = given.get(field, ())
            assert isinstance(before, tuple)
            given[field] = before if value in before else (*before, value)
        elif field in given:
            raise StatementError(f"{option.name} is given twice; leave one out", text=text, span=name)
        elif value == 0 and option.positive:
            message = f"{option.name} cannot be 0; leave it out for the default: {option.default}"
            raise StatementError(message, text=text, span=_span(tokens, slice(start + 2, stop)))
        else:
            given[field] = value
        start = stop + 1
    return given


def _quantity(text: str, tokens: Tokens, part: Placeholder, bounds: slice) -> int | float:
    """Return bytes, seconds or a fraction."""
    try:
        return read_quantity(_words(text, tokens, bounds), QUANTITIES[part.kind])
    except QuantityError as error:
        raise _quantity_error(text, tokens, bounds, error) from None


def _quantity_error(text: str, tokens: Tokens, bounds: slice, error: QuantityError) -> StatementError:
    """Return the error with the span of the wrong unit, or of the whole value."""
    span = _span(tokens, bounds)
    if error.unit:
        for start, end in zip(tokens.starts[bounds], tokens.ends[bounds], strict=True):
            if error.unit in text[start:end]:
                span = (start, end)
                break
    return StatementError(str(error), text=text, span=span, near=error.near)


def _condition(text: str, tokens: Tokens, bounds: slice) -> str:
    """Return the canonical text of a condition."""
    try:
        condition = read_condition(tokens.kinds[bounds], _words(text, tokens, bounds))
    except ConditionError as error:
        wrong = slice(bounds.start + error.start, bounds.start + error.stop)
        raise _quantity_error(text, tokens, wrong, error.cause) from None
    return unparse_condition(condition)


def _span(tokens: Tokens, bounds: slice) -> tuple[int, int]:
    return tokens.starts[bounds.start], tokens.ends[bounds.stop - 1]


def _number(text: str, start: int, end: int) -> int:
    if text[start] != "0" and end - start < _SMALL:
        return int(text[start:end])
    try:
        return parse_whole_number(text[start:end])
    except QuantityError as error:
        raise StatementError(str(error), text=text, span=(start, end)) from None


def _name(text: str, start: int, end: int) -> str:
    name = text[start + 1 : end - 1].replace("``", "`") if text[start] == "`" else text[start:end]
    if problem := _length_problem(name):
        raise StatementError(problem, text=text, span=(start, end))
    return name


def _length_problem(name: str) -> str:
    if len(name) <= MAX_NAME_LENGTH:
        return ""
    return f"a name has at most {MAX_NAME_LENGTH:,} characters, but this one has {len(name):,}"


def _host(text: str, start: int, end: int) -> str:
    """Return the name of a host: as any name, or in quotes, where it may hold a `.`."""
    if text[start] not in "\"'":
        return _name(text, start, end)
    name = _string(text, start, end)
    problem = _length_problem(name)
    if not problem and not is_host_name(name):
        problem = "a host's name cannot hold a control character"
    if problem:
        raise StatementError(problem, text=text, span=(start, end))
    return name


def _string(text: str, start: int, end: int) -> str:
    def plain(escape: re.Match[str]) -> str:
        return _ESCAPED.get(escape[1], escape[1])

    return _ESCAPE.sub(plain, text[start + 1 : end - 1])


def _key(text: str, start: int, end: int) -> bytes:
    """Return the bytes of a key in quotes or in hexadecimal."""
    word = text[start:end]
    if word[0] in "\"'":
        return _string(text, start, end).encode()
    message, near = "", None
    if word[:2] not in ("0x", "0X"):
        near = f'"{word}"' if len(word) <= 40 else None
        hint = f"; did you mean {near}?" if near else ""
        message = f"a key is written in quotes, or in hexadecimal as 0x00ff{hint}"
    elif len(word) % 2:
        message = "a key in hexadecimal has two digits for each byte; one is missing"
    if message:
        raise StatementError(message, text=text, span=(start, end), near=near)
    return bytes.fromhex(word[2:])


def _checked(check: Callable[[str], object]) -> Callable[[str, int, int], str]:
    """Return a reader of a string that `check` refuses with a TimesError if it is wrong."""

    def read(text: str, start: int, end: int) -> str:
        string = _string(text, start, end)
        try:
            check(string)
        except TimesError as error:
            raise StatementError(str(error), text=text, span=(start, end), near=error.near) from None
        return string

    return read


_READERS: Final[dict[PlaceholderKind, Callable[[str, int, int], object]]] = {
    PlaceholderKind.SPACE: _name,
    PlaceholderKind.NEW_SPACE: _name,
    PlaceholderKind.HOST: _host,
    PlaceholderKind.SCHEDULE: _name,
    PlaceholderKind.NEW_SCHEDULE: _name,
    PlaceholderKind.JOB: _number,
    PlaceholderKind.COUNT: _number,
    PlaceholderKind.DIRECTORY: _string,
    PlaceholderKind.TEXT: _string,
    PlaceholderKind.FAMILY: _string,
    PlaceholderKind.KEY: _key,
    PlaceholderKind.TIMES: _checked(check_times),
    PlaceholderKind.TIME_OF_DAY: _checked(parse_time_of_day),
    PlaceholderKind.TIME_ZONE: _checked(parse_time_zone),
}
