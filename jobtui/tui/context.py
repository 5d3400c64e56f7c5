"""The state that the dashboard's parts share, and the protocols of dashboard and app."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec
from textual.screen import Screen
from textual.theme import Theme

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client, ExecuteResult, Session
from jobtui.model import Job
from jobtui.tui.data.caches import OverviewCache
from jobtui.tui.data.feed import Batch
from jobtui.tui.keymap import Keymap
from jobtui.tui.state import CommandHistory, SavedState, StateStore
from jobtui.tui.text.spans import Line, TextRole
from jobtui.tui.widgets.footer import Toast

AnswerT = TypeVar("AnswerT")


MAX_LOG_ENTRIES = 2000
MAX_STORAGE_LOG_ENTRIES = 100  # each has up to 40 lines


class LogEntry(msgspec.Struct, frozen=True):
    """A notification, or the start or end of a job: its time, severity and text.

    `ended_job` is the job whose end it is, None if it is something else, or the end of several jobs.
    """

    at: datetime
    severity: str
    text: str
    ended_job: int | None = None


class Context(msgspec.Struct, frozen=True):
    """The state that all parts of the dashboard share.

    `now` is the clock for elapsed times. `watched` are the jobs whose end the user asked to be notified of,
    `submitted` those that were submitted here, whose end is reported as well. `log` is what the log view shows,
    and `storage_log` what the storage logged, which it shows among that.
    `unanswered` has the times at which texts were sent that have no answer yet.
    `verdicts` has the advice for each space as it was measured last, except if a job of the space ended since.
    """

    client: Client
    settings: TuiSettings
    session: Session
    keymap: Keymap
    store: StateStore
    saved: SavedState
    command_history: CommandHistory
    overview_cache: OverviewCache
    now: Callable[[], datetime]
    watched: set[int] = msgspec.field(default_factory=set)
    submitted: set[int] = msgspec.field(default_factory=set)
    verdicts: dict[str, str] = msgspec.field(default_factory=dict)
    log: deque[LogEntry] = msgspec.field(default_factory=lambda: deque(maxlen=MAX_LOG_ENTRIES))
    storage_log: deque[LogEntry] = msgspec.field(default_factory=lambda: deque(maxlen=MAX_STORAGE_LOG_ENTRIES))
    unanswered: list[datetime] = msgspec.field(default_factory=list)
    _announced_early: set[int] = msgspec.field(default_factory=set)

    def replace_verdicts(self, verdicts: Mapping[str, str]) -> None:
        """Replace the advice by a new measurement's; a space that it does not have is gone."""
        self.verdicts.clear()
        self.verdicts.update(verdicts)

    def on_batch(self, batch: Batch) -> None:
        """Discard the advice that an ended job has outdated, and log what the storage logged."""
        for job in batch.ended:
            self.verdicts.pop(job.space, None)
        for one in batch.logged:
            text = "\n".join((f"job {one.job} on {one.host}, logged by the storage:", *one.lines))
            self.storage_log.append(LogEntry(self.now(), "log", text))

    async def execute(self, text: str, session: Session) -> ExecuteResult:
        """Execute a text of the user; the header counts the answers that are overdue."""
        sent_at = self.now()
        self.unanswered.append(sent_at)
        try:
            return await asyncio.wrap_future(self.client.execute(text, session))
        finally:
            self.unanswered.remove(sent_at)

    def log_end(self, job_id: int, severity: str, text: str) -> None:
        """Log the end of a job, except if it was announced before its event."""
        if job_id in self._announced_early:
            self._announced_early.discard(job_id)
        else:
            self.log.append(LogEntry(self.now(), severity, text, job_id))

    def replace_logged_ends(self, job_ids: Iterable[int]) -> None:
        """Remove the ends of these jobs from the log: they are about to be announced, which logs them.

        The event of an end may come before the answer to the job's statement, or after it.
        """
        ids = set(job_ids)
        logged = [entry for entry in self.log if entry.ended_job in ids]
        for entry in logged:
            self.log.remove(entry)
        self._announced_early.update(ids.difference(entry.ended_job for entry in logged))

    @property
    def space(self) -> str | None:
        """The space chosen in the command bar."""
        return self.session.space

    @property
    def other_profiles(self) -> tuple[str, ...]:
        """The profiles that can be switched to."""
        return tuple(name for name in self.settings.profiles if name != self.client.profile)

    @property
    def profile_role(self) -> TextRole:
        """How the profile's name is shown."""
        return TextRole.PROFILE if self.settings.profile_color else TextRole.STRONG

    @property
    def prompt_line(self) -> Line:
        """The prompt as it is shown, with the profile in its color if it has one."""
        if not self.settings.profile_color:
            return ((f" {self.prompt}", TextRole.ACCENT),)
        rest = self.prompt.removeprefix(self.client.profile)
        return ((f" {self.client.profile} ", TextRole.PROFILE), (rest, TextRole.ACCENT))

    @property
    def prompt(self) -> str:
        """The prompt of the command bar: `local[nba]> `."""
        return f"{self.client.profile}[{self.session.space or ''}]> "


class DashboardHost(Protocol):
    """The interface of the dashboard for its views, actions and console.

    All methods are for the loop's thread. `ask` and `confirm` need a worker, see `start_action`.
    """

    def start_action(self, action: Coroutine[Any, Any, object]) -> None:
        """Run an action in a worker, and show an error of the disk or the storage as a toast."""
        ...

    async def ask(self, question: Screen[AnswerT]) -> AnswerT | None:
        """Show a question and return its answer."""
        ...

    async def confirm(self, title: str, lines: Callable[[], Sequence[Line]], verb: str) -> bool:
        """Ask for a confirmation and return the answer; cancel has the focus.

        `lines` is called repeatedly.
        """
        ...

    def show_toast(self, text: str, severity: str = "information") -> None:
        """Show a text for a few seconds; it is not interpreted as markup."""
        ...

    def watch_jobs(self, job_ids: Sequence[int]) -> None:
        """Report the end of jobs that were submitted here, at once if they have ended already."""
        ...

    def log_statement(self, text: str, result: ExecuteResult) -> None:
        """Add a statement that a key ran, and its result, to the transcript."""
        ...

    def announce_ended(self, jobs: Sequence[Job]) -> None:
        """Report that jobs have ended: a toast, the bell, and a terminal notice if configured."""
        ...

    def run_job_action(self, action: str, job_ids: Sequence[int]) -> None:
        """Start the action of a key of the jobs view, named by its command's id."""
        ...

    def run_inventory_action(self, action: str, name: str) -> None:
        """Start an action on a space or host: flush, compact, use, new, drop or jobs."""
        ...

    async def show_jobs_of(self, kind: str, name: str) -> None:
        """Show the jobs view, filtered by a space or a host."""
        ...

    async def show_filtered(self, text: str) -> None:
        """Show the jobs view with this filter."""
        ...

    def select_job(self, job_id: int) -> None:
        """Move the cursor to a job that was just submitted."""
        ...

    async def jump_to_job(self, job_id: int) -> None:
        """Show a job by its number, in jobs or archive, and drop a filter that hides it."""
        ...

    def refresh_space(self) -> None:
        """Show the chosen space wherever it appears."""
        ...

    async def focus_bar(self, text: str | None = None) -> None:
        """Give the focus to the command bar, with `text` in it."""
        ...

    def leave_bar(self) -> None:
        """Give the focus back to the view."""
        ...

    def show_keys(self) -> None:
        """Update the footer."""
        ...

    def set_flag(self, text: str, on: bool) -> None:
        """Show a text in the header, or remove it."""
        ...

    def copy(self, text: str) -> None:
        """Copy a text to the clipboard."""
        ...

    def exit(self, status: int, profile: str = "") -> None:
        """Leave the dashboard with this exit status, or for another profile."""
        ...

    def switch_profile(self, name: str = "") -> None:
        """Leave for another profile, after the question about running jobs; "" asks for which."""
        ...


class AppControl(Protocol):
    """The interface of the app for the dashboard."""

    @property
    def themes(self) -> Sequence[Theme]:
        """The themes that the terminal can show."""
        ...

    @property
    def is_paused(self) -> bool:
        """Whether the screen is frozen."""
        ...

    def set_paused(self, paused: bool) -> None:
        """Freeze the screen or let it continue; nothing is lost meanwhile."""
        ...

    async def handle_typed_ahead(self) -> None:
        """Handle the keys that were typed before the dashboard was ready."""
        ...

    def leave(self, status: int, profile: str) -> None:
        """End the dashboard with this exit status; `profile` is opened next, if one is named."""
        ...

    def show_toast(self, toast: Toast) -> None:
        """Show a toast for its time."""
        ...

    def dismiss_toasts(self, beginning: str) -> None:
        """Remove the toasts whose text has this beginning: they are outdated."""
        ...

    def write_to_terminal(self, sequence: str) -> None:
        """Write an escape sequence to the terminal."""
        ...

    def next_theme(self) -> None:
        """Switch to the next theme."""
        ...

    def set_theme(self, name: str) -> None:
        """Switch to a theme."""
        ...
