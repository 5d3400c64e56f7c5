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
    describe_character,
    first_non_letter,
    to_keyword,
)

# The kinds of words; a keyword's kind is the keyword itself, in capitals.
NAME: Final = "name"
NUMBER: Final = "number"
STRING: Final = "string"
COMMA: Final = ","
BAD: Final = "bad"
SEMICOLON: Final = "semicolon"
COMMENT: Final = "comment"


class Tokens(msgspec.Struct, frozen=True):
    """A statement's words: their kinds, and where each stands.

    Three flat sequences and no object a word: a list of half a million ids is a statement too.
    """

    kinds: list[str]
    starts: list[int]
    ends: list[int]


class LexError(msgspec.Struct, frozen=True):
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


def split_statements(text: str) -> Iterator[tuple[Tokens, LexError | None]]:
    """Each statement's words, in order; statements without words are left out.

    A flaw comes with the last statement only: then its last word is BAD and stands at the flaw.
    """
    kinds: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for kind, start, end in tokenize(text):
        if kind == BAD:
            flaw = lex_error_at(text, start, end)
            yield Tokens([*kinds, BAD], [*starts, flaw.start], [*ends, flaw.end]), flaw
            return
        if kind == SEMICOLON:
            if kinds:
                yield Tokens(kinds, starts, ends), None
                kinds, starts, ends = [], [], []
        elif kind != COMMENT:
            kinds.append(kind)
            starts.append(start)
            ends.append(end)
    if kinds:
        yield Tokens(kinds, starts, ends), None


def tokenize(text: str) -> Iterator[tuple[str, int, int]]:
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
                yield (BAD if _quoted_name_error(text, start, end) else NAME), start, end
            elif group == "string":
                yield (BAD if _string_error(text, start, end) else STRING), start, end
            elif group == "junk" and opened_by(text, start):
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
    return to_keyword(word) or (NAME if word.isascii() or first_non_letter(word) is None else BAD)


def opened_by(text: str, start: int) -> str:
    """What an unmatched character at `start` would have opened: comment, string, back-quote or ""."""
    if text.startswith("/*", start):
        return "comment"
    return _OPENERS.get(text[start], "")


def is_unclosed(text: str, start: int, end: int) -> bool:
    """Whether the bad piece from `start` to `end` is a comment, string or name that still waits for its end."""
    opened = opened_by(text, start)
    closed = end - start > 1 and text[end - 1] == text[start]
    return opened == "comment" or (opened != "" and not closed)


def lex_error_at(text: str, start: int, end: int) -> LexError:
    """Why the bad piece from `start` to `end` is bad."""
    control = CONTROL.search(text, start, end)
    if control is not None:
        at = control.start()
        return LexError(at, at + 1, f"{describe_character(text[at])} is refused everywhere; take it out")
    opened = opened_by(text, start)
    closed = not is_unclosed(text, start, end)
    if opened == "comment":
        return LexError(start, start + 2, "the comment that begins here is never closed: */ is missing")
    if opened == "back-quote":
        return (closed and _quoted_name_error(text, start, end)) or LexError(
            start, start + 1, "the name that begins here is never closed: a second ` is missing"
        )
    if opened == "string":
        return (closed and _string_error(text, start, end)) or LexError(
            start, start + 1, f"the string that begins here is never closed: a second {text[start]} is missing"
        )
    strange = first_non_letter(text[start : min(end, start + LONGEST_NAME + 1)])
    return LexError(start, end) if strange is None else _non_letter_error(text, start + strange, end)


def _non_letter_error(text: str, at: int, end: int) -> LexError:
    """A character above U+00A0 that is no letter, in a word that ends at `end`."""
    character = text[at]
    told = describe_character(character)
    if unicodedata.east_asian_width(character) == "F" and unicodedata.category(character) != "Zs":
        last = at
        while last < min(end, at + 40) and unicodedata.east_asian_width(text[last]) == "F":
            last += 1
        meant = unicodedata.normalize("NFKC", text[at:last])
        return LexError(at, last, f"{told} is a full-width form; did you mean {meant}?", meant)
    if unicodedata.category(character)[0] == "Z":
        return LexError(at, at + 1, f"{told} is no blank of this language; put a plain one")
    folded = to_ascii(character)
    if folded in _OPENERS:  # to write that here might be as wrong: it opens a string, and a name has none
        return LexError(
            at, at + 1, f"{told} is no quote here; a name stands bare or in ` `, a directory in {_PAIR}"
        )
    if folded:
        return LexError(at, at + 1, f"{told} means nothing here; did you mean {folded}?", folded)
    return LexError(at, at + 1, f"{told} stands only between back-quotes, in strings and in comments")


def _quoted_name_error(text: str, start: int, end: int) -> LexError | None:
    """What keeps the text between two back-quotes from being a name."""
    if end - start == 2:
        return LexError(start, end, "the name between the back-quotes is empty")
    wrong = _NOT_QUOTABLE.search(text, start + 1, end - 1)
    if wrong is None:
        return None
    at = wrong.start()
    if text[at] == ".":
        return LexError(at, at + 1, "a name can't hold a '.'")
    return LexError(at, at + 1, f"a name can't hold {describe_character(text[at])}")


def _string_error(text: str, start: int, end: int) -> LexError | None:
    """What keeps the text between two quotes from being a directory."""
    if end - start == 2:
        return LexError(start, end, "the directory between the quotes is empty")
    wrong = _SURROGATE.search(text, start, end)
    if wrong is not None:
        return LexError(
            wrong.start(), wrong.end(), f"a directory can't hold {describe_character(wrong.group())}"
        )
    sound = _ESCAPED_WELL.match(text, start + 1, end - 1)
    assert sound is not None
    if sound.end() == end - 1:
        return None
    at = sound.end()
    return LexError(
        at, at + 2, r"after a \ in a string stands one of \ " + "\" ' n t; a plain \\ is written \\\\"
    )


def to_ascii(word: str) -> str:
    """The ASCII text that `word` looks like or is a form of; "" where it looks like none."""
    parts = unicodedata.normalize("NFKD", word[:64].translate(_LOOKALIKES))
    plain = "".join(c for c in parts if unicodedata.category(c) != "Mn").translate(_LOOKALIKES)
    return plain if plain.isascii() and plain.isprintable() else ""
