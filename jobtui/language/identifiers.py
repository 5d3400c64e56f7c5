"""Characters, keywords and names, and how a name is quoted."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

# Reserved: as a name, each must be quoted.
KEYWORDS: Final = (
    "ADMIN",
    "SUBMIT",
    "SHOW",
    "STOP",
    "BACKUP",
    "RECOVER",
    "USE",
    "CREATE",
    "DROP",
    "FLUSH",
    "COMPACT",
    "JOB",
    "JOBS",
    "SPACES",
    "HOSTS",
    "QUEUE",
    "RUNNING",
    "FINISHED",
    "FAILED",
    "STOPPED",
    "ARCHIVED",
    "IN",
    "LIMIT",
    "SPACE",
    "IF",
    "NOT",
    "EXISTS",
    "ON",
    "AT",
    "WITH",
)

# Not reserved: each is a keyword where the grammar expects one, and a name where it expects a name.
CONTEXTUAL: Final = (
    "EXPLAIN",
    "ADVICE",
    "PAUSE",
    "RESUME",
    "RESTORE",
    "SET",
    "RATE",
    "OFF",
    "FOR",
    "SCHEDULE",
    "SCHEDULES",
    "RUN",
    "UNTIL",
    "DO",
    "NEEDED",
    "AND",
    "OR",
    # metrics
    "DELETIONS",
    "L0_FILES",
    "PENDING",
    "GAIN",
    "SIZE",
    "MEMTABLE",
    "FREE",
    "AGE",
    # options
    "ROLLING",
    "WAIT",
    "ORDER",
    "ON_FAILURE",
    "RETRY",
    "RETRY_WAIT",
    "FAMILY",
    "FROM",
    "TO",
    "ROOM",
    "BECAUSE",
    "NOW",
    "FAILED_ONLY",
    "WHOLE",
    "TIMEZONE",
    # the words of their values
    "LISTED",
    "LARGEST",
    "SMALLEST",
    "CONTINUE",
    "TRUE",
    "FALSE",
)

BLANKS: Final = " \t\r\n\u00a0"
BYTE_ORDER_MARK: Final = "\ufeff"
MAX_NAME_LENGTH: Final = 4096
MAX_NUMBER: Final = 2**63 - 1

CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""The characters that are refused everywhere, in strings and comments too."""

NEVER_IN_A_NAME: Final = "[.\x00-\x1f\x7f-\x9f\ud800-\udfff]"
"""The characters that no name holds, not even between back-quotes. A lone surrogate can be neither stored nor
printed."""

_MAX_KEYWORD_LENGTH: Final = max(map(len, (*KEYWORDS, *CONTEXTUAL)))
_KEYWORD_SET: Final = frozenset(KEYWORDS)
_WORD_SET: Final = frozenset((*KEYWORDS, *CONTEXTUAL))
BEGINS_WORD: Final = r"[^\x00-@\[-`{-\xa0]"
CONTINUES_WORD: Final = r"[^\x00-/:-@\[-^`{-\xa0]"
"""A letter; and a letter, digit or _. All characters from U+00A1 on count as letters here. The classes are
negated because `re` takes milliseconds to compile a class of a million characters."""

_WORD: Final = re.compile(f"{BEGINS_WORD}{CONTINUES_WORD}*")

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})

# Unicode calls these letters and symbols, but they are invisible: fillers of Hangul, the empty cell of Braille.
_UNSEEN: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_CONTROL_NAMES: Final = {
    0x00: "NUL",
    0x07: "BELL",
    0x08: "BACKSPACE",
    0x09: "TAB",
    0x0A: "LINE FEED",
    0x0B: "VERTICAL TAB",
    0x0C: "FORM FEED",
    0x0D: "CARRIAGE RETURN",
    0x1B: "ESCAPE",
    0x7F: "DELETE",
    0x85: "NEXT LINE",
}


def to_reserved_keyword(word: str) -> str | None:
    """Return `word` in capitals if it is a reserved keyword, otherwise None.

    Only ASCII letters count: U+212A is not K.
    """
    capitals = to_keyword(word)
    return capitals if capitals in _KEYWORD_SET else None


def to_keyword(word: str) -> str | None:
    """Return `word` in capitals if it is a keyword, reserved or contextual, otherwise None."""
    if len(word) > _MAX_KEYWORD_LENGTH or not word.isascii():
        return None
    capitals = word.upper()
    return capitals if capitals in _WORD_SET else None


def is_bare_name(name: str) -> bool:
    """Return whether `name` can be typed without back-quotes."""
    return (
        len(name) <= MAX_NAME_LENGTH
        and _WORD.fullmatch(name) is not None
        and to_reserved_keyword(name) is None
        and (name.isascii() or first_non_letter(name) is None)
    )


def is_name(name: str) -> bool:
    """Return whether `name` can be typed, between back-quotes if necessary.

    A space of a cluster can have a name that cannot.
    """
    return 0 < len(name) <= MAX_NAME_LENGTH and re.search(NEVER_IN_A_NAME, name) is None


def is_host_name(name: str) -> bool:
    """Return whether `name` can be typed as a host's: in quotes it may hold a `.`."""
    return is_name(name.replace(".", "_"))


def first_non_letter(word: str) -> int | None:
    """Return the index of the first character above U+00A0 that is not a letter, or None."""
    found = [c for c in set(word) if c > "\u00a0" and not _is_letter(c)]
    return min(map(word.index, found)) if found else None


@lru_cache(maxsize=4096)
def _is_letter(character: str) -> bool:
    category = unicodedata.category(character)
    if category[0] in "ZP" or category in ("Cc", "Cf", "Cs"):
        return False
    return unicodedata.east_asian_width(character) != "F" and character not in _UNSEEN


def describe_character(character: str) -> str:
    """Return the code point and name of `character`: `U+200B ZERO WIDTH SPACE`."""
    number = ord(character)
    name = unicodedata.name(character, "") or _CONTROL_NAMES.get(number, "")
    if not name and unicodedata.category(character) == "Cc":
        name = "a control character"
    if unicodedata.category(character) == "Cs":
        name = "half a character (the text was not valid UTF-8)"
    return f"U+{number:04X} {name}".rstrip()


def quote_name(name: str) -> str:
    """Return `name` as it must be typed: bare, or between back-quotes if necessary.

    Raises:
        ValueError: If it cannot be typed (see `is_name`): it is empty, longer than 4,096 characters, or holds
            a `.` or a control character.
    """
    if is_bare_name(name):
        return name
    if not is_name(name):
        raise ValueError("no statement can hold this name")
    return f"`{name.replace('`', '``')}`"


def quote_host(name: str) -> str:
    """Return the name of a host as it must be typed: in quotes if it holds a `.`.

    Raises:
        ValueError: If it cannot be typed: it is empty, too long, or holds a control character.
    """
    return quote_text(name) if "." in name and is_host_name(name) else quote_name(name)


def quote_text(text: str) -> str:
    """Return a text in quotes."""
    return f'"{text.translate(_ESCAPES)}"'
