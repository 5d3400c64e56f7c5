"""The terminal's input, parsed as keys and pastes."""

from __future__ import annotations

import pytest
from textual import events
from textual.message import Message

from jobtui.tui.textual_ext.driver import KeyParser

_PASTE, _PASTED = "\x1b[200~", "\x1b[201~"


def read(*pieces: str) -> list[str]:
    """The keys, and the pasted texts, of what came in these pieces."""
    parser = KeyParser()
    return [_events_of(message) for piece in pieces for message in parser.feed(piece)]


def _events_of(message: Message) -> str:
    match message:
        case events.Key():
            return message.key
        case events.Paste():
            return f"pasted {message.text!r}"
        case _:
            return repr(message)


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1bt", ["escape", "t"]),
        ("\x1bT", ["escape", "T"]),
        ("\x1b2", ["escape", "2"]),
        ("\x1b:", ["escape", "colon"]),
        ("\x1b:SHOW\r", ["escape", "colon", "S", "H", "O", "W", "enter"]),
        ("\x1b/\x1b[A", ["escape", "slash", "up"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("\x1b[A\x1bOB\x1b[1;2A", ["up", "down", "shift+up"]),
        ("\x1b\x7f", ["ctrl+w"]),
        ("\x1bf", ["ctrl+right"]),
    ],
)
def test_esc_and_a_following_key_are_two_keys(sent: str, keys: list[str]) -> None:
    assert read(sent) == keys


@pytest.mark.parametrize("text", ["", "SHOW JOBS", "a\x1bqb\x1b[Ac\x1b", "\x1b[20", "é\n" * 5000])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_paste_in_any_pieces_is_text_to_its_end(text: str, size: int) -> None:
    sent = text + _PASTED + "q"
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert read("x" + _PASTE, *pieces) == ["x", f"pasted {text!r}", "q"]
