"""What the dashboard can be told at its start. Importing this imports no part of Textual."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Confirm(enum.StrEnum):
    """When stop, recover, archive and compact ask first. DROP SPACE always asks, a flush never does."""

    ALWAYS = "always"
    BULK = "bulk"  # only where more than one job is touched


class TuiSettings(msgspec.Struct, frozen=True):
    """The dashboard's settings; every one has a default.

    `state_dir`: where the columns, the theme and the bar's history are kept across starts (None: they are not
    kept). `theme`: a theme's name, "" for the one chosen last. `keymap`: a command's id to the
    keys that it is to have, as in `{"stop": "ctrl+s,s"}`. `bell`: ring when a watched job ends.
    `terminal_notice`: tell the terminal as well (OSC 9). `keep_failed`: the bar's history keeps texts that
    did not parse. `mouse`: take the mouse. `continue_after_hangup`: a lost
    terminal does not stop the work. `demo`: this is the throw-away profile of `--demo`, and the hints
    say so. `hint`: one line for the top of an empty screen.
    """

    state_dir: Path | None = None
    theme: str = ""
    confirm: Confirm = Confirm.ALWAYS
    keymap: Mapping[str, str] = msgspec.field(default_factory=dict)
    bell: bool = True
    terminal_notice: bool = False
    keep_failed: bool = False
    mouse: bool = True
    continue_after_hangup: bool = True
    demo: bool = False
    hint: str = ""
