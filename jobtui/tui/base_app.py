"""Where the style sheets lie: in the wheel beside this package, in a checkout at the top of the repository."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from rich.style import Style
from textual import events
from textual.app import ReturnType
from textual.driver import Driver
from textual.screen import Screen
from typing_extensions import override

from jobtui.files import foreign_owner
from jobtui.tui import terminal
from jobtui.tui.text.spans import TextRole
from jobtui.tui.textual_ext.app import ExtendedApp
from jobtui.tui.textual_ext.render import css_class_style, use_partial_compositor
from jobtui.tui.themes import ANSI, THEMES, theme_name

_PACKAGE = Path(__file__).resolve().parent.parent
_FIRST = "text_roles.tcss"


def style_sheets() -> tuple[Path, ...]:
    """All style sheets, a file a screen or widget. Raises FileNotFoundError where they are missing."""
    for directory in (_PACKAGE / "styles", _PACKAGE.parent / "styles"):
        if (directory / _FIRST).is_file():
            return tuple(sorted(directory.glob("*.tcss")))
    raise FileNotFoundError(f"jobtui's style sheets are missing: there is no {_PACKAGE / 'styles' / _FIRST}")


# The failure of the dashboard itself: the message for the user, and the report for a bug.
def write_crash_report(error: BaseException, directory: Path | None) -> Path | None:
    """Write the error and its traceback to a new file; where that lies, None where it could not be written."""
    text = f"{datetime.now(UTC).isoformat()}\n{''.join(traceback.format_exception(error))}"
    try:
        if directory is not None:
            if foreign_owner(directory):
                directory = None
            else:
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=directory)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return None
    return Path(name)


def crash_message(error: BaseException, place: Path | None) -> str:
    """What is said on the terminal once it is whole again."""
    said = str(error).split("\n")[0][:200]
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    lines = [
        f"jobtui: the dashboard failed: {what}",
        "Your jobs are safe: what was running is told the truth about at the next start.",
    ]
    if place is not None:
        lines.append(f"What happened is written in {place}")
    return "\n".join(lines)


# the shell's way to say that a signal ended a program
_SIGNALLED = 128
_PATIENT_SIGNALS = 2  # after them the system's default for the signal is what the user wants


class StyledScreen(Screen[None]):
    """The lowest screen of an app: the inks of all widgets are looked up here.

    An ink is looked up when it is first used: as component classes, all of them would be at each start.
    """

    BLANK = True
    _styled_anew = False

    def __init__(self) -> None:
        super().__init__()
        use_partial_compositor(self)

    def ink(self, ink: TextRole) -> Style:
        """How an ink looks in the theme of the moment; only what it sets itself."""
        inks = self.__dict__.setdefault("_inks", {})
        style = cast("Style | None", inks.get(ink))
        if style is None:
            style = inks[ink] = css_class_style(self, ink.value)
        return style

    def notify_style_update(self) -> None:
        """Textual's hook: another theme."""
        super().notify_style_update()
        self.__dict__.pop("_inks", None)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Textual's hook: at the start all nodes have just been styled; to do it again costs a tenth of it."""
        if not self._styled_anew:
            self._styled_anew = True
            event.refresh_styles = False


class BaseApp(ExtendedApp[ReturnType], inherit_bindings=False):
    """Gives the terminal back whole, whatever ends it; its lowest screen is an `InkScreen`."""

    TITLE = "jobtui"
    CSS_PATH = [*style_sheets()]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = False  # the dashboard opens its own, under a key that can be changed
    NOTIFICATION_TIMEOUT = 6

    def __init__(self, theme: str, state_dir: Path | None) -> None:
        """`theme`: a theme's name, "" for the dark one; `state_dir`: where a crash is reported to."""
        super().__init__()
        self.is_ending = False
        self._signals: list[signal.Signals] = []
        self._handlers_before: dict[signal.Signals, Any] = {}
        self._state_dir = state_dir
        for known in THEMES:
            self.register_theme(known)
        self.theme = theme_name(theme)
        if self.no_color:
            # greys are colours too: the terminal's own, reversed and underlined, say all that must be said
            self.theme = ANSI.name
            self.keep_gray()

    def ink(self, ink: TextRole) -> Style:
        """How an ink looks in the theme of the moment."""
        return cast("StyledScreen", self.screen_stack[0]).ink(ink)

    def refresh_css(self, animate: bool = True) -> None:
        """Textual's hook: before there is a screen, the sheets need only be read in these colours."""
        if not self.has_started:
            self.stylesheet.set_variables(self.get_css_variables())
        else:
            super().refresh_css(animate)

    def on_mount(self) -> None:
        """Textual's hook: a signal ends it as a key would; one that is ignored stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                # not the loop's own: closing the loop would leave a moment in which a signal kills
                self._handlers_before[number] = signal.signal(number, self._receive)

    def on_unmount(self) -> None:
        """Textual's hook: whoever handled the signals before does so again."""
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: object) -> None:
        received = signal.Signals(number)
        if received is not signal.SIGHUP:  # that comes from the terminal, the shell and others at once
            self._signals.append(received)
        if len(self._signals) > _PATIENT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.is_ending = True  # at once: a SIGCONT that came with it is handled before the loop runs
        with suppress(RuntimeError):  # the loop has ended
            asyncio.get_running_loop().call_soon_threadsafe(self._signalled, number)

    def hang_up(self) -> None:
        """End as after SIGHUP: the terminal is gone."""
        if not self.is_exiting:
            self._signalled(signal.SIGHUP)

    def _signalled(self, number: int) -> None:
        self.is_ending = True
        # the end of a login sends SIGTERM and SIGHUP, in any order: the request to stop outranks the hang-up
        if number == signal.SIGHUP and self._signals:
            return
        self.exit(return_code=_SIGNALLED + number)

    def on_resize(self) -> None:
        """Textual's hook: terminals rearrange what they show, even where they end as large as they were."""
        self.call_after_refresh(self.refresh)

    def get_driver_class(self) -> type[Driver]:
        """Textual's hook: its own choice, made sturdier where it is the usual one."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from jobtui.tui.textual_ext.driver import RobustLinuxDriver

        return RobustLinuxDriver

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Textual's hook: for themes that know nothing of ours."""
        return {
            "cursor": "ansi_blue",
            "cursor-idle": "ansi_bright_black",
            "queue": "ansi_default",
            "running": "ansi_cyan",
            "stopped": "ansi_magenta",
            "muted": "ansi_bright_black",
            "rule": "ansi_bright_black",
        }

    def copy_to_clipboard(self, text: str) -> None:
        """By the terminal, through tmux too, and by the desktop's own program where there is one."""
        self.store_clipboard(text)
        command = terminal.native_command()
        if terminal.fits_clipboard(text):
            self.write_to_terminal(terminal.clipboard_sequence(text))
        elif command is None:
            self.notify("Too long for the terminal's clipboard", severity="warning", markup=False)
        if command is not None:
            threading.Thread(
                target=terminal.copy_natively, args=(text, command), name="jobtui-copy", daemon=True
            ).start()

    @override
    def describe_crash(self, error: BaseException) -> str:
        return crash_message(error, write_crash_report(error, self._state_dir))
