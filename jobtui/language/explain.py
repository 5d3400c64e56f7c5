"""Why a statement is refused: the place, what was expected there, and what was probably meant."""

from __future__ import annotations

from typing import Final

from jobtui.language.advice import Situation, advice
from jobtui.language.errors import StatementError
from jobtui.language.forms import Choice, Slot, Word
from jobtui.language.grammar import Expected, Mark, reach
from jobtui.language.lexer import Flaw, Words

_SPOKEN: Final = {Mark.COMMA: ("a comma",), Mark.END: (";", "the end")}


def explain(text: str, words: Words, flaw: Flaw | None) -> StatementError:
    """The error of a statement that no form has, or that ends with `flaw`.

    The first thing wrong is told: a flaw only where all before it is right.
    """
    kinds = words.kinds if flaw is None else words.kinds[:-1]
    reached = reach(kinds)
    if flaw is not None and flaw.message and reached.word == len(kinds):
        return StatementError(flaw.message, text=text, span=(flaw.start, flaw.end), near=flaw.near)
    terminals = tuple(terminal for _, terminal in reached.expected)
    expected = spoken(terminals)
    remark = advice(Situation(text, words, reached.word, terminals))
    message = f"expected {either(expected)}"
    if remark is not None:
        message = f"{message}; {remark.text}"
    return StatementError(
        message,
        text=text,
        span=_place(words, reached.word),
        expected=expected,
        near=None if remark is None else remark.near,
    )


def spoken(terminals: tuple[Expected, ...]) -> tuple[str, ...]:
    """What a person would type for each, keywords first, the end last, each once."""
    found: dict[str, int] = {}
    for terminal in terminals:
        match terminal:
            case Word(word):
                found.setdefault(word, 0)
            case Choice(_, choices, _, label):
                for name in (label,) if label else choices:
                    found.setdefault(name, 1 if label else 0)
            case Slot():
                found.setdefault(terminal.kind.value, 2)
            case Mark():
                for name in _SPOKEN[terminal]:
                    found.setdefault(name, 4 if terminal is Mark.END else 3)
    return tuple(sorted(found, key=found.__getitem__))


def either(names: tuple[str, ...]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _place(words: Words, at: int) -> tuple[int, int]:
    """The span of the word at fault; where something is missing, the empty one after the last word."""
    if at < len(words.starts):
        return words.starts[at], words.ends[at]
    return words.ends[-1], words.ends[-1]
