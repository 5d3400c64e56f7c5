"""The grammar: the table of forms as pyparsing expressions, over a statement's kinds of words.

The lexer gives each word a kind of one character, so a statement's kinds are a short text
(`SHOW JOB 40` is three characters) and pyparsing works on that: no blanks to skip, no names to
match, nothing that grows with a word's length. `match` is the parser. `reach` runs the same
expressions with every failure noted: how far a wrong statement was right and what could have stood
there is what errors and completion are made of.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final

import msgspec
import pyparsing as pp

from jobtui.language.forms import FORMS, Choice, Flag, Form, Kind, Maybe, Part, Slot, Word
from jobtui.language.lexer import COMMA, LETTER, NAME, NUMBER, STRING


class Mark(enum.Enum):
    """What may stand between or after the words of a form."""

    COMMA = ","
    END = ";"


Terminal = Word | Choice | Slot | Mark


class Capture(msgspec.Struct, frozen=True):
    """The words `first` to `last` (one past the last) of a statement are this part's."""

    part: Choice | Flag | Slot
    first: int
    last: int


class Match(msgspec.Struct, frozen=True):
    """Which form a statement has, and where its values stand."""

    form: Form
    captures: tuple[Capture, ...]


class Reach(msgspec.Struct, frozen=True):
    """How far a statement's words are right, and what could stand at that place, in which form."""

    word: int
    expected: tuple[tuple[Form, Terminal], ...]


KIND: Final = {
    Kind.SPACE: NAME,
    Kind.NEW_SPACE: NAME,
    Kind.HOST: NAME,
    Kind.JOB: NUMBER,
    Kind.COUNT: NUMBER,
    Kind.DIRECTORY: STRING,
}
"""The kind of word that a slot takes."""

_REMEMBERED: Final = 48
_Note = Callable[[int, Terminal], None]


def match(kinds: str) -> Match | None:
    """The form of the statement whose words have these kinds; None where no form has them."""
    return _remembered(kinds) if len(kinds) <= _REMEMBERED else _parsed(kinds)


@lru_cache(maxsize=512)
def _remembered(kinds: str) -> Match | None:
    return _parsed(kinds)


def _parsed(kinds: str) -> Match | None:
    with _one_at_a_time:
        try:
            found = _beginning_with(kinds[:1]).parse_string(kinds)[0]
        except pp.ParseException:
            return None
    assert isinstance(found, Match)
    return found


def reach(kinds: str) -> Reach:
    """How far the words of these kinds begin some statement, and what could stand there.

    Forms in the table's order; for whole statements too, what could still follow.
    """
    furthest = -1
    expected: dict[tuple[Form, Terminal], None] = {}
    with _one_at_a_time:
        for form, expression, noted in _noters():
            noted.clear()
            try:
                expression.parse_string(kinds)
            except pp.ParseException:
                pass
            else:
                noted.append((len(kinds), Mark.END))
            far = max(at for at, _ in noted)
            if far > furthest:
                furthest = far
                expected.clear()
            if far == furthest:
                expected.update({(form, terminal): None for at, terminal in noted if at == far})
            noted.clear()
    return Reach(furthest, tuple(expected))


_one_at_a_time = threading.Lock()
"""A pyparsing expression changes itself when it is first used; the engine and the screen both parse."""


@cache
def _beginning_with(verb: str) -> pp.ParserElement:
    """The statements whose first word has this letter: to make all of them costs a start its milliseconds."""
    return _settled(pp.MatchFirst([_form(form, None) for form in FORMS if LETTER[form.verb] == verb]))


@cache
def _noters() -> tuple[tuple[Form, pp.ParserElement, list[tuple[int, Terminal]]], ...]:
    """Each form alone, with the list that its failures are noted in."""
    noters = []
    for form in FORMS:
        noted: list[tuple[int, Terminal]] = []

        def note(at: int, terminal: Terminal, noted: list[tuple[int, Terminal]] = noted) -> None:
            noted.append((at, terminal))

        noters.append((form, _settled(_form(form, note)), noted))
    return tuple(noters)


def _settled(expression: pp.ParserElement) -> pp.ParserElement:
    return expression.leave_whitespace(recursive=True).parse_with_tabs()


def _form(form: Form, note: _Note | None) -> pp.ParserElement:
    parts = [_element(part, note) for part in form.parts]
    whole = pp.And([*parts, _terminal(pp.StringEnd(), Mark.END, note)])

    def found(captures: pp.ParseResults) -> list[Match]:
        return [Match(form, tuple(captures))]

    return whole.add_parse_action(found)


def _element(part: Part, note: _Note | None) -> pp.ParserElement:
    match part:
        case Word(text):
            return pp.Suppress(_terminal(pp.Literal(LETTER[text]), part, note))
        case Choice(_, words):
            letters = "".join(LETTER[word] for word in words)
            return _captured(_terminal(pp.Char(letters), part, note), part)
        case Flag(_, words):
            return pp.Opt(_captured(pp.And([_element(Word(word), note) for word in words]), part, len(words)))
        case Slot(many=many):
            return _captured(_list(part, note) if many else _item(part, note), part)
        case Maybe(parts):
            return pp.Opt(pp.And([_element(inner, note) for inner in parts]))


def _item(slot: Slot, note: _Note | None) -> pp.ParserElement:
    return _terminal(pp.Literal(KIND[slot.kind]), slot, note)


def _list(slot: Slot, note: _Note | None) -> pp.ParserElement:
    """A list: all but its last item in one expression, so that its length costs nothing.

    Commas between ids may repeat and trail; others may not.
    """
    item = KIND[slot.kind]
    loose = slot.kind is Kind.JOB
    most = pp.Opt(pp.Regex(f"(?:{item}{COMMA}{'+' if loose else ''}(?={item}))++"))
    again = _terminal(pp.Literal(COMMA), Mark.COMMA, note)
    again += pp.Opt(pp.Regex(f"{COMMA}+")) + pp.Opt(_item(slot, note)) if loose else _item(slot, note)
    return most + _item(slot, note) + pp.Opt(again)


def _terminal(expression: pp.ParserElement, terminal: Terminal, note: _Note | None) -> pp.ParserElement:
    if note is not None:

        def failed(_text: str, at: int, _expression: pp.ParserElement, _error: Exception) -> None:
            note(at, terminal)

        expression.set_fail_action(failed)
    return expression


def _captured(
    expression: pp.ParserElement, part: Choice | Flag | Slot, length: int | None = None
) -> pp.ParserElement:
    def capture(_text: str, at: int, matched: pp.ParseResults) -> list[Any]:
        return [Capture(part, at, at + (sum(map(len, matched)) if length is None else length))]

    return expression.add_parse_action(capture)
