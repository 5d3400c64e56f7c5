"""The dashboard's app: it feeds the screen once a frame, keeps its state, and pauses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from textual import events
from textual.notifications import Notification

from jobtui.background import run_in_thread
from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client, Session
from jobtui.history import StoreError
from jobtui.model import ConnectionState, Status
from jobtui.tui.base_app import BaseApp
from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.data.feed import (
    Batch,
    Feed,
    FeedReady,
    HistoryChanged,
    HistoryPoller,
    OverviewCache,
    OverviewChanged,
)
from jobtui.tui.keymap import load_keymap
from jobtui.tui.screens.dashboard import Dashboard
from jobtui.tui.state import CommandHistory, StateStore
from jobtui.tui.textual_ext.keys import handle_key, normalize_early_key
from jobtui.tui.themes import theme_after, theme_problem
from jobtui.tui.widgets.footer import Toast, surplus

_FRAME_SECONDS = 1 / 60
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
        painted: Callable[[], None] = lambda: None,
        forsaken: Callable[[], bool] = lambda: False,
    ) -> None:
        """`now` is the clock that running times are counted by; `painted` is called after the first frame.

        `forsaken` is asked each second whether nobody waits for it any more.
        """
        store = StateStore(settings.state_dir)
        saved = store.read()
        super().__init__(settings.theme or saved.theme, settings.state_dir)
        self._painted = painted
        self._forsaken = forsaken
        # a cluster tells its spaces later: until then the saved one is assumed to exist
        self._believed = client.connection is not None
        space = saved.space if self._believed or saved.space in client.space_names() else None
        self.context = Context(
            client=client,
            settings=settings,
            session=Session(space),
            keymap=load_keymap(settings.keymap),
            store=store,
            saved=saved,
            command_history=CommandHistory(store),
            overview_cache=OverviewCache(client, lambda: self.post_message(OverviewChanged())),
            now=now or _now,
        )
        self._client = client
        self._feed = Feed(lambda: self.post_message(FeedReady()))
        self._looker = HistoryPoller(client, lambda: self.post_message(HistoryChanged()))
        self._leave_feed: Callable[[], None] = lambda: None
        self._frame: asyncio.TimerHandle | None = None
        self._paused = False
        self._typed_ahead: deque[events.Key | events.Paste] = deque()
        self.dashboard = Dashboard(self.context, self)
        self.set_keymap(self.context.keymap.changes)
        keys = self.context.keymap.keys
        self._keys_without_screen = frozenset(
            key for command in _WITHOUT_SCREEN for key in keys(BY_ID[command])
        )

    def get_default_screen(self) -> Dashboard:
        """Textual's hook."""
        return self.dashboard

    async def on_event(self, event: events.Event) -> None:
        """Textual's hook: keys of the dashboard are done with one after the other."""
        if self.is_exiting and isinstance(event, (events.InputEvent, events.Paste)):
            return  # it is left: nothing is begun any more
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            self._typed_ahead.append(event if self.dashboard.ready else normalize_early_key(event))
            await self.handle_typed_ahead()
        else:
            await super().on_event(event)

    async def handle_typed_ahead(self) -> None:
        """Do what the keys ask for, also those that were typed before there was anything to obey them."""
        while self.dashboard.ready and self._typed_ahead and not self.is_exiting:
            event = self._typed_ahead.popleft()
            if not await self._obeyed(event):
                await super().on_event(event)
            if not self.dashboard.is_typing:
                # a deed that was begun asks in its first step, and the next key answers
                await asyncio.sleep(0)

    async def _obeyed(self, event: events.Key | events.Paste) -> bool:
        if self.screen_stack[-1:] != [self.dashboard]:
            return False
        # a terminal that is typed in has the focus, whether or not it said so
        self.app_focus = True
        return await handle_key(self.dashboard, event, self._keys_without_screen)

    # -- beginning and end --------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Textual's hook: listen to the client."""
        self._leave_feed = self._client.subscribe(self._feed.receive)
        if not self._client.writable:
            self._looker.start()
        self.set_interval(_SECOND, self._tick)
        if self._forsaken():  # a signal came while it started
            self.hang_up()
        self.call_after_refresh(self._settle)

    def _tick(self) -> None:
        if self._forsaken():
            self.hang_up()
        elif not self._paused:
            self.dashboard.tick()

    def _settle(self) -> None:
        # what may come after the first frame
        self._painted()
        self.context.overview_cache.ask()
        self.run_worker(self._load_indexes())
        self.dashboard.console.show_problems(self.context.keymap.problems, "keys of the keymap were left out")
        if trouble := theme_problem(self.context.settings.theme):
            self.dashboard.show_toast(trouble, "warning")
        if self.context.store.trouble:
            self.dashboard.show_toast(self.context.store.trouble, "warning")

    async def _load_indexes(self) -> None:
        await run_in_thread(self._warm)
        self.dashboard.jobs.list.search(of_itself=True)  # what was run again is known only now

    def _warm(self) -> None:
        """Have at hand what filters look through: of a million jobs, reading it takes four times the search."""
        with suppress(StoreError):  # who asks for jobs that can't be read is told
            self._client.history.load_indexes()

    def on_unmount(self) -> None:
        """Textual's hook: keep what was chosen."""
        self._leave_feed()
        self._looker.close()
        if not self.no_color:
            self.context.saved.theme = self.theme
        self.context.saved.space = self.context.session.space
        self.dashboard.save_state()
        self.context.store.write(self.context.saved)
        self.context.command_history.close()

    # -- the client's messages ------------------------------------------------------------------------

    def on_feed_ready(self, message: FeedReady) -> None:
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
            # a change is told as it is on disk, where progress is not: the client knows both
            for job_id, job in batch.jobs.items():
                if job.status is Status.RUNNING:
                    batch.jobs[job_id] = self._client.job(job_id) or job
            self.dashboard.on_batch(batch)
            link = self._client.connection
            if batch.link and link is not None and link.state is ConnectionState.CONNECTED:
                self.context.overview_cache.ask()
            # a timer of Textual's that is late is left out: nothing would be shown any more
            loop = asyncio.get_running_loop()
            self._frame = loop.call_later(_FRAME_SECONDS, self.call_later, self._next_frame)

    def on_history_changed(self, message: HistoryChanged) -> None:
        """Another process wrote: any job may be another."""
        message.stop()
        jobs = {job.id: job for job in self._client.active_jobs()}
        self.dashboard.on_batch(Batch(jobs=jobs, statuses=True))

    def on_overview_changed(self, message: OverviewChanged) -> None:
        """Show a new overview."""
        message.stop()
        if self._believed:
            self._prove_space()
        self.dashboard.on_overview()

    def _prove_space(self) -> None:
        """Let go of the saved.space once it is plain that the cluster no longer has it."""
        overview, session = self.context.overview_cache.overview, self.context.session
        if overview is None:
            return
        self._believed = False
        if session.space not in (None, *(look.space.name for look in overview.spaces)):
            self.dashboard.show_toast(f"Space '{session.space}' is no longer there: none is chosen", "warning")
            session.space = None
            self.dashboard.refresh_space()

    @property
    def paused(self) -> bool:
        """Whether the screen is frozen."""
        return self._paused

    def set_paused(self, paused: bool) -> None:
        """Freeze the screen or let it continue; nothing is lost meanwhile."""
        self._paused = paused
        if not paused and self._frame is None:
            self._next_frame()

    # -- what is said in passing --------------------------------------------------------------------

    def show_toast(self, toast: Toast) -> None:
        """Show a toast for its time; remove the same text, and older ones that have no room."""
        self.dismiss_toasts(toast.text)
        for old in surplus(self.toasts, self.size.height):
            self.remove_toast(old)
        self.add_toast(Notification(toast.text, severity=toast.severity, timeout=toast.seconds, markup=False))

    def dismiss_toasts(self, beginning: str) -> None:
        """Remove the toasts whose text begins so: they are no longer true."""
        for old in self.toasts:
            if old.message.startswith(beginning):
                self.remove_toast(old)

    # -- themes --------------------------------------------------------------------------------------

    def next_theme(self) -> None:
        """Switch to the next theme."""
        self.theme = theme_after(self.theme)

    def set_theme(self, name: str) -> None:
        """Switch to a theme."""
        self.theme = name
