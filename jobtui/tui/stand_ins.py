"""Plain characters for those that a terminal's encoding doesn't have, each as wide as what it stands for."""

from __future__ import annotations

import codecs
from typing import TextIO

from rich.cells import cell_len

_NAME = "jobtui-stand-ins"
_DRAWN = str.maketrans(
    "─━═╌│┃▌▐┌┐└┘├┤┬┴┼╭╮╰╯▇█▓░▶▼▲◀✔✖■◼◷●◉·…→←↑↓⇧",
    "----||||+++++++++++++###.>v^<+x##o**..><^v^",
)


def stand_in_for_what_is_missing(stream: TextIO) -> None:
    """Have the stream write a stand-in for what it can't encode: an escape is wider, and shifts its line."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None or codecs.lookup(stream.encoding).name.startswith("utf"):
        return
    codecs.register_error(_NAME, _stand_in)
    reconfigure(errors=_NAME)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(map(_plain, missing)), error.end


def _plain(character: str) -> str:
    drawn = character.translate(_DRAWN)
    return drawn if drawn.isascii() else "?" * cell_len(character)
