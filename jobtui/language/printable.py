"""Foreign text as it may be printed: nothing in it moves a cursor, turns a line round or ends one.

A space's name, a host's error and a mistyped statement can hold anything. Whatever a terminal would
obey or hide is shown as a visible escape instead; all else stays as it is.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_OBEYED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """`text` with control, format (zero-width, bidi) and line-breaking characters as visible escapes.

    The answer holds no lone surrogate, so that it can be written to any UTF-8 stream.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def is_obeyed(character: str) -> bool:
    """Whether a terminal or a text layout may act on `character` rather than show it."""
    return not character.isprintable() and unicodedata.category(character) in _OBEYED


def _shown(character: str) -> str:
    if not is_obeyed(character):
        return character
    number = ord(character)
    if number < 0x100:
        return _SHORT.get(character, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
