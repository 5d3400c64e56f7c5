"""The lexer: text to tokens, in linear time whatever the text.

One regular expression is tried once at every position, and each of its alternatives is linear. The tokens of a
statement end with the first that no statement can hold (a `LexError`); the text after it is not read.
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
    CONTEXTUAL,
    CONTINUES_WORD,
    CONTROL,
    MAX_NAME_LENGTH,
    describe_character,
    first_non_letter,
    to_keyword,
)

# The kinds of tokens. A keyword has itself, in capitals, as its kind, and a symbol itself.
NAME: Final = "name"
NUMBER: Final = "number"
DECIMAL: Final = "decimal"
"""A number with a fraction: `1.5`."""
MEASURE: Final = "measure"
"""A number with its unit, without a blank: `50MiB` or `1h30min`."""
STRING: Final = "string"
COMMA: Final = ","
BAD: Final = "bad"
SEMICOLON: Final = "semicolon"
COMMENT: Final = "comment"

SYMBOLS: Final = frozenset({"=", "!=", "<", "<=", ">", ">=", "(", ")", "%"})
CONTEXTUAL_KINDS: Final = frozenset(CONTEXTUAL)
NAMES: Final = frozenset({NAME, *CONTEXTUAL})
"""The kinds of tokens that are a name where the grammar has a name."""


class Tokens(msgspec.Struct, frozen=True):
    """The tokens of one statement: their kinds, and the position of each in the text.

    Three flat lists instead of a list of objects, because a list of half a million ids is a statement, too.
    """

    kinds: list[str]
    starts: list[int]
    ends: list[int]


class LexError(msgspec.Struct, frozen=True):
    """A position at which no statement can continue, and the reason.

    Attributes:
        message: The reason, "" for characters that have no meaning at this position.
        near: The text that was probably meant, None if that is unknown.
    """

    start: int
    end: int
    message: str = ""
    near: str | None = None


_PATTERN: Final = re.compile(
    rf"""
    (?: (?P<word> {BEGINS_WORD}{CONTINUES_WORD}*+ )
      | (?P<number> (?: 0[xX][0-9a-fA-F]++ | [0-9]++ ) (?!{CONTINUES_WORD}|\.) )
      | (?P<decimal> [0-9]++\.[0-9]++ (?!{CONTINUES_WORD}|\.) )
      | (?P<measure> (?: [0-9]++(?:\.[0-9]++)?+[A-Za-z]++ )++ (?!{CONTINUES_WORD}|\.) )
      | (?P<integer> (?: 0[xX][0-9a-fA-F]++ | [0-9]++ ) (?!{CONTINUES_WORD}) )  # before a point
      | (?P<comma> , )
      | (?P<semicolon> ; [;{BLANKS}]*+ )
      | (?P<quoted> `[^`]*+(?:``[^`]*+)*+` )
      | (?P<string> "[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+' )
      | (?P<symbol> (?: [<>!]= | [<>=] ) (?![<>=!]) | [()%] (?! [()%]{{64}} ) )
      | (?P<comment> (?: \# | // | --(?=[{BLANKS}]|\Z) ) [^\r\n]*+ | /\*.*?\*/ )
      | (?P<junk> [0-9]{CONTINUES_WORD}*+ | -- | [!$%&()*+.:<=>?@\[\\\]^_{{|}}~]++ | [^{BLANKS}] )
    ) [{BLANKS}]*+
    """,
    re.DOTALL | re.VERBOSE,
)
# a run of more than 64 parentheses is junk: as tokens, a megabyte of them takes a second longer
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
    """Yield the tokens of each statement in order; empty statements are omitted.

    Only the last statement can have an error: its last token is then BAD, at the position of the error.
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
    """Yield each token's kind, start and end, including SEMICOLON, COMMENT and BAD.

    Blanks are omitted. The function continues after a BAD token, as a highlighter needs. An unclosed comment or
    string is one BAD token.
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
                yield _word_kind(text[start : min(end, start + MAX_NAME_LENGTH + 1)]), start, end
            elif group in ("number", "integer"):
                yield NUMBER, start, end
            elif group == "comma":
                yield COMMA, start, end
            elif group == "symbol":
                yield text[start:end], start, end
            elif group == "quoted":
                yield (BAD if _quoted_name_error(text, start, end) else NAME), start, end
            elif group == "string":
                yield (BAD if _string_error(text, start, end) else STRING), start, end
            elif group == "junk" and construct_at(text, start):
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


def construct_at(text: str, start: int) -> str:
    """Return what opens at `start`: "comment", "string", "back-quote" or ""."""
    if text.startswith("/*", start):
        return "comment"
    return _OPENERS.get(text[start], "")


def is_unclosed(text: str, start: int, end: int) -> bool:
    """Return whether the BAD token is a comment, string or name without its end."""
    opened = construct_at(text, start)
    closed = end - start > 1 and text[end - 1] == text[start]
    return opened == "comment" or (opened != "" and not closed)


def lex_error_at(text: str, start: int, end: int) -> LexError:
    """Return why the token from `start` to `end` is BAD."""
    control = CONTROL.search(text, start, end)
    if control is not None:
        at = control.start()
        return LexError(at, at + 1, f"{describe_character(text[at])} is refused everywhere; remove it")
    opened = construct_at(text, start)
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
    strange = first_non_letter(text[start : min(end, start + MAX_NAME_LENGTH + 1)])
    return LexError(start, end) if strange is None else _non_letter_error(text, start + strange, end)


def _non_letter_error(text: str, at: int, end: int) -> LexError:
    """Return the error for the character at `at` of a word that ends at `end`.

    It is above U+00A0 and not a letter.
    """
    character = text[at]
    described = describe_character(character)
    if unicodedata.east_asian_width(character) == "F" and unicodedata.category(character) != "Zs":
        last = at
        while last < min(end, at + 40) and unicodedata.east_asian_width(text[last]) == "F":
            last += 1
        meant = unicodedata.normalize("NFKC", text[at:last])
        return LexError(at, last, f"{described} is a full-width form; did you mean {meant}?", meant)
    if unicodedata.category(character)[0] == "Z":
        return LexError(at, at + 1, f"{described} is not a blank of this language; use a plain one")
    folded = to_ascii(character)
    if folded in _OPENERS:  # a straight quote can be as wrong here: it opens a string
        return LexError(
            at, at + 1, f"{described} is not a quote here; write a name bare or in ` `, a string in {_PAIR}"
        )
    if folded:
        return LexError(at, at + 1, f"{described} has no meaning here; did you mean {folded}?", folded)
    return LexError(at, at + 1, f"{described} is allowed only between back-quotes, in strings and in comments")


def _quoted_name_error(text: str, start: int, end: int) -> LexError | None:
    """Return why the text between two back-quotes is not a name, None if it is one."""
    if end - start == 2:
        return LexError(start, end, "the name between the back-quotes is empty")
    wrong = _NOT_QUOTABLE.search(text, start + 1, end - 1)
    if wrong is None:
        return None
    at = wrong.start()
    if text[at] == ".":
        return LexError(at, at + 1, "a name cannot hold a '.'")
    return LexError(at, at + 1, f"a name cannot hold {describe_character(text[at])}")


def _string_error(text: str, start: int, end: int) -> LexError | None:
    """Return why the text between two quotes is not a string, None if it is one."""
    if end - start == 2:
        return LexError(start, end, "there is nothing between the quotes")
    wrong = _SURROGATE.search(text, start, end)
    if wrong is not None:
        return LexError(wrong.start(), wrong.end(), f"a string cannot hold {describe_character(wrong.group())}")
    sound = _ESCAPED_WELL.match(text, start + 1, end - 1)
    assert sound is not None
    if sound.end() == end - 1:
        return None
    at = sound.end()
    return LexError(
        at, at + 2, r"a \ in a string is followed by one of \ " + "\" ' n t; write \\\\ for a plain \\"
    )


def to_ascii(word: str) -> str:
    """Return the ASCII text that `word` looks like or is a form of, "" if there is none."""
    parts = unicodedata.normalize("NFKD", word[:64].translate(_LOOKALIKES))
    plain = "".join(c for c in parts if unicodedata.category(c) != "Mn").translate(_LOOKALIKES)
    return plain if plain.isascii() and plain.isprintable() else ""
