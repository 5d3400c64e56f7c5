"""Text into words: the first half of the grammar, and the half that must not mind a hostile text.

One regular expression, tried once at every place, each alternative linear: a text of n characters
costs O(n) whatever it holds. The words of a statement end with the first that no statement can hold
(`Flaw`); what follows it is never looked at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

import msgspec

from jobtui.language.identifiers import (
    BEGINS_WORD,
    BLANKS,
    BYTE_ORDER_MARK,
    CONTROL,
    GOES_ON,
    LONGEST_NAME,
    code_point,
    keyword,
    stranger,
)

# The kinds of words; a keyword's kind is the keyword itself, in capitals.
NAME: Final = "name"
NUMBER: Final = "number"
STRING: Final = "string"
COMMA: Final = ","
BAD: Final = "bad"
SEMICOLON: Final = "semicolon"
COMMENT: Final = "comment"


class Words(msgspec.Struct, frozen=True):
    """A statement's words: their kinds, and where each stands.

    Three flat sequences and no object a word: a list of half a million ids is a statement too.
    """

    kinds: list[str]
    starts: list[int]
    ends: list[int]


class Flaw(msgspec.Struct, frozen=True):
    """Why a text can't be read on here. No `message`: characters that mean nothing where they stand."""

    start: int
    end: int
    message: str = ""
    near: str | None = None


_PATTERN: Final = re.compile(
    rf"""
    (?: (?P<word> {BEGINS_WORD}{GOES_ON}*+ )
      | (?P<number> (?: 0[xX][0-9a-fA-F]++ | [0-9]++ ) (?!{GOES_ON}) )
      | (?P<comma> , )
      | (?P<semicolon> ; [;{BLANKS}]*+ )
      | (?P<quoted> `[^`]*+` )
      | (?P<string> "[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+' )
      | (?P<comment> (?: \# | // | --(?=[{BLANKS}]|\Z) ) [^\r\n]*+ | /\*.*?\*/ )
      | (?P<junk> [0-9]{GOES_ON}*+ | -- | [!$%&()*+.:<=>?@\[\\\]^_{{|}}~]++ | [^{BLANKS}] )
    ) [{BLANKS}]*+
    """,
    re.DOTALL | re.VERBOSE,
)
_BLANK: Final = re.compile(f"[{BLANKS}]*+")
_ESCAPED_WELL: Final = re.compile(r"""[^\\]*+(?:\\["'\\nt][^\\]*+)*+""")
_NOT_QUOTABLE: Final = re.compile("[.\t\r\n\ud800-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PAIR: Final = '" "'
_OPENERS: Final = {"`": "back-quote", '"': "string", "'": "string"}

_LOOKALIKES: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХҮавеѕіјкмнорстухΑΒΕΖΗΙΚΜΝΟΡΤΥΧοпрνι‐‑‒–—−“”„‘’‚，、；：",
    "ABESIJKMHOPCTYXYabesijkmhopctyxABEZHIKMNOPTYXonpvi------\"\"\"''',,;:",
)


def split(text: str) -> Iterator[tuple[Words, Flaw | None]]:
    """Each statement's words, in order; statements without words are left out.

    A flaw comes with the last statement only: then its last word is BAD and stands at the flaw.
    """
    kinds: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for kind, start, end in pieces(text):
        if kind == BAD:
            flaw = flaw_at(text, start, end)
            yield Words([*kinds, BAD], [*starts, flaw.start], [*ends, flaw.end]), flaw
            return
        if kind == SEMICOLON:
            if kinds:
                yield Words(kinds, starts, ends), None
                kinds, starts, ends = [], [], []
        elif kind != COMMENT:
            kinds.append(kind)
            starts.append(start)
            ends.append(end)
    if kinds:
        yield Words(kinds, starts, ends), None


def pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """Every word, SEMICOLON, COMMENT and BAD piece of the text with its place; blanks are left out.

    It goes on after a bad piece (a highlighter must). An unclosed comment or string is one bad piece.
    """
    position = 1 if text.startswith(BYTE_ORDER_MARK) else 0
    while position < len(text):
        control = CONTROL.search(text, position)
        stop = control.start() if control else len(text)
        first = _BLANK.match(text, position, stop)
        assert first is not None
        for match in _PATTERN.finditer(text, first.end(), stop):
            group = match.lastgroup or ""
            start, end = match.span(group)
            if group == "word":
                yield _word_kind(text[start : min(end, start + LONGEST_NAME + 1)]), start, end
            elif group == "number":
                yield NUMBER, start, end
            elif group == "comma":
                yield COMMA, start, end
            elif group == "quoted":
                yield (BAD if _quoted_flaw(text, start, end) else NAME), start, end
            elif group == "string":
                yield (BAD if _string_flaw(text, start, end) else STRING), start, end
            elif group == "junk" and opener(text, start):
                position = control.end() if control else stop
                yield BAD, start, position
                break
            else:
                yield (BAD if group == "junk" else group), start, end
        else:
            position = stop
            if control is not None:
                position = control.end()
                yield BAD, stop, position


def _word_kind(word: str) -> str:
    return keyword(word) or (NAME if word.isascii() or stranger(word) is None else BAD)


def opener(text: str, start: int) -> str:
    """What an unmatched character at `start` would have opened: comment, string, back-quote or ""."""
    if text.startswith("/*", start):
        return "comment"
    return _OPENERS.get(text[start], "")


def waits(text: str, start: int, end: int) -> bool:
    """Whether the bad piece from `start` to `end` is a comment, string or name that still waits for its end."""
    opened = opener(text, start)
    closed = end - start > 1 and text[end - 1] == text[start]
    return opened == "comment" or (opened != "" and not closed)


def flaw_at(text: str, start: int, end: int) -> Flaw:
    """Why the bad piece from `start` to `end` is bad."""
    control = CONTROL.search(text, start, end)
    if control is not None:
        at = control.start()
        return Flaw(at, at + 1, f"{code_point(text[at])} is refused everywhere; take it out")
    opened = opener(text, start)
    closed = not waits(text, start, end)
    if opened == "comment":
        return Flaw(start, start + 2, "the comment that begins here is never closed: */ is missing")
    if opened == "back-quote":
        return (closed and _quoted_flaw(text, start, end)) or Flaw(
            start, start + 1, "the name that begins here is never closed: a second ` is missing"
        )
    if opened == "string":
        return (closed and _string_flaw(text, start, end)) or Flaw(
            start, start + 1, f"the string that begins here is never closed: a second {text[start]} is missing"
        )
    strange = stranger(text[start : min(end, start + LONGEST_NAME + 1)])
    return Flaw(start, end) if strange is None else _stranger_flaw(text, start + strange, end)


def _stranger_flaw(text: str, at: int, end: int) -> Flaw:
    """A character above U+00A0 that is no letter, in a word that ends at `end`."""
    character = text[at]
    told = code_point(character)
    if unicodedata.east_asian_width(character) == "F" and unicodedata.category(character) != "Zs":
        last = at
        while last < min(end, at + 40) and unicodedata.east_asian_width(text[last]) == "F":
            last += 1
        meant = unicodedata.normalize("NFKC", text[at:last])
        return Flaw(at, last, f"{told} is a full-width form; did you mean {meant}?", meant)
    if unicodedata.category(character)[0] == "Z":
        return Flaw(at, at + 1, f"{told} is no blank of this language; put a plain one")
    folded = in_ascii(character)
    if folded in _OPENERS:  # to write that here might be as wrong: it opens a string, and a name has none
        return Flaw(
            at, at + 1, f"{told} is no quote here; a name stands bare or in ` `, a directory in {_PAIR}"
        )
    if folded:
        return Flaw(at, at + 1, f"{told} means nothing here; did you mean {folded}?", folded)
    return Flaw(at, at + 1, f"{told} stands only between back-quotes, in strings and in comments")


def _quoted_flaw(text: str, start: int, end: int) -> Flaw | None:
    """What keeps the text between two back-quotes from being a name."""
    if end - start == 2:
        return Flaw(start, end, "the name between the back-quotes is empty")
    wrong = _NOT_QUOTABLE.search(text, start + 1, end - 1)
    if wrong is None:
        return None
    at = wrong.start()
    if text[at] == ".":
        return Flaw(at, at + 1, "a name can't hold a '.'")
    return Flaw(at, at + 1, f"a name can't hold {code_point(text[at])}")


def _string_flaw(text: str, start: int, end: int) -> Flaw | None:
    """What keeps the text between two quotes from being a directory."""
    if end - start == 2:
        return Flaw(start, end, "the directory between the quotes is empty")
    wrong = _SURROGATE.search(text, start, end)
    if wrong is not None:
        return Flaw(wrong.start(), wrong.end(), f"a directory can't hold {code_point(wrong.group())}")
    sound = _ESCAPED_WELL.match(text, start + 1, end - 1)
    assert sound is not None
    if sound.end() == end - 1:
        return None
    at = sound.end()
    return Flaw(at, at + 2, r"after a \ in a string stands one of \ " + "\" ' n t; a plain \\ is written \\\\")


def in_ascii(word: str) -> str:
    """The ASCII text that `word` looks like or is a form of; "" where it looks like none."""
    parts = unicodedata.normalize("NFKD", word[:64].translate(_LOOKALIKES))
    plain = "".join(c for c in parts if unicodedata.category(c) != "Mn").translate(_LOOKALIKES)
    return plain if plain.isascii() and plain.isprintable() else ""
