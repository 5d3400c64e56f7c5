"""Where a cursor stands in a text that is still being typed: among which words, and in which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from jobtui.language.grammar import Reach, reach
from jobtui.language.lexer import BAD, COMMA, COMMENT, SEMICOLON, STRING, pieces, waits
from jobtui.language.words import GOES_ON

_REST_OF_WORD: Final = re.compile(f"{GOES_ON}*")
_REST_OF_QUOTED: Final = re.compile("[^`\\s;]*`?")


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor's place among the words of a statement.

    `kinds` and `words` are the whole words before it. `typed` is what of the word at the cursor stands
    before the cursor ("" between words), `span` the whole of that word. `inside` says that the cursor is
    in a string or a comment, where no word can be completed.
    """

    kinds: tuple[str, ...]
    words: tuple[str, ...]
    typed: str
    span: tuple[int, int]
    inside: bool = False

    def reach(self) -> Reach | None:
        """What could stand at the cursor; None where the words before it are wrong already."""
        reached = reach(self.kinds)
        return reached if reached.word == len(self.kinds) else None


def place(text: str, cursor: int) -> Place:
    """The place of the cursor that stands before the character `cursor` of `text`."""
    kinds: list[str] = []
    spans: list[tuple[int, int]] = []
    inside = False
    for kind, start, end in pieces(text[:cursor]):
        inside = False
        if kind == SEMICOLON:
            kinds, spans = [], []
        elif kind == COMMENT:
            inside = end == cursor and not text.startswith("/*", start)
        else:
            inside = kind == BAD and end == cursor and text[start] != "`" and waits(text, start, end)
            if not inside:
                kinds.append(kind)
                spans.append((start, end))

    start = cursor
    if spans and spans[-1][1] == cursor and not inside and _continues(text, kinds[-1], *spans[-1]):
        kinds.pop()
        start, _ = spans.pop()
    typed = text[start:cursor]
    rest = _REST_OF_QUOTED if typed.startswith("`") and not _closed(typed) else _REST_OF_WORD
    found = rest.match(text, cursor)
    assert found is not None
    return Place(
        tuple(kinds),
        tuple(text[a:b] for a, b in spans),
        typed,
        (start, cursor if inside else found.end()),
        inside,
    )


def _continues(text: str, kind: str, start: int, end: int) -> bool:
    """Whether typing on after this piece would change it."""
    if kind == BAD:
        return text[start] == "`" or text[start:end].isalnum()
    return kind not in (COMMA, STRING)


def _closed(typed: str) -> bool:
    return len(typed) > 1 and typed.endswith("`")
