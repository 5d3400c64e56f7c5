"""The Textual app: themes, style sheets, signals, the desk's messages; what is seen is its screens'."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from rich.segment import Segments
from rich.style import Style
from rich.text import Text
from textual.app import App
from textual.driver import Driver
from textual.filter import Monochrome, NoColor
from textual.timer import Timer

from jobtui.engine.desk import Desk, Session
from jobtui.model import Status
from jobtui.tui import crash, terminal
from jobtui.tui.context import Context
from jobtui.tui.feed import Batch, Feed
from jobtui.tui.keymap import keymap
from jobtui.tui.lines import Ink
from jobtui.tui.looker import Looker
from jobtui.tui.messages import Refreshed, Seen, Woken
from jobtui.tui.places import Places
from jobtui.tui.screens.dashboard import Dashboard
from jobtui.tui.settings import TuiSettings
from jobtui.tui.state import StateStore
from jobtui.tui.styles import style_sheets
from jobtui.tui.themes import ANSI, THEMES, next_theme, theme_name
from jobtui.tui.typed import Typed

_FRAME_SECONDS = 1 / 60
_SECOND = 1.0
# the shell's way to say that a signal ended a program
_SIGNALLED = 128


def _now() -> datetime:
    return datetime.now(UTC)


class DashboardApp(App[int], inherit_bindings=False):
    """Shows a desk until one leaves; its return value is the exit status."""

    TITLE = "jobtui"
    CSS_PATH = [*style_sheets()]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = False  # the dashboard opens its own, under a key that can be changed
    NOTIFICATION_TIMEOUT = 6
    ENABLE_SELECT_AUTO_SCROLL = True

    def __init__(
        self,
        desk: Desk,
        settings: TuiSettings,
        *,
        now: Callable[[], datetime] | None = None,
        painted: Callable[[], None] = lambda: None,
    ) -> None:
        """`now` is the clock that running times are counted by; `painted` is called after the first frame."""
        super().__init__()
        self._painted = painted
        for theme in THEMES:
            self.register_theme(theme)
        store = StateStore(settings.state_dir)
        kept = store.read()
        self.theme = theme_name(settings.theme or kept.theme)
        if self.no_color:
            # greys are colours too: the terminal's own, reversed and underlined, say all that must be said
            self.theme = ANSI.name
            self._filters = [NoColor() if isinstance(one, Monochrome) else one for one in self._filters]
        space = kept.space if kept.space in desk.spaces() else None
        self.context = Context(
            desk=desk,
            settings=settings,
            session=Session(space),
            keymap=keymap(settings.keymap),
            store=store,
            kept=kept,
            typed=Typed(store),
            places=Places(desk, lambda: self.post_message(Seen())),
            now=now or _now,
        )
        self._desk = desk
        self._feed = Feed(lambda: self.post_message(Woken()))
        self._looker = Looker(desk, lambda: self.post_message(Refreshed()))
        self._leave_feed: Callable[[], None] = lambda: None
        self._frame: Timer | None = None
        self._paused = False
        self.dashboard = Dashboard(self.context)
        self.set_keymap(self.context.keymap.changes)

    def ink(self, ink: Ink) -> Style:
        """How an ink looks in the theme of the moment."""
        return self.dashboard.ink(ink)

    def get_driver_class(self) -> type[Driver]:
        """Textual's hook: its own choice, made sturdier where it is the usual one."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from jobtui.tui.driver import SturdyDriver

        return SturdyDriver

    def get_default_screen(self) -> Dashboard:
        """Textual's hook."""
        return self.dashboard

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

    # -- beginning and end --------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Textual's hook: listen to signals and to the desk."""
        self._listen_to_signals()
        self._leave_feed = self._desk.subscribe(self._feed.take)
        if not self._desk.writable:
            self._looker.start()
        self.set_interval(_SECOND, self.dashboard.tick)
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        # what may come after the first frame
        self._painted()
        self.context.places.ask()
        for problem in self.context.keymap.problems:
            self.dashboard.tell(problem, "warning")
        if self.context.store.trouble:
            self.dashboard.tell(self.context.store.trouble, "warning")

    def on_unmount(self) -> None:
        """Textual's hook: keep what was chosen."""
        self._leave_feed()
        self._looker.close()
        self.context.kept.theme = self.theme
        self.context.kept.space = self.context.session.space
        self.dashboard.keep()
        self.context.store.write(self.context.kept)
        self.context.typed.close()

    def on_resize(self) -> None:
        """Textual's hook: terminals rearrange what they show, even where they end as large as they were."""
        self.call_after_refresh(self.refresh)

    def _listen_to_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        self.exit(_SIGNALLED + number)

    # -- the desk's messages ------------------------------------------------------------------------

    def on_woken(self, message: Woken) -> None:
        """The feed has something; while a frame is under way it waits for the next."""
        message.stop()
        if self._frame is None:
            self._next_frame()

    def _next_frame(self) -> None:
        self._frame = None
        if self._paused:
            return
        batch = self._feed.drain()
        if batch is not None:
            # a change is told as it is on disk, where progress is not: the desk knows both
            for job_id, job in batch.jobs.items():
                if job.status is Status.RUNNING:
                    batch.jobs[job_id] = self._desk.job(job_id) or job
            self.dashboard.take(batch)
            self._frame = self.set_timer(_FRAME_SECONDS, self._next_frame)

    def on_refreshed(self, message: Refreshed) -> None:
        """Another process wrote: any job may be another."""
        message.stop()
        jobs = {job.id: job for job in self._desk.active()}
        self.dashboard.take(Batch(jobs=jobs, statuses=True))

    def on_seen(self, message: Seen) -> None:
        """There is a new overview."""
        message.stop()
        self.dashboard.places_seen()

    @property
    def paused(self) -> bool:
        """Whether the screen is held still."""
        return self._paused

    def hold(self, paused: bool) -> None:
        """Hold the screen still, or let it go on; nothing is lost meanwhile."""
        self._paused = paused
        if not paused and self._frame is None:
            self._next_frame()

    # -- the terminal -------------------------------------------------------------------------------

    def write(self, sequence: str) -> None:
        """Say something to the terminal beside the screen."""
        if self._driver is not None:
            self._driver.write(sequence)

    def copy_to_clipboard(self, text: str) -> None:
        """By the terminal, through tmux too, and by the desktop's own program where there is one."""
        self._clipboard = text
        self.write(terminal.clipboard_sequence(text))
        command = terminal.native_command()
        if command is not None:
            threading.Thread(
                target=terminal.copy_natively, args=(text, command), name="jobtui-copy", daemon=True
            ).start()

    def turn_theme(self) -> None:
        """The next theme."""
        self.theme = next_theme(self.theme)

    def choose_theme(self, name: str) -> None:
        """This theme."""
        self.theme = name

    # -- failing ------------------------------------------------------------------------------------

    def _fatal_error(self) -> None:
        error = self._exception
        if error is None or self.is_headless:
            super()._fatal_error()
            return
        place = crash.report(error, self.context.settings.state_dir)
        said = Text(crash.message(error, place))
        self._exit_renderables.append(Segments(self.console.render(said, self.console.options)))
        self._close_messages_no_wait()
