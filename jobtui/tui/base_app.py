"""The base class of the apps: signals, crash reports, clipboard, themes, style sheets."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, cast

from rich.style import Style
from textual import events
from textual.app import ReturnType
from textual.driver import Driver
from textual.screen import Screen
from textual.worker import WorkerFailed
from typing_extensions import override

from jobtui.files import foreign_owner
from jobtui.tui import terminal
from jobtui.tui.terminal import ColorDepth, Glyphs
from jobtui.tui.text.spans import TextRole
from jobtui.tui.textual_ext.app import ExtendedApp
from jobtui.tui.textual_ext.render import use_partial_compositor
from jobtui.tui.themes import ANSI, profile_colors, theme_name, themes_for

_PACKAGE = Path(__file__).resolve().parent.parent
_FIRST = "text_roles.tcss"


_SCREEN_SHEETS = frozenset({"dialog.tcss", "failure.tcss", "palette.tcss"})
"""The sheets that a screen loads when it is first shown: parsing them takes a start 2 % longer."""


def style_sheets() -> tuple[Path, ...]:
    """Return all style sheets. Raises FileNotFoundError if they are missing.

    A wheel contains them in this package; in a checkout they are at the top of the repository.
    """
    for directory in (_PACKAGE / "styles", _PACKAGE.parent / "styles"):
        if (directory / _FIRST).is_file():
            return tuple(sorted(directory.glob("*.tcss")))
    raise FileNotFoundError(f"jobtui's style sheets are missing: there is no {_PACKAGE / 'styles' / _FIRST}")


def style_sheet(name: str) -> Path:
    """Return one of the style sheets. Raises FileNotFoundError if it is missing."""
    for sheet in style_sheets():
        if sheet.name == name:
            return sheet
    raise FileNotFoundError(f"jobtui's style sheet {name} is missing")


def write_crash_report(error: BaseException, directory: Path | None) -> Path | None:
    """Write an error and its traceback to a new file; return its path, None if that failed."""
    cause = _cause_of(error)
    text = f"{datetime.now(UTC).isoformat()}\n{''.join(traceback.format_exception(cause))}"
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


def _cause_of(error: BaseException) -> BaseException:
    """Return a failed worker's own error: Textual's wrapper lacks its frames and its name."""
    return error.error if isinstance(error, WorkerFailed) else error


def crash_message(error: BaseException, place: Path | None) -> str:
    """Return the message for the restored terminal; `place` is the crash report."""
    error = _cause_of(error)
    text = str(error).split("\n")[0][:200]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    lines = [
        f"jobtui: the dashboard failed: {what}",
        "Your jobs are safe: the next start reports how the running ones ended.",
    ]
    if place is not None:
        lines.append(f"The traceback is in {place}")
    return "\n".join(lines)


# the exit status of a program that signal n ended is 128 + n, as in a shell
_SIGNAL_STATUS = 128
_PATIENT_SIGNALS = 2  # a user who sends more wants the signal's default action


class StyledScreen(Screen[None]):
    """The lowest screen of an app, which looks up the styles of roles for all widgets."""

    BLANK = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {role.value for role in TextRole}
    _was_resumed = False

    def __init__(self) -> None:
        super().__init__()
        use_partial_compositor(self)

    def role_style(self, role: TextRole) -> Style:
        """Return the style of a role in the current theme: only what the role sets."""
        return self.get_component_rich_style(role.value, partial=True)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Skip the styles at the start: all nodes have just been styled."""
        # styling them again takes a tenth of the start
        if not self._was_resumed:
            self._was_resumed = True
            event.refresh_styles = False


class BaseApp(ExtendedApp[ReturnType], inherit_bindings=False):
    """An app that restores the terminal however it ends.

    Its lowest screen is a `StyledScreen`.
    """

    TITLE = "jobtui"
    CSS_PATH = [sheet for sheet in style_sheets() if sheet.name not in _SCREEN_SHEETS]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = False  # the dashboard opens its own, under a key that can be changed
    NOTIFICATION_TIMEOUT = 6

    def __init__(
        self,
        theme: str,
        state_dir: Path | None,
        depth: ColorDepth = ColorDepth.TRUE,
        own_themes: Mapping[str, Mapping[str, str]] | None = None,
        glyphs: Glyphs = Glyphs.AUTO,
        profile_color: str = "",
    ) -> None:
        """Create the app.

        Args:
            theme: A theme's name, "" for the dark one.
            state_dir: The directory for crash reports, None for the system's temporary directory.
            depth: How many colors the terminal shows.
            own_themes: The user's themes, by name: a color by its name.
            glyphs: Which characters are drawn.
            profile_color: The color of the profile's name, "" for none.
        """
        self._profile_colors = profile_colors(profile_color, depth)
        super().__init__()
        self.is_ending = False
        self._signals: list[signal.Signals] = []
        self._handlers_before: dict[signal.Signals, Any] = {}
        self._state_dir = state_dir
        self.glyphs = glyphs
        self.themes = themes_for(depth, own_themes)
        for known in {ANSI.name: ANSI, **{known.name: known for known in self.themes}}.values():
            self.register_theme(known)
        self.theme = theme_name(theme, self.themes)
        if self.no_color:
            # grays are colors, too: the terminal's default color, reversed or underlined, is enough
            self.theme = ANSI.name
            self.keep_gray()

    def role_style(self, role: TextRole) -> Style:
        """Return the style of a role in the current theme."""
        return cast("StyledScreen", self.screen_stack[0]).role_style(role)

    @override
    def refresh_css(self, animate: bool = True) -> None:
        # without a screen, the style sheets are read again later anyway
        if not self.has_started:
            self.stylesheet.set_variables(self.get_css_variables())
        else:
            super().refresh_css(animate)

    def on_mount(self) -> None:
        """Handle signals like a key that quits; an ignored signal stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                # not the loop's handlers: after the loop is closed, a signal would end the process at once
                self._handlers_before[number] = signal.signal(number, self._receive)

    def on_unmount(self) -> None:
        """Restore the signal handlers."""
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: object) -> None:
        received = signal.Signals(number)
        if received is not signal.SIGHUP:  # the terminal, the shell and others send it at the same time
            self._signals.append(received)
        if len(self._signals) > _PATIENT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.is_ending = True  # at once: a SIGCONT that came with it is handled before the loop runs
        with suppress(RuntimeError):  # the loop has ended
            asyncio.get_running_loop().call_soon_threadsafe(self._exit_on_signal, number)

    def hang_up(self) -> None:
        """End as after SIGHUP: the terminal is gone."""
        if not self.is_exiting:
            self._exit_on_signal(signal.SIGHUP)

    def _exit_on_signal(self, number: int) -> None:
        self.is_ending = True
        # the end of a login sends SIGTERM and SIGHUP in any order: SIGTERM, a request to stop, takes precedence
        if number == signal.SIGHUP and self._signals:
            return
        self.exit(return_code=_SIGNAL_STATUS + number)

    def on_resize(self) -> None:
        """Repaint: a terminal may move its content even if it has the same size in the end."""
        self.call_after_refresh(self.refresh)

    @override
    def get_driver_class(self) -> type[Driver]:
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        # late: it does not exist on every platform
        from jobtui.tui.textual_ext.driver import RobustLinuxDriver

        return RobustLinuxDriver

    @override
    def get_css_variables(self) -> dict[str, str]:
        ground, name = self._profile_colors
        return {**super().get_css_variables(), "profile": ground, "on-profile": name}

    @override
    def get_theme_variable_defaults(self) -> dict[str, str]:
        # the defaults for Textual's own themes, which do not set these
        return {
            "cursor": "ansi_blue",
            "cursor-idle": "ansi_bright_black",
            "queue": "ansi_default",
            "running": "ansi_cyan",
            "stopped": "ansi_magenta",
            "muted": "ansi_bright_black",
            "rule": "ansi_bright_black",
        }

    @override
    def copy_to_clipboard(self, text: str) -> None:
        # by the terminal, also through tmux, and by the desktop's program if there is one
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
