"""The colours of a text that is being typed."""

from __future__ import annotations

from typing import Final, Literal

from jobtui.language.lexer import BAD, COMMA, COMMENT, NAME, NUMBER, SEMICOLON, STRING, opener, pieces, waits

Colour = Literal["keyword", "name", "number", "string", "comment", "error"]

_COLOURS: Final[dict[str, Colour]] = {
    NAME: "name",
    NUMBER: "number",
    STRING: "string",
    COMMENT: "comment",
    BAD: "error",
}
_BECOMING: Final[dict[str, Colour]] = {"comment": "comment", "string": "string", "back-quote": "name"}


def highlight(text: str) -> list[tuple[int, int, Colour]]:
    """The places of `text` that have a colour: start, one past the end, what stands there.

    In order and not overlapping; blanks, commas and semicolons have none. `error` is what no statement
    can hold (a control character, a bracket). A string, name or comment that still waits for its end has
    its colour already, and a wrong word in a wrong place its own: `problem` tells these.
    """
    found: list[tuple[int, int, Colour]] = []
    for kind, start, end in pieces(text):
        if kind in (COMMA, SEMICOLON):
            continue
        colour = _COLOURS.get(kind, "keyword")
        if kind == BAD and end == len(text) and waits(text, start, end):
            colour = _BECOMING[opener(text, start)]
        if found and colour == "error" == found[-1][2] and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end, colour))
    return found
