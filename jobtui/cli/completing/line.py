"""The part of a command line before the cursor, as its shell reads it: whole words, and the one being typed."""

from __future__ import annotations

from dataclasses import dataclass

_BLANKS = " \t\n"
_LITERAL = frozenset("%+,-./:=@_")


@dataclass(frozen=True, slots=True)
class Line:
    """`words` are the whole words with their quotes resolved, `typed` what there is of the last.

    `raw` is the last as it was typed; `places[n]` is where in it the character `n` of `typed` begins, with
    one more for the end; `quote` is the quote that is still open at its end, "" for none.
    """

    words: tuple[str, ...]
    typed: str
    raw: str
    places: tuple[int, ...]
    quote: str

    def with_word(self, start: int, text: str) -> str:
        """The last word as the shell should read it, with `text` for what follows character `start`."""
        return self.raw[: self.places[start]] + written(text, self.quote)


def read_line(text: str) -> Line:
    """The line up to the cursor. What a shell would substitute, `$HOME` say, is taken as it stands."""
    words: list[str] = []
    typed: list[str] = []
    places: list[int] = []
    quote = ""
    begun = -1
    at = 0
    while at < len(text):
        char = text[at]
        if not quote and char in _BLANKS:
            if begun >= 0:
                words.append("".join(typed))
                typed, places, begun = [], [], -1
            at += 1
            continue
        if begun < 0:
            begun = at
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            escaped = char == "\\" and _escapes(text[at + 1 : at + 2], quote)
            places.append(at - begun)
            typed.append(text[at + 1] if escaped else char)
            at += escaped
        at += 1
    raw = text[begun:] if begun >= 0 else ""
    return Line(tuple(words), "".join(typed), raw, (*places, len(raw)), quote)


def written(text: str, quote: str) -> str:
    """Text as it is written on, with that quote open ("" for none)."""
    match quote:
        case "'":
            return text.replace("'", "'\\''")
        case '"':
            return "".join(f"\\{char}" if char in '\\"$`' else char for char in text)
    return "".join(char if char.isalnum() or char in _LITERAL else f"\\{char}" for char in text)


def _escapes(after: str, quote: str) -> bool:
    """Whether a backslash before this character stands for the character alone."""
    return bool(after) and quote != "'" and (not quote or after in '\\"$`')
