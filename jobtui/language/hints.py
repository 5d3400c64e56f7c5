"""The error of a wrong statement, with a hint at what was probably meant.

Each hint function knows one kind of mistake and returns None for all others. The first hint that applies is
used. A proposed statement is parsed before it is proposed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

import msgspec

from jobtui.formatting import printable
from jobtui.language.errors import StatementError
from jobtui.language.grammar import Expected, Punctuation, expected_at, match
from jobtui.language.identifiers import BLANKS, describe_character, is_name, quote_name, to_keyword
from jobtui.language.lexer import BAD, NAME, NUMBER, STRING, LexError, Tokens, to_ascii
from jobtui.language.syntax import STATUSES, SYNTAX, Keyword, KeywordChoice, Placeholder, PlaceholderKind
from jobtui.suggest import did_you_mean

_PUNCTUATION: Final = {Punctuation.COMMA: ("a comma",), Punctuation.END: (";", "the end")}
_LONGEST: Final = 40
_MOST_WORDS: Final = 12
_VERBS: Final = frozenset(form.verb for form in SYNTAX)
_SOLID: Final = re.compile(r"[^\s;,'\"]{1,40}(?![^\s;,])")
_DOTTED: Final = re.compile(r"\d+(?:\.\d+){2}|[^\W\d]\w*\.\w")  # an address or a host name, not a fraction
_NAMES: Final = (PlaceholderKind.SPACE, PlaceholderKind.NEW_SPACE, PlaceholderKind.HOST)


class Hint(msgspec.Struct, frozen=True):
    """A sentence that ends an error message, and the near miss that it names."""

    text: str
    near: str | None = None


class ErrorContext(msgspec.Struct, frozen=True):
    """A statement that is right up to token `at`, and the parts that were expected there."""

    text: str
    tokens: Tokens
    at: int
    expected: tuple[Expected, ...]

    @property
    def missing(self) -> bool:
        """Whether the statement is only incomplete."""
        return self.at >= len(self.tokens.starts)

    @property
    def kind(self) -> str:
        """The kind of the wrong token, "" if one is missing."""
        return "" if self.missing else self.tokens.kinds[self.at]

    @property
    def word(self) -> str:
        """The text of the wrong token, "" if it is too long to be a typing error."""
        return "" if self.missing else self.written(self.at)

    def written(self, at: int) -> str:
        """Return the text of token number `at`, "" if it is long."""
        start, end = self.tokens.starts[at], self.tokens.ends[at]
        return self.text[start:end] if end - start <= _LONGEST else ""

    @property
    def before(self) -> str:
        """The character before the wrong token."""
        start = self.tokens.starts[self.at]
        return self.text[start - 1 : start] if start else ""

    def allows(self, *kinds: PlaceholderKind) -> bool:
        """Return whether a value of one of these kinds was expected."""
        return any(isinstance(one, Placeholder) and one.kind in kinds for one in self.expected)

    @property
    def may_end(self) -> bool:
        """Whether the statement could have ended."""
        return Punctuation.END in self.expected

    @property
    def keywords(self) -> tuple[str, ...]:
        """The keywords that were expected."""
        return _keywords(self.expected)


def syntax_error(text: str, tokens: Tokens, error: LexError | None) -> StatementError:
    """Return the error of a statement that has no form, or that ends with a lexical `error`.

    It is about the first thing that is wrong: the lexical error only if all tokens before it are right.
    """
    kinds = tokens.kinds if error is None else tokens.kinds[:-1]
    found = expected_at(kinds)
    if error is not None and error.message and found.position == len(kinds):
        return StatementError(error.message, text=text, span=(error.start, error.end), near=error.near)
    parts = tuple(part for _, part in found.expected)
    expected = describe_expected(parts)
    hint = hint_for(ErrorContext(text, tokens, found.position, parts))
    message = f"expected {any_of(expected)}"
    if hint is not None:
        message = f"{message}; {hint.text}"
    span = _span(tokens, found.position)
    near = None if hint is None else hint.near
    return StatementError(message, text=text, span=span, expected=expected, near=near)


def hint_for(context: ErrorContext) -> Hint | None:
    """Return the first hint that applies, None if none does."""
    return next(filter(None, (hint(context) for hint in _HINTS)), None)


def _hint_missing_semicolon(here: ErrorContext) -> Hint | None:
    """Return a hint for `ADMIN FLUSH SHOW JOBS`."""
    more = here.at + 1 < len(here.tokens.starts)
    if here.may_end and to_keyword(here.word) in _VERBS and more:
        return Hint("statements are separated by ;")
    return None


def _hint_keyword_as_name(here: ErrorContext) -> Hint | None:
    """Return a hint for `USE flush`."""
    if not here.allows(*_NAMES) or to_keyword(here.word) is None:
        return None
    near = f"`{here.word}`"
    return Hint(f"{here.word} is a keyword: to use it as a name, write it between back-quotes, {near}", near)


def _hint_digits_as_name(here: ErrorContext) -> Hint | None:
    """Return a hint for `USE 2nba`."""
    if not here.allows(*_NAMES) or here.word[:1] not in set("0123456789"):
        return None
    near = f"`{here.word}`"
    return Hint(f"a name that begins with a digit is written between back-quotes: {near}", near)


def _hint_string_as_name(here: ErrorContext) -> Hint | None:
    """Return a hint for `USE 'nba'`."""
    name = here.word[1:-1]
    if here.kind != STRING or not here.allows(*_NAMES) or not is_name(name):
        return None
    return Hint(
        f"a name is written bare or between back-quotes; did you mean {quote_name(name)}?", quote_name(name)
    )


def _hint_name_as_string(here: ErrorContext) -> Hint | None:
    """Return a hint for `CREATE SPACE chain AT dir`."""
    if here.kind != NAME or not here.allows(PlaceholderKind.DIRECTORY) or not here.word:
        return None
    near = f'"{here.word.strip("`")}"'
    return Hint(f"a directory is written in quotes; did you mean {near}?", near)


def _hint_other_digits(here: ErrorContext) -> Hint | None:
    """Return a hint for SHOW JOB `40`, SHOW JOB ² and SHOW JOB 0xg."""
    if not here.allows(PlaceholderKind.JOB, PlaceholderKind.COUNT):
        return None
    digits = here.word.strip("`\"'")
    if digits and all(unicodedata.digit(c, None) is not None for c in digits):
        near = "".join(str(unicodedata.digit(c)) for c in digits)
        return Hint(f"a number is written with the digits 0 to 9; did you mean {near}?", near)
    if here.kind == BAD and here.word[:1] in set("0123456789"):
        return Hint(f"{here.word} is not a whole number")
    return None


def _hint_lookalike(here: ErrorContext) -> Hint | None:
    """Return a hint for `ЅHOW JOBS` with a Cyrillic letter."""
    if here.kind != NAME or here.word.isascii():
        return None
    meant = to_keyword(to_ascii(here.word))
    if meant is None or meant not in here.keywords:
        return None
    other = next(c for c in here.word if not c.isascii())
    shown = "" if unicodedata.combining(other) else f"{other} is "
    return Hint(f"{shown}{describe_character(other)}; did you mean {meant}?", meant)


def _hint_misspelled(here: ErrorContext) -> Hint | None:
    """Return a hint for `SHOW JBO`."""
    word = here.word
    near = did_you_mean(word, here.keywords) if len(word) > 1 and word.isascii() and word.isalpha() else None
    return None if near is None else Hint(f"did you mean {near}?", near)


def _hint_other_preposition(here: ErrorContext) -> Hint | None:
    """Return a hint for `SHOW JOBS ON nba` and `SHOW JOBS FROM nba`."""
    if here.word.upper() not in ("ON", "OF", "FROM", "FOR") or "IN" not in here.keywords:
        return None
    return Hint("did you mean IN?", "IN")


def _hint_run_together(here: ErrorContext) -> Hint | None:
    """Return a hint for `SHOWJOBS` and `JOB40`."""
    capitals = here.word.upper()
    for word in here.keywords:
        rest = capitals.removeprefix(word).lstrip("_")
        if capitals.startswith(word) and (to_keyword(rest) is not None or (rest.isascii() and rest.isdigit())):
            return Hint(f"did you mean {word} {rest}?", f"{word} {rest}")
    return None


def _hint_left_out(here: ErrorContext) -> Hint | None:
    """Return a hint for `STOP 22` and `COMPACT nba` (right with one more keyword)."""
    if here.missing:
        return None
    words = here.keywords if here.at else ("ADMIN", "SHOW")
    corrected = [near for word in words if (near := _corrected(here, here.at, here.at, word)) is not None]
    return Hint(f"did you mean {corrected[0]}?", corrected[0]) if len(corrected) == 1 else None


def _hint_previous_keyword(here: ErrorContext) -> Hint | None:
    """Return a hint for `SHOW JOBS 40` and `SHOW JOB` (right with another keyword before it)."""
    at = here.at - 1
    if at < 0 or len(here.tokens.kinds) > _MOST_WORDS:
        return None
    before = to_keyword(here.written(at))
    if before is None:
        return None
    for word in _keywords(tuple(one for _, one in expected_at(here.tokens.kinds[:at]).expected)):
        if word != before and did_you_mean(before, [word]):
            near = _corrected(here, at, at + 1, word)
            if near is not None:
                return Hint(f"did you mean {near}?", near)
    return None


def _hint_misplaced(here: ErrorContext) -> Hint | None:
    """Return a hint for `SHOW JOBS FAILED` and `DROP SPACE nba IF EXISTS`."""
    word, verb = here.word.upper(), here.written(0).upper()
    if word == "IF" and here.may_end and verb in ("CREATE", "DROP"):
        return Hint(f"IF {'NOT EXISTS' if verb == 'CREATE' else 'EXISTS'} comes before the name")
    if verb != "SHOW" or not here.may_end:
        return None
    before = {to_keyword(here.written(at)) for at in range(here.at)}
    if "JOBS" not in before:
        return None
    if word in STATUSES:
        return Hint(f"the status comes before JOBS: SHOW {word} JOBS", f"SHOW {word} JOBS")
    if word == "WHERE":
        return Hint("choose jobs by status or space, as in SHOW FAILED JOBS IN nba")
    if word == "IN" and "LIMIT" in before:
        return Hint("IN comes before LIMIT")
    return None


def _hint_range(here: ErrorContext) -> Hint | None:
    """Return a hint for `RECOVER JOB 1-3`, `BACKUP JOB 0 TO 22` and `SHOW JOB 40-0`."""
    if here.word.upper() not in ("-", ",", "TO", "AND", "..") or (here.word == "-" and here.before in BLANKS):
        return None
    if here.written(0).upper() == "BACKUP" and here.at == 3:
        return Hint("the first and the last id are separated by a blank, as in BACKUP JOB 0 22")
    if Punctuation.COMMA in here.expected and here.written(0).upper() in ("STOP", "RECOVER"):
        return Hint("ids are listed one by one, as in 1, 2, 3")
    if here.written(0).upper() == "SHOW" and here.at == 3 and here.written(1).upper() == "JOB":
        return Hint("one job is shown at a time, with all its tasks, as in SHOW JOB 40")
    return None


def _hint_sign_or_fraction(here: ErrorContext) -> Hint | None:
    """Return a hint for `STOP JOB --22`, `SHOW JOB 1.0` and `USE a.b`."""
    if here.word == "--":
        return Hint("-- begins a comment only before a blank, and numbers have no sign")
    if here.word in ("-", "+") and here.allows(PlaceholderKind.JOB, PlaceholderKind.COUNT):
        return Hint("numbers have no sign")
    if here.word != ".":
        return None
    before = here.tokens.kinds[here.at - 1] if here.at else ""
    if before == NUMBER or here.allows(PlaceholderKind.JOB, PlaceholderKind.COUNT):
        return Hint("numbers are whole")
    return Hint("a name cannot hold a '.'") if before == NAME else None


def _hint_dotted_host(here: ErrorContext) -> Hint | None:
    """Return a hint for `CREATE SPACE a ON 192.168.8.5, host.example.com`."""
    before = [to_keyword(here.written(at)) for at in range(here.at)]
    if before[:1] != ["CREATE"] or "ON" not in before or "HOSTS" in before or here.missing:
        return None
    at = here.at - 1 if here.word == "." else here.at
    if not _DOTTED.match(here.text, here.tokens.starts[at]):
        return None
    return Hint("a host whose name has a '.' cannot be named here: give the number of hosts, as in ON 3 HOSTS")


def _hint_special_characters(here: ErrorContext) -> Hint | None:
    """Return a hint for `USE my-space` and `USE _x`."""
    if here.kind != BAD or here.word[:1] in ("", "&", "|"):
        return None
    start = here.tokens.starts[here.at]
    if not here.allows(*_NAMES):
        if not here.at or here.tokens.kinds[here.at - 1] != NAME or here.tokens.ends[here.at - 1] != start:
            return None
        start = here.tokens.starts[here.at - 1]
    name = _SOLID.match(here.text, start)
    meant = "" if name is None else name.group()
    if "`" in meant or not is_name(meant) or printable(meant) != meant:
        return None
    near = f"`{meant}`"
    return Hint(
        f"a name with other characters than letters, digits and _ is written between back-quotes: {near}", near
    )


def _hint_other_separator(here: ErrorContext) -> Hint | None:
    """Return a hint for `SHOW JOBS && SHOW JOBS`."""
    if here.kind == BAD and here.may_end and here.word in ("&&", "&", "||", "|", ":", "/", "\\"):
        return Hint("statements are separated by ;")
    return None


_HINTS: Final[tuple[Callable[[ErrorContext], Hint | None], ...]] = (
    _hint_missing_semicolon,
    _hint_dotted_host,
    _hint_keyword_as_name,
    _hint_digits_as_name,
    _hint_string_as_name,
    _hint_name_as_string,
    _hint_other_digits,
    _hint_lookalike,
    _hint_run_together,
    _hint_misspelled,
    _hint_other_preposition,
    _hint_previous_keyword,
    _hint_left_out,
    _hint_misplaced,
    _hint_range,
    _hint_sign_or_fraction,
    _hint_special_characters,
    _hint_other_separator,
)


def _keywords(parts: tuple[Expected, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for part in parts:
        match part:
            case Keyword(word):
                found[word] = None
            case KeywordChoice(_, choices):
                found.update(dict.fromkeys(choices))
            case _:
                pass
    return tuple(found)


def _corrected(here: ErrorContext, first: int, last: int, word: str) -> str | None:
    """Return the statement with `word` for tokens `first` to `last`, None if it is wrong."""
    tokens = here.tokens
    kinds = [*tokens.kinds[:first], word, *tokens.kinds[last:]]
    if len(kinds) > _MOST_WORDS or match(kinds) is None:
        return None
    written = [here.written(at) for at in range(len(tokens.starts))]
    written[first:last] = [word]
    near = " ".join(written)
    return near if all(written) and len(near) <= 2 * _LONGEST and printable(near) == near else None


def describe_expected(parts: tuple[Expected, ...]) -> tuple[str, ...]:
    """Return what a user would type for each part, keywords first and the end last."""
    found: dict[str, int] = {}
    for part in parts:
        match part:
            case Keyword(word):
                found.setdefault(word, 0)
            case KeywordChoice(_, choices, _, label):
                for name in (label,) if label else choices:
                    found.setdefault(name, 1 if label else 0)
            case Placeholder():
                found.setdefault(part.kind.value, 2)
            case Punctuation():
                for name in _PUNCTUATION[part]:
                    found.setdefault(name, 4 if part is Punctuation.END else 3)
    return tuple(sorted(found, key=found.__getitem__))


def any_of(names: tuple[str, ...]) -> str:
    """Return `a`, `a or b`, or `a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _span(tokens: Tokens, at: int) -> tuple[int, int]:
    """Return the span of the wrong token, or the empty one if a token is missing."""
    if at < len(tokens.starts):
        return tokens.starts[at], tokens.ends[at]
    return tokens.ends[-1], tokens.ends[-1]
