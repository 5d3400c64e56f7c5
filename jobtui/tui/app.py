"""The dashboard's app: it updates the screen once a frame, saves its state, and pauses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from textual import events
from textual.notifications import Notification
from typing_extensions import override

from jobtui.background import run_in_thread
from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client, Session
from jobtui.history import StoreError
from jobtui.model import ConnectionState, Status
from jobtui.tui.base_app import BaseApp
from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.data.caches import OverviewCache
from jobtui.tui.data.feed import Batch, Feed, FeedReady, HistoryChanged, HistoryPoller, OverviewChanged
from jobtui.tui.keymap import load_keymap
from jobtui.tui.screens.dashboard import Dashboard
from jobtui.tui.state import CommandHistory, StateStore
from jobtui.tui.terminal import (
    RESTORE_TITLE,
    SAVE_TITLE,
    ColorDepth,
    Glyphs,
    OutputBudget,
    has_progress,
    has_title,
    progress_sequence,
    title_sequence,
    title_text,
)
from jobtui.tui.textual_ext.keys import handle_key, normalize_early_key
from jobtui.tui.themes import own_theme_problem, theme_after, theme_problem
from jobtui.tui.widgets.footer import Toast, surplus_toasts

_FRAME_SECONDS = 1 / 60
_STORM_EVENTS = 200
"""The events between two paints from which on the last state is painted as soon as no more come."""
_BYTES_PER_SECOND = 4000
"""The output up to which progress is shown as it comes: over a slow line, more would delay the keys."""
_SECOND = 1.0
# the commands that make sense when the terminal is too small to show anything
_WITHOUT_SCREEN = ("quit", "interrupt", "suspend", "redraw")


def _now() -> datetime:
    return datetime.now(UTC)


class DashboardApp(BaseApp[int]):
    """The app of the dashboard; its return value is the exit status. Implements `AppControl`."""

    def __init__(
        self,
        client: Client,
        settings: TuiSettings,
        *,
        now: Callable[[], datetime] | None = None,
        on_first_frame: Callable[[], None] = lambda: None,
        is_abandoned: Callable[[], bool] = lambda: False,
        depth: ColorDepth = ColorDepth.TRUE,
    ) -> None:
        """Create the app.

        Args:
            client: The engine's client.
            settings: The dashboard's settings.
            now: The clock for the elapsed time of jobs.
            on_first_frame: Called after the first frame.
            is_abandoned: Called each second; returns whether a signal arrived before this app handled signals.
            depth: How many colors the terminal shows.
        """
        store = StateStore(settings.state_dir)
        saved = store.read()
        super().__init__(
            settings.theme or saved.theme,
            settings.state_dir,
            depth,
            settings.themes,
            Glyphs(settings.glyphs),
            settings.profile_color,
        )
        self._can_choose = depth >= ColorDepth.PALETTE and not self.no_color
        self._on_first_frame = on_first_frame
        self._is_abandoned = is_abandoned
        # a cluster reports its spaces later: until then the saved one is assumed to exist
        self._is_space_assumed = client.connection is not None
        space = saved.space if self._is_space_assumed or saved.space in client.space_names() else None
        self.context = Context(
            client=client,
            settings=settings,
            session=Session(space, kind="dashboard"),
            keymap=load_keymap(settings.keymap),
            store=store,
            saved=saved,
            command_history=CommandHistory(store),
            overview_cache=OverviewCache(client, lambda: self.post_message(OverviewChanged())),
            now=now or _now,
        )
        self._client = client
        self._feed = Feed(lambda: self.post_message(FeedReady()))
        self._history_poller = HistoryPoller(client, lambda: self.post_message(HistoryChanged()))
        self._unsubscribe: Callable[[], None] = lambda: None
        self._frame: asyncio.TimerHandle | None = None
        self._budget = OutputBudget(_BYTES_PER_SECOND)
        self._pending = 0
        self._paused = False
        self.next_profile = ""
        self._title = self._progress = ""
        self._typed_ahead: deque[events.Key | events.Paste] = deque()
        self.dashboard = Dashboard(self.context, self)
        self.set_keymap(self.context.keymap.changes)
        keys = self.context.keymap.keys
        self._keys_without_screen = frozenset(
            key for command in _WITHOUT_SCREEN for key in keys(BY_ID[command])
        )

    @override
    def get_default_screen(self) -> Dashboard:
        return self.dashboard

    @override
    async def on_event(self, event: events.Event) -> None:
        # the dashboard's keys are handled one after the other
        if self.is_exiting and isinstance(event, (events.InputEvent, events.Paste)):
            return
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            self._typed_ahead.append(event if self.dashboard.ready else normalize_early_key(event))
            await self.handle_typed_ahead()
        else:
            await super().on_event(event)

    async def handle_typed_ahead(self) -> None:
        """Handle the keys in the queue, also those that were typed before the dashboard was ready."""
        while self.dashboard.ready and self._typed_ahead and not self.is_exiting:
            event = self._typed_ahead.popleft()
            # a key that closes a dialog is the dialog's
            was_in_front = self.screen_stack[-1:] == [self.dashboard]
            if not await self._handle(event):
                await super().on_event(event)
                if was_in_front and isinstance(event, events.Key):
                    self.dashboard.explain_key(event.key)
            if not self.dashboard.is_typing:
                # an action begins with its question, which the next key answers
                await asyncio.sleep(0)

    async def _handle(self, event: events.Key | events.Paste) -> bool:
        if self.screen_stack[-1:] != [self.dashboard]:
            return False
        # a terminal that the user types in has the focus, whether or not it reported so
        self.app_focus = True
        return await handle_key(self.dashboard, event, self._keys_without_screen)

    # -- start and end ------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Subscribe to the client's events."""
        self._unsubscribe = self._client.subscribe(self._feed.receive)
        if not self._client.writable:
            self._history_poller.start()
        self.set_interval(_SECOND, self._tick)
        if self._is_abandoned():  # a signal arrived during the start
            self.hang_up()
        self.call_after_refresh(self._finish_start)

    def _tick(self) -> None:
        if self._is_abandoned():
            self.hang_up()
        elif not self._paused:
            self._show_batch()  # a tick paints the running jobs in any case
            self.dashboard.tick()
            self._show_outside()

    def _finish_start(self) -> None:
        # everything that can wait until the first frame is shown
        self._on_first_frame()
        self.context.overview_cache.request()
        self.run_worker(self._load_then_search())
        self.dashboard.console.show_keymap_problems(self.context.keymap.problems)
        settings = self.context.settings
        if problem := theme_problem(settings.theme, [*settings.themes]):
            self.dashboard.show_toast(problem, "warning")
        for name, colors in settings.themes.items():
            if problem := own_theme_problem(colors):
                self.dashboard.show_toast(f"theme {name}: {problem}", "warning")
        if self.context.store.problem:
            self.dashboard.show_toast(self.context.store.problem, "warning")

    async def _load_then_search(self) -> None:
        await run_in_thread(self._load_indexes)
        self.dashboard.jobs.list.search(automatic=True)  # which jobs were recovered is known only now

    def _load_indexes(self) -> None:
        """Load what filters search: with a million jobs, that takes four times the search."""
        with suppress(StoreError):  # a query of jobs that cannot be read raises it again
            self._client.history.load_indexes()

    def _show_outside(self) -> None:
        """Show the running jobs in the terminal's title and as its progress, if it has these."""
        settings, jobs = self.context.settings, self._client.active_jobs()
        title = title_sequence(title_text(self._client.profile, jobs)) if settings.title and has_title() else ""
        progress = progress_sequence(jobs) if settings.progress and has_progress() else ""
        if title != self._title:
            # the title of the shell comes back at the end
            self.write_to_terminal(title if self._title else SAVE_TITLE + title)
            self._title = title
        if progress != self._progress:
            self.write_to_terminal(progress)
            self._progress = progress

    @override
    def release_terminal(self) -> None:
        # at the end, and when the process is suspended: after that, the next tick sets both again
        if self._progress:
            self.write_to_terminal(progress_sequence(()))
        if self._title:
            self.write_to_terminal(RESTORE_TITLE)
        self._title = self._progress = ""

    def on_unmount(self) -> None:
        """Save the state."""
        self.release_terminal()
        self._unsubscribe()
        self._history_poller.close()
        if self._can_choose:
            self.context.saved.theme = self.theme
        self.context.saved.space = self.context.session.space
        self.dashboard.save_state()
        self.context.store.write(self.context.saved)
        self.context.command_history.close()

    # -- the client's messages ------------------------------------------------------------------------

    def on_feed_ready(self, message: FeedReady) -> None:
        """Show the events of the feed, at most once a frame."""
        message.stop()
        if self._frame is None:
            self._next_frame()

    def _next_frame(self) -> None:
        self._frame = None
        if self._paused:
            return
        loop = asyncio.get_running_loop()
        pending = self._feed.pending_progress
        is_storm_over = pending >= _STORM_EVENTS and pending == self._pending
        self._pending = pending
        may_wait = pending and not is_storm_over
        if (may_wait and not self._budget.allows(loop.time(), self.bytes_written)) or self._show_batch():
            # Textual skips a timer that is late, after which no frame would follow
            self._frame = loop.call_later(_FRAME_SECONDS, self.call_later, self._next_frame)

    def _show_batch(self) -> bool:
        """Show what has happened; return whether anything has."""
        batch = self._feed.drain()
        if batch is None:
            return False
        # an event has the job as it is on disk, without its progress; the client's job has both
        for job_id, job in batch.jobs.items():
            if job.status is Status.RUNNING:
                batch.jobs[job_id] = self._client.job(job_id) or job
        self.dashboard.on_batch(batch)
        link = self._client.connection
        if batch.connection_changed and link is not None and link.state is ConnectionState.CONNECTED:
            self.context.overview_cache.request()
        return True

    def on_history_changed(self, message: HistoryChanged) -> None:
        """Show the jobs again: another process may have changed any of them."""
        message.stop()
        jobs = {job.id: job for job in self._client.active_jobs()}
        self.dashboard.on_batch(Batch(jobs=jobs, statuses_changed=True))

    def on_overview_changed(self, message: OverviewChanged) -> None:
        """Show a new overview."""
        message.stop()
        if self._is_space_assumed:
            self._check_space()
        self.dashboard.on_overview()

    def _check_space(self) -> None:
        """Choose no space if the cluster does not have the saved one."""
        overview, session = self.context.overview_cache.overview, self.context.session
        if overview is None:
            return
        self._is_space_assumed = False
        if session.space not in (None, *(entry.space.name for entry in overview.spaces)):
            self.dashboard.show_toast(f"Space '{session.space}' no longer exists: none is chosen", "warning")
            session.space = None
            self.dashboard.refresh_space()

    def leave(self, status: int, profile: str) -> None:
        """End the dashboard with this exit status; `profile` is opened next, if one is named."""
        self.next_profile = profile
        self.exit(status)

    @property
    def is_paused(self) -> bool:
        """Whether the screen is frozen."""
        return self._paused

    def set_paused(self, paused: bool) -> None:
        """Freeze the screen or let it continue; nothing is lost meanwhile."""
        self._paused = paused
        if not paused and self._frame is None:
            self._next_frame()

    # -- toasts -------------------------------------------------------------------------------------

    def show_toast(self, toast: Toast) -> None:
        """Show a toast for its time; remove the same text, and older ones that have no room."""
        self.dismiss_toasts(toast.text)
        for old in surplus_toasts(self.toasts, self.size.height):
            self.remove_toast(old)
        self.add_toast(Notification(toast.text, severity=toast.severity, timeout=toast.seconds, markup=False))

    def dismiss_toasts(self, beginning: str) -> None:
        """Remove the toasts whose text has this beginning: they are outdated."""
        for old in self.toasts:
            if old.message.startswith(beginning):
                self.remove_toast(old)

    # -- themes --------------------------------------------------------------------------------------

    def next_theme(self) -> None:
        """Switch to the next theme."""
        self.theme = theme_after(self.theme, self.themes)

    def set_theme(self, name: str) -> None:
        """Switch to a theme."""
        self.theme = name
