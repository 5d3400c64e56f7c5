"""What is said to the terminal beside the screen: the clipboard (OSC 52) and notices (OSC 9), through tmux."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from jobtui.formatting import single_cells

# terminals drop longer clipboard texts without a word
_MOST_COPIED = 74_994
_NATIVE_SECONDS = 2.0


def clipboard_sequence(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """The escape sequence that puts the text on the terminal's clipboard."""
    coded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    return through(f"\x1b]52;c;{coded}\x07", environ)


def fits_clipboard(text: str) -> bool:
    """Whether terminals take a text of this length."""
    return len(text.encode("utf-8", "replace")) <= _MOST_COPIED


def notice_sequence(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """The escape sequence that has the terminal show a notice of its own."""
    return through(f"\x1b]9;{single_cells(text)[:200]}\x07", environ)


def through(sequence: str, environ: Mapping[str, str] = os.environ) -> str:
    """The sequence as it gets through tmux (which must allow it) or screen to the terminal around them."""
    if environ.get("TMUX"):
        # twice: tmux takes the bare one for its own paste buffer, the outer terminal gets the wrapped one
        return sequence + "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY"):
        return "\x1bP" + sequence + "\x1b\\"
    return sequence


def native_command(
    environ: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Sequence[str] | None:
    """The program that takes the desktop's clipboard from its input; None where there is no such desktop."""
    if environ.get("SSH_TTY") or environ.get("SSH_CONNECTION"):
        return None  # the desktop is at the other end
    candidates: list[tuple[str, ...]] = []
    if platform == "darwin":
        candidates.append(("pbcopy",))
    if environ.get("WAYLAND_DISPLAY"):
        candidates.append(("wl-copy",))
    if environ.get("DISPLAY"):
        candidates += [("xclip", "-selection", "clipboard"), ("xsel", "--clipboard", "--input")]
    return next((command for command in candidates if shutil.which(command[0])), None)


def copy_natively(text: str, command: Sequence[str]) -> bool:
    """Hand the text to the program; whether it took it. Up to two seconds: not for the screen's thread."""
    try:
        done = subprocess.run(
            command,
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_NATIVE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
