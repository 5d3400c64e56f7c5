"""What the terminal sends, read as keys and pastes: Textual's parser, made to bear keys that come in one go."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

_ESC = "\x1b"
_PASTE, _PASTED = "\x1b[200~", "\x1b[201~"
# what a terminal's own sequences begin with after the esc, and alt with an arrow as some terminals send it
_NO_KEYS = frozenset("[O]P_^X\\Nfb")


class KeyParser(XTermParser):
    """Reads esc and the key soon after it as these two keys: no command here has a key with alt.

    Textual makes one key of them, or a sign like `™` of esc and 2: of keys that come in one go, after a stall
    or over a slow line, the esc would be lost, and the other typed into what it was to leave. And what is
    pasted is text to its end: Textual does what keys would do that stand after an esc in it.
    """

    def __init__(self, debug: bool = False) -> None:
        self._pasted: list[str] | None = None
        super().__init__(debug)

    def feed(self, data: str) -> Iterable[Message]:
        """Read what came; an empty text is the end."""
        if not data:
            yield from super().feed(data)
        while data:
            if self._pasted is None:
                keys, paste, data = data.partition(_PASTE)
                if keys:
                    yield from super().feed(keys)
                if paste:
                    self._pasted = []
            else:
                # the mark of its end may come in two pieces
                tail = self._pasted.pop() if self._pasted else ""
                text, pasted, data = (tail + data).partition(_PASTED)
                edge = len(text) if pasted else max(0, len(text) - len(_PASTED) + 1)
                self._pasted += [text[:edge], text[edge:]]
                if pasted:
                    yield events.Paste("".join(self._pasted).replace("\0", ""))
                    self._pasted = None

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        letter = sequence[1:] if len(sequence) == 2 and sequence[0] == _ESC else ""
        if letter and letter.isprintable() and letter not in _NO_KEYS:
            sequence, alt = letter, True
        if alt:
            yield events.Key("escape", _ESC)
        yield from super()._sequence_to_key_events(sequence)
