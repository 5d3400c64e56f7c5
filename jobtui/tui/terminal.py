"""The user's terminal apart from the screen: clipboard, notices, missing characters.

A terminal lacks a character if its encoding has none for it, or if its font has no glyph for it: the font of
the Linux console has 256 or 512 glyphs, and of a terminal that calls itself a vt100 only ASCII can be expected.
"""

from __future__ import annotations

import base64
import codecs
import enum
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from rich.cells import cell_len

from jobtui.engine.lifecycle import is_held
from jobtui.formatting import format_percent, single_cells
from jobtui.model import Job, Status

# xterm and others drop longer texts silently
_MAX_COPIED = 74_994
_NATIVE_SECONDS = 2.0


class ColorDepth(enum.IntEnum):
    """The number of colors that a terminal shows."""

    NONE = 1
    SIXTEEN = 16
    PALETTE = 256
    TRUE = 1 << 24


def color_depth(environ: Mapping[str, str] = os.environ, colors: int | None = None) -> ColorDepth:
    """Return the terminal's depth.

    Args:
        environ: The environment. COLORTERM states it for most terminals; tmux and screen set TERM.
        colors: The colors of the terminal's entry in terminfo, None to look it up if TERM does not state it.
    """
    if environ.get("NO_COLOR"):
        return ColorDepth.NONE
    term = environ.get("TERM", "")
    # GNU screen passes COLORTERM on, and shows 256 colors at most
    is_true = environ.get("COLORTERM") in ("truecolor", "24bit") and not environ.get("STY")
    if is_true or term.endswith(("-direct", "-truecolor")):
        return ColorDepth.TRUE
    if term.endswith("-256color"):
        return ColorDepth.PALETTE
    if term in ("", "dumb") or (term[:2] == "vt" and term[2:3].isdigit()):
        return ColorDepth.NONE
    found = colors if colors is not None else _terminfo_colors(term)
    if found < 8:
        return ColorDepth.NONE
    return ColorDepth.PALETTE if found >= 256 else ColorDepth.SIXTEEN


def _terminfo_colors(term: str) -> int:
    """Return the colors of a terminal by its entry in terminfo, 16 if there is none."""
    try:
        import curses  # late: most terminals state it in COLORTERM or TERM

        curses.setupterm(term)
    except Exception:  # a Python without curses, or a terminal without an entry
        return 16
    return curses.tigetnum("colors")


def clipboard_sequence(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the escape sequence (OSC 52) that copies the text to the terminal's clipboard."""
    coded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    return wrap_for_multiplexer(f"\x1b]52;c;{coded}\x07", environ)


def fits_clipboard(text: str) -> bool:
    """Return whether terminals accept a text of this length for their clipboard."""
    return len(text.encode("utf-8", "replace")) <= _MAX_COPIED


def notice_sequence(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the escape sequence (OSC 9) that makes the terminal show a notification."""
    return wrap_for_multiplexer(f"\x1b]9;{single_cells(text)[:200]}\x07", environ)


SAVE_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"
_TITLED = (
    "xterm",
    "tmux",
    "screen",
    "rxvt",
    "alacritty",
    "foot",
    "kitty",
    "wezterm",
    "ghostty",
    "konsole",
    "st-",
)
_SHOW_PROGRESS = frozenset({"ghostty", "WezTerm", "iTerm.app"})


class OutputBudget:
    """A limit of the bytes a second that are written for changes which can wait.

    The bytes for all other changes count as well. At most one second's bytes can be saved up. After any excess,
    more is allowed within two seconds.
    """

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._left = float(bytes_per_second)
        self._written = 0
        self._checked: float | None = None

    def allows(self, now: float, written: int) -> bool:
        """Return whether more may be written.

        Args:
            now: A steady time in seconds.
            written: All bytes that have been written so far.
        """
        since = 0.0 if self._checked is None else now - self._checked
        left = min(self._rate, self._left + since * self._rate) - (written - self._written)
        self._left = max(-self._rate, left)
        self._checked, self._written = now, written
        return self._left >= 0


def has_title(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the terminal is known to have a title that a program may set."""
    return environ.get("TERM", "").startswith(_TITLED)


def has_progress(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the terminal shows progress (OSC 9;4), which others take for a notice."""
    is_windows = "WT_SESSION" in environ or environ.get("ConEmuANSI") == "ON"
    is_multiplexed = bool(environ.get("TMUX") or environ.get("STY"))
    return (is_windows or environ.get("TERM_PROGRAM") in _SHOW_PROGRESS) and not is_multiplexed


def title_text(profile: str, jobs: Sequence[Job]) -> str:
    """Return the title for the active jobs: `jobtui prod ▶2 68%`, or `jobtui prod ▶1 ‖1 68%`."""
    held = [job for job in jobs if is_held(job)]
    running = [job for job in jobs if job.status is Status.RUNNING and not is_held(job)]
    counts = [f"{glyph}{len(found)}" for glyph, found in (("▶", running), ("‖", held)) if found]
    progress = mean_progress(running)
    percent = [format_percent(progress).strip()] if progress is not None else []
    return " ".join(["jobtui", profile, *counts, *percent])


def mean_progress(jobs: Sequence[Job]) -> float | None:
    """Return the mean progress of the running jobs that have one, None if none has."""
    known = [job.progress for job in jobs if job.status is Status.RUNNING and job.progress is not None]
    return sum(known) / len(known) if known else None


def title_sequence(text: str) -> str:
    """Return the escape sequence (OSC 2) that sets the terminal's title."""
    return f"\x1b]2;{single_cells(text)[:200]}\x07"


def progress_sequence(jobs: Sequence[Job]) -> str:
    """Return the sequence (OSC 9;4) that shows the progress of running jobs, or removes it."""
    begun = [job for job in jobs if job.status is Status.RUNNING]
    running = [job for job in begun if not is_held(job)]
    if not begun:
        return "\x1b]9;4;0;0\x07"
    progress = mean_progress(running or begun)
    if not running:  # all are paused, for which the terminal has a state of its own
        return f"\x1b]9;4;4;{int(100 * (progress or 0))}\x07"
    return "\x1b]9;4;3;0\x07" if progress is None else f"\x1b]9;4;1;{int(100 * progress)}\x07"


def wrap_for_multiplexer(sequence: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the sequence as tmux, if it allows that, or screen passes it on."""
    if environ.get("TMUX"):
        # both: tmux reads the bare one into its own paste buffer, the outer terminal gets the wrapped one
        return sequence + "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY"):
        return "\x1bP" + sequence + "\x1b\\"
    return sequence


def native_command(
    environ: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Sequence[str] | None:
    """Return the program that copies its input to the desktop's clipboard, or None."""
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
    """Copy the text by the program; return whether it succeeded. Blocks for up to two seconds."""
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


_ERROR_HANDLER = "jobtui-plain"

# each as wide as what it replaces
_REPLACEMENTS = {
    "-": "─━═╌–▹",
    "|": "│┃▏▎▍▌▋▊▉▐▕‖",
    "+": "┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛✔",
    "_": "▁▂▃",
    "=": "▄▅▆",
    "'": "▀",
    "#": "▇█▓■◼",
    ":": "▒",
    ".": "░·",
    "@": "↻",
    "~": "≈…",  # a full stop would not show that a text was cut
    ">": "▶▸›→",
    "<": "◀‹←",
    "^": "▲↑⇧",
    "v": "▼↓",
    "x": "✖",
    "o": "◷○◌",
    "*": "●◉•",
}

_PLAIN_BY_CODE = {ord(drawn): plain for plain, characters in _REPLACEMENTS.items() for drawn in characters}
# a curve in braille: by whether a character has dots in its upper and in its lower half
_UPPER_DOTS, _LOWER_DOTS = 0b00011011, 0b11100100
_PLAIN_BY_CODE |= {
    0x2800 + dots: " '.:"[bool(dots & _UPPER_DOTS) + 2 * bool(dots & _LOWER_DOTS)] for dots in range(256)
}

# in the kernel's own font and in the usual console fonts
_ON_CONSOLE = "─│┌┐└┘├┤┬┴┼░▒▓█▄▀·←→↑↓"

_MISSING_ON_CONSOLE = {code: plain for code, plain in _PLAIN_BY_CODE.items() if chr(code) not in _ON_CONSOLE}
# a plus would stand alone among drawn lines
_MISSING_ON_CONSOLE |= {ord(round_one): square for round_one, square in zip("╭╮╰╯", "┌┐└┘", strict=True)}


class Glyphs(enum.StrEnum):
    """The characters that are drawn: those known to the terminal, ASCII alone, or all."""

    AUTO = "auto"
    ASCII = "ascii"
    UNICODE = "unicode"


# what Python sets LC_CTYPE to if the locale is C (PEP 538)
_COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})


def is_ascii_locale(environ: Mapping[str, str] = os.environ, started: Mapping[str, str] | None = None) -> bool:
    """Return whether the user chose the locale C or POSIX, which has ASCII alone.

    Python does not show it, as it encodes text as UTF-8 then (PEP 540). Without any of LC_ALL, LC_CTYPE and
    LANG, as in most containers, nothing was chosen.

    Args:
        environ: The environment, in which Python may have replaced LC_CTYPE.
        started: The environment that the process was started with, None to look it up.
    """
    chosen = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG", "")
    if chosen in _COERCED and not environ.get("LC_ALL"):
        initial = _initial_environ() if started is None else started
        chosen = initial.get("LC_CTYPE") or initial.get("LANG", "")
    return chosen in ("C", "POSIX")


def _initial_environ() -> Mapping[str, str]:
    """Return the environment that the process was started with, if the system provides it."""
    try:
        pairs = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    return dict(os.fsdecode(pair).partition("=")[::2] for pair in pairs)


def encoder_for(stream: TextIO, glyphs: Glyphs = Glyphs.AUTO) -> Callable[[str], bytes]:
    """Return the function that encodes text for a stream's terminal, by TERM and locale."""
    encoding, errors = stream.encoding, stream.errors or "backslashreplace"
    if glyphs is Glyphs.AUTO and is_ascii_locale():
        encoding = "ascii"
    if not codecs.lookup(encoding).name.startswith("utf"):
        codecs.register_error(_ERROR_HANDLER, _replace_unencodable)
        errors = _ERROR_HANDLER  # an escape would be wider than what is missing, and shift its line
    missing = _missing_characters(os.environ.get("TERM", ""))
    if glyphs is not Glyphs.AUTO:
        missing = _PLAIN_BY_CODE if glyphs is Glyphs.ASCII else {}
    if not missing:
        return lambda text: text.encode(encoding, errors)
    return lambda text: text.translate(missing).encode(encoding, errors)


def _missing_characters(term: str) -> dict[int, str]:
    if term.split("-")[0] == "linux":
        return _MISSING_ON_CONSOLE
    return _PLAIN_BY_CODE if term[:2] == "vt" and term[2:3].isdigit() else {}


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(map(_plain, missing)), error.end


def _plain(character: str) -> str:
    drawn = character.translate(_PLAIN_BY_CODE)
    return drawn if drawn.isascii() else "?" * cell_len(character)
