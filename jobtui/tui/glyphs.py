"""Characters that a terminal cannot show, replaced by plain ones.

A terminal lacks a character if its encoding has none for it, or if its font has no glyph for it: the font of
the Linux console has 256 or 512 glyphs, and of a terminal that calls itself a vt100 only ASCII can be expected.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from typing import TextIO

from rich.cells import cell_len

# ---- merged from jobtui.tui.stand_ins: ----
# Plain characters for those that a terminal does not have, each as wide as what it stands for.
#
# A terminal lacks a character if its encoding has none for it, or if its font has no glyph for it: that of the
# Linux console has 256 or 512, and of a terminal that calls itself a vt100 only ASCII can be expected.
#
_NAME = "jobtui-stand-ins"


_STAND_INS = {
    "-": "─━═╌–",
    "|": "│┃▏▎▍▌▋▊▉▐▕‖",
    "+": "┌┐└┘├┤┬┴┼╭╮╰╯✔",
    "_": "▁▂▃▄▅▆",
    "'": "▀",
    "#": "▇█▓■◼",
    ":": "▒",
    ".": "░·…",
    ">": "▶▸›→",
    "<": "◀‹←",
    "^": "▲↑⇧",
    "v": "▼↓",
    "x": "✖",
    "o": "◷○◌",
    "*": "●◉•",
}


_DRAWN = {ord(drawn): plain for plain, all_drawn in _STAND_INS.items() for drawn in all_drawn}


# what both the kernel's own font and the usual console fonts have
_OF_CONSOLE_FONTS = "─│┌┐└┘├┤┬┴┼░▒▓█▄▀·←→↑↓"


_NOT_ON_CONSOLE = {code: plain for code, plain in _DRAWN.items() if chr(code) not in _OF_CONSOLE_FONTS}


def encoder_for(stream: TextIO) -> Callable[[str], bytes]:
    """Return the function that encodes text for the terminal behind the stream, as TERM describes it."""
    encoding, errors = stream.encoding, stream.errors or "backslashreplace"
    if not codecs.lookup(encoding).name.startswith("utf"):
        codecs.register_error(_NAME, _stand_in)
        errors = _NAME  # an escape would be wider than what is missing, and shift its line
    missing = _without_glyph(os.environ.get("TERM", ""))
    if not missing:
        return lambda text: text.encode(encoding, errors)
    return lambda text: text.translate(missing).encode(encoding, errors)


def _without_glyph(term: str) -> dict[int, str]:
    if term.split("-")[0] == "linux":
        return _NOT_ON_CONSOLE
    return _DRAWN if term[:2] == "vt" and term[2:3].isdigit() else {}


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(map(_plain, missing)), error.end


def _plain(character: str) -> str:
    drawn = character.translate(_DRAWN)
    return drawn if drawn.isascii() else "?" * cell_len(character)
